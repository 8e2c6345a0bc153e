"""ConceptHash as plain PyTorch modules: tensors in, tensors out."""

from concepthash.model.backbone import Backbone, create_vit
from concepthash.model.concepthash import ConceptHash, FreeCenters, Outputs, TextCenters
from concepthash.model.concepts import ConceptTokens

__all__ = [
    "Backbone",
    "ConceptHash",
    "ConceptTokens",
    "FreeCenters",
    "Outputs",
    "TextCenters",
    "create_vit",
]
