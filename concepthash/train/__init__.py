"""Trains and evaluates one trial: plain Python and PyTorch, the same in a debugger as on a cluster.

setup.py        data and model of a trial
loop.py         `train`: epochs, checkpoints, reports
evaluation.py   what is validated and tested, and when
encoder.py      images to codes with a model
"""
