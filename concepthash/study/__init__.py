"""Runs a plan as Ray Tune trials; the only package that imports Ray and Optuna.

state.py      what is trained, running, failed and left
points.py     a search's space: points and the trials that they stand for
describe.py   the plan with its state, as text and as JSON
run.py        `run_study`: checks, and trains what is missing
tune.py       trains it on Ray Tune
driver.py     what happens at each of Tune's events
progress.py   draws the state while a study runs
pace.py       how fast trials are, and which have fallen silent
ray_session.py  starts a private Ray or joins a cluster
cluster.py    whether a cluster answers and can train our trials
leftovers.py  what trials need of the storage, and removal of the rest
search.py     proposes the trials of a search
trainable.py  one trial inside a worker

Importing the package, state.py, points.py or describe.py imports neither Ray nor torch.
"""
