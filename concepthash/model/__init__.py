"""ConceptHash as plain PyTorch modules: tensors in, tensors out."""

from concepthash.model.backbone import Backbone
from concepthash.model.concepthash import ConceptHash, FreeCenters, Outputs, TextCenters
from concepthash.model.concepts import ConceptTokens
from concepthash.model.vit import ViT, create_vit

__all__ = [
    "Backbone",
    "ConceptHash",
    "ConceptTokens",
    "FreeCenters",
    "Outputs",
    "TextCenters",
    "ViT",
    "create_vit",
]
