"""Checkpoints of the paper's released implementation, as models of this project."""

from concepthash.reference.files import import_checkpoint, read_released
from concepthash.reference.model import from_reference_state

__all__ = ["from_reference_state", "import_checkpoint", "read_released"]
