"""The fields of a trial that methods share.

`TrialFields` is every trial, `TrainedTrial` one that is learned by gradient descent, `FittedTrial`
one that is fitted once on the features of a frozen backbone. A method adds its own fields in
`spec/methods.py`. Defaults are those of the ConceptHash paper, unless the comment says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, field_validator

from concepthash.spec.optimizer import OptimizerSpec, Sgd
from concepthash.spec.protocol import Paper, ProtocolSpec
from concepthash.spec.tuning import Adapters, LinearProbe, TuningSpec
from concepthash.spec_base import Count, Spec, Switch, Word

Seed = Annotated[NonNegativeInt, Field(lt=2**32)]
"""What every random generator in use accepts."""

WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def is_path(key: str, value: Any) -> bool:
    """Whether `value` of a (dotted) key names a file or folder rather than a word."""
    last = key.rsplit(".", 1)[-1]
    if not isinstance(value, str):
        return False
    if last in ("weights", "pretrained"):
        return "/" in value or value.endswith(WEIGHT_SUFFIXES)
    return last in ("root", "embeddings")


def named_files(data: Any, key: str = "") -> Iterator[str]:
    """Every path in plain data, in a study's rows and a search's choices, too."""
    if is_path(key, data):
        yield data
    elif isinstance(data, Mapping):
        for name, value in data.items():
            yield from named_files(value, key if name == "choices" else name)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from named_files(value, key)


class BackboneSpec(Spec):
    name: Word = "vit_base_patch32_clip_quickgelu_224.openai"
    """Any Vision Transformer of timm, by timm's name."""
    weights: str = "pretrained"
    """`pretrained` (timm's hub), `none` (random), or a local .safetensors or .pth file."""
    image_size: Annotated[int, Field(ge=16, le=1024)] = 224
    """Side S of the input in pixels; position embeddings are interpolated to it."""

    @field_validator("weights")
    @classmethod
    def _word_or_file(cls, weights: str) -> str:
        if weights not in ("pretrained", "none") and not is_path("weights", weights):
            raise ValueError(
                "must be pretrained, none, or the path of a .safetensors or .pth file, but got"
                f" {weights!r}"
            )
        return weights


class TrialFields(Spec):
    """What every trial can vary, whatever its method."""

    num_bits: Annotated[int, Field(ge=1, le=4096)] = 64
    """K, the length of a code. The codes of all images are held in memory before they are
    binarized: 4,096 bits are 16 KiB an image, more than the features that they stand for."""
    backbone: BackboneSpec = BackboneSpec()
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`auto` is bf16 where the processor computes it natively."""
    protocol: ProtocolSpec = Paper()
    """Which images train the model, which are queries, and which are the database."""
    images_per_class: Count | None = None
    """Train on at most so many images of each class, drawn by seed; the database stays whole."""
    mean_center: Switch = "off"
    """Whether the database's mean is subtracted from the codes before they are binarized."""
    validation_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of each class's training images (of classes with at least 4) held out to choose by."""

    def without_effect(self) -> Mapping[str, str]:
        """Fields that change nothing in this trial, each with the setting that makes it so."""
        return {}


class TrainedTrial(TrialFields):
    """What a trial can vary that is learned by gradient descent."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Each is a row of the store and a point of the curves in a report."""
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 32
    """Images of a step, all in memory at once: 65,536 of 224 px are 37 GiB."""
    tuning: TuningSpec = Adapters()
    """What is trained of the backbone."""
    optimizer: OptimizerSpec = Sgd()
    augmentation: Literal["trivial", "crop-flip-color", "none"] = "trivial"
    compile: Switch = "off"
    """torch.compile of the model: minutes at the start, for faster steps; rounding differs."""
    validate_every: Count = 5
    """Epochs between two evaluations on the validation split; protocol published-code tests as
    often."""

    def without_effect(self) -> Mapping[str, str]:
        if self.validation_share == 0 and not self.protocol.test_chooses_epoch:
            return {"validate_every": "validation_share: 0"}
        return {}


class FittedTrial(TrialFields):
    """A trial that is fitted once on the features of the frozen backbone: it has one epoch."""

    epochs: ClassVar[int] = 1
    tuning: ClassVar[LinearProbe] = LinearProbe()
