"""From a trial's specification to data, model, losses and optimizer: where spec meets maths."""

from concepthash.build.images import dataset_root, open_images
from concepthash.build.language import class_embeddings, text_embeddings
from concepthash.build.model import build_backbone, build_model
from concepthash.build.split import build_split
from concepthash.build.training import (
    build_optimizer,
    check_compiler,
    compile_model,
    loss_weights,
    resolve_precision,
)

__all__ = [
    "build_backbone",
    "build_model",
    "build_optimizer",
    "build_split",
    "check_compiler",
    "class_embeddings",
    "compile_model",
    "dataset_root",
    "loss_weights",
    "open_images",
    "resolve_precision",
    "text_embeddings",
]
