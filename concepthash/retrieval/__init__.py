"""From codes to numbers about them; plain tensors in."""

from concepthash.retrieval.codes import binarize, hamming_distances, quantization_error
from concepthash.retrieval.metrics import mean_average_precision

__all__ = ["binarize", "hamming_distances", "mean_average_precision", "quantization_error"]
