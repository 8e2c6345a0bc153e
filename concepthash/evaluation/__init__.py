"""Every number about a trained trial's codes, from the tensors that it saved."""

from concepthash.evaluation.metrics import centered, hamming_map, of_concept, summary
from concepthash.evaluation.registry import AT, METRICS, as_text, evaluate
from concepthash.evaluation.saved import SavedCodes, family_numbers, read_codes

__all__ = [
    "AT",
    "METRICS",
    "SavedCodes",
    "as_text",
    "centered",
    "evaluate",
    "family_numbers",
    "hamming_map",
    "of_concept",
    "read_codes",
    "summary",
]
