"""Ways to learn codes, one file each: a head and its losses on a shared backbone.

Tensors and numbers only; a method's fields in a study file are those of `spec/methods.py`, passed
by their names.
"""
