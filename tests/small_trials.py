"""Small trials that tests of training, methods and models share: 36 drawn birds, a small ViT."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from concepthash.data.readers import Paperbirds
from concepthash.data.split import Split
from concepthash.errors import InputError
from concepthash.methods.base import Method
from concepthash.plan import Trial
from concepthash.spec import TrialSpec, changed, parse_trial
from concepthash.train.checkpoint import Checkpoints
from concepthash.train.loop import train
from concepthash.train.setup import build_model

Changes = Mapping[str, Any]
Metrics = dict[str, float]

GOLDEN = Path(os.environ.get("CONCEPTHASH_GOLDEN") or Path(__file__).parent / "golden")
"""What published code computed; see its README.md."""

BIRDS = Paperbirds(species=4, families=2, train_images=6, test_images=3)
NAMES = ("tern", "warbler", "owl", "wren")
PRETRAINED = {"backbone.weights": "pretrained"}
"""The image encoder that ships with the project."""
TEXT = {"source": "open_clip", "model": "paperbirds", "pretrained": "none"}
BASE = parse_trial(
    {
        "num_bits": 16,
        "num_concepts": 4,
        "epochs": 2,
        "batch_size": 8,
        "language": "off",
        "backbone": {"name": "vit_paperbirds_patch8_64", "weights": "none", "image_size": 64},
        "tuning": "full",
        "concept_width": 32,
        "refinement": {"heads": 4},
        "optimizer": {"name": "adamw", "lr": 1e-3, "warmup_epochs": 1},
        "precision": "fp32",
        "validate_every": 1,
    }
)
METHODS: Mapping[str, Changes] = {
    "concepthash": {},
    "hashnet": {"method": "hashnet", "tuning": "full", "sharpen_every": 1},
    "itq": {"method": "itq"},
}
"""What makes the small trial one of each method."""


def spec(changes: Changes | None = None) -> TrialSpec:
    """The small trial's specification with dotted fields changed."""
    return changed(BASE, changes or {})


def trial(changes: Changes | None = None, *, seed: int = 0) -> Trial:
    return Trial(dataset=BIRDS, spec=spec(changes), seed=seed)


def built(changes: Changes | None = None, *, seed: int = 0) -> Method:
    """The model of a small trial of four classes and 20 training images, which are not read."""
    none = np.arange(0)
    split = Split(np.arange(4), np.arange(20), none, none, none)
    return build_model(trial(changes, seed=seed), NAMES, split).model


class Run(NamedTuple):
    """What a trial reported and left."""

    metrics: list[Metrics]
    folder: Path
    codes: dict[str, torch.Tensor]

    def checkpoint(self) -> dict[str, torch.Tensor]:
        (file,) = self.folder.glob("epoch-*.safetensors")
        return load_file(file)


def run(of: Trial, folder: Path, report: Callable[[Metrics], None] | None = None) -> Run:
    metrics: list[Metrics] = []
    train(of, report or metrics.append, Checkpoints(folder))
    return Run(metrics, folder, load_file(folder / "codes.safetensors"))


class Interruption(Exception):  # noqa: N818  nothing went wrong
    pass


def run_interrupted(of: Trial, folder: Path, *, after: int) -> Run:
    """The trial, stopped when it reports epoch `after` and then started again."""
    reported: list[Metrics] = []

    def report(metrics: Metrics) -> None:
        reported.append(metrics)
        if metrics["epoch"] == after:
            raise Interruption

    with pytest.raises(Interruption):
        run(of, folder, report)
    assert len(reported) == after
    torch.manual_seed(99)  # whatever happened in between
    resumed = run(of, folder)
    return resumed._replace(metrics=reported + resumed.metrics)


def same(some: Mapping[str, torch.Tensor], others: Mapping[str, torch.Tensor]) -> bool:
    return some.keys() == others.keys() and all(torch.equal(t, others[n]) for n, t in some.items())


def assert_same_run(ours: Run, expected: Run) -> None:
    """Bit by bit: every number reported, every code, every tensor of the checkpoint."""
    assert ours.metrics == expected.metrics
    assert same(ours.codes, expected.codes)
    assert same(ours.checkpoint(), expected.checkpoint())


def trainable(model: torch.nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


def complaint(call: Callable[..., object], *args: Any, **settings: Any) -> str:
    """The one line of the InputError that a call raises."""
    with pytest.raises(InputError) as caught:
        call(*args, **settings)
    (line,) = caught.value.lines
    assert "\n" not in line
    return line


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Models here are tiny: one thread computes them faster than several would."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
