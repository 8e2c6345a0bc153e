"""Small trials, and the models built from them."""

from __future__ import annotations

import pytest

from concepthash.build import build_model
from concepthash.errors import InputError
from concepthash.model import ConceptHash
from concepthash.plan import Trial
from concepthash.spec import BackboneSpec, OpenClipText, PaperbirdsSpec, TrialSpec

NAMES = ("tern", "warbler", "owl")
BIRDS = PaperbirdsSpec(name="paperbirds", species=4, families=2, train_images=2, test_images=1)
BACKBONE = BackboneSpec(name="vit_paperbirds_patch8_64", weights="none", image_size=64)
TEXT = OpenClipText(source="open_clip", model="paperbirds", pretrained="none")
SMALL = {
    "num_bits": 8,
    "num_concepts": 2,
    "concept_width": 16,
    "refinement_heads": 2,
    "adapter_width": 8,
    "language": "off",
    "backbone": BACKBONE,
}


def small(**settings) -> TrialSpec:
    return TrialSpec(**{**SMALL, **settings})


def built(seed: int = 0, **settings) -> ConceptHash:
    return build_model(Trial(dataset=BIRDS, spec=small(**settings), seed=seed), NAMES).model


def complaint(read, *args) -> str:
    with pytest.raises(InputError) as caught:
        read(*args)
    (line,) = caught.value.lines
    return line
