"""Every number about a trained trial's codes, from the tensors that it saved."""

from concepthash.evaluation.metrics import hamming_map, summary
from concepthash.evaluation.registry import AT, METRICS, evaluate
from concepthash.evaluation.saved import SavedCodes, family_numbers, read_codes
from concepthash.evaluation.text import as_text

__all__ = [
    "AT",
    "METRICS",
    "SavedCodes",
    "as_text",
    "evaluate",
    "family_numbers",
    "hamming_map",
    "read_codes",
    "summary",
]
