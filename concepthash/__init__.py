"""Hyperparameter and ablation studies of ConceptHash."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("concepthash-study")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
