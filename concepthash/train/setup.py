"""Everything that a trial needs before it trains: where its specification meets the maths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from concepthash.data.cache import Pixels, load_pixels
from concepthash.data.file_digests import contents
from concepthash.data.image_set import ImageSet
from concepthash.data.readers import open_images
from concepthash.data.split import Split, TrainingImages
from concepthash.errors import InputError
from concepthash.methods.base import Sizes
from concepthash.methods.build import (
    BackboneConfig,
    ModelConfig,
    build_method,
    normalisation,
)
from concepthash.methods.bundle import Bundle
from concepthash.plan import Trial
from concepthash.spec import TrainedTrial, TrialSpec
from concepthash.train.encoder import Encoder
from concepthash.train.language import class_embeddings
from concepthash.train.optimizer import compile_model


@dataclass(frozen=True)
class Setup:
    """The data and the model of one trial on one device."""

    trial: Trial
    images: ImageSet
    pixels: Pixels
    split: Split
    bundle: Bundle
    """The model, as it is saved after training."""
    encoder: Encoder
    """The same model, as it is used."""
    workers: int

    @property
    def targets(self) -> np.ndarray:
        """(N,) what the model learns of each image: its class's place among those trained."""
        return np.searchsorted(self.split.classes, self.images.labels)


def prepare(trial: Trial, device: str, workers: int, bundle: Bundle | None = None) -> Setup:
    """Reads the data and builds the model, or takes the one of `bundle`.

    Raises InputError for input that cannot be used.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda: this process sees no GPU; use cpu")
    spec = trial.spec
    _check_contents(trial)
    images = open_images(trial.dataset)
    split = split_images(spec, images, trial.seed)
    bundle = bundle or build_model(trial, images.class_names, split)
    pixels = load_pixels(images, bundle.config.backbone.image_size)
    encoder = Encoder.of_bundle(bundle, precision=spec.precision, device=device)
    if isinstance(spec, TrainedTrial) and spec.compile == "on":
        compile_model(bundle.model)
    return Setup(trial, images, pixels, split, bundle, encoder, workers)


def _check_contents(trial: Trial) -> None:
    """Raises InputError if a file does not hold what it held when the study was planned."""
    for path, digits in contents(trial.files()).items():
        planned = trial.contents.get(str(path), digits)
        if digits != planned:
            raise InputError(
                f"{path}: is not the file that the study was started with (content {digits}, then"
                f" {planned}); every machine needs the same, unchanged while the study runs"
            )


def split_images(spec: TrialSpec, images: ImageSet, seed: int) -> Split:
    """The trial's split. Raises InputError if the data set does not have what it takes."""
    training = TrainingImages(spec.validation_share, spec.images_per_class, seed)
    return spec.protocol.split(images.labels, images.is_train, training)


def build_model(trial: Trial, class_names: Sequence[str], split: Split) -> Bundle:
    """The trial's model, initialised from its seed. Raises InputError if its files do not fit."""
    spec = trial.spec
    # A method without the field takes no class embeddings.
    embeddings = class_embeddings(getattr(spec, "language", "off"), class_names, trial.seed)
    if embeddings is not None:
        embeddings = embeddings[split.classes.tolist()]
    config = model_config(
        spec,
        Sizes(spec.num_bits, len(split.classes), len(split.training), spec.tuning.own_tokens),
        embedding_width=None if embeddings is None else embeddings.shape[1],
    )
    torch.manual_seed(trial.seed)
    model = build_method(config, embeddings, weights=spec.backbone.weights)
    trained = tuple(class_names[label] for label in split.classes)
    return Bundle(model, config, *normalisation(model.backbone), trained)


def model_config(spec: TrialSpec, sizes: Sizes, *, embedding_width: int | None) -> ModelConfig:
    """What a model of this trial is built from."""
    # What is left are the method's own fields; the embeddings are given when it is built.
    options = spec.model_dump(mode="json", exclude={*TrainedTrial.model_fields, "method"})
    if options.pop("language", None) is not None:
        options["class_embeddings"] = None
    return ModelConfig(spec.method, sizes, options, backbone_config(spec), embedding_width)


def backbone_config(spec: TrialSpec) -> BackboneConfig:
    backbone = spec.backbone
    return BackboneConfig(backbone.name, backbone.image_size, **spec.tuning.backbone_settings())
