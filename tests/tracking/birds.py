"""A small study, and a trial of it as the driver records it."""

from __future__ import annotations

import torch
from safetensors.torch import save_file

from concepthash.plan import make_plan
from concepthash.spec import StudySpec

STUDY = StudySpec.model_validate_json(
    """{"name": "birds", "dataset": {"name": "paperbirds"}, "seeds": [0, 1],
        "baseline": {"epochs": 2},
        "tables": [{"name": "t", "rows": [{"label": "on"}, {"language": "off"}]}]}"""
)
TRIALS = list(make_plan(STUDY).trials.values())
HERE = {"precision": "fp32", "processor": "AMD EPYC"}


def train(recorder, trial, folder):
    """A trial of two epochs, as the driver records it."""
    recorder.begin(trial, device="cpu", threads=1)
    recorder.log(trial.digest, {"epoch": 1, "train/total": 9.0}, "checkpoints/1", HERE)
    recorder.log(
        trial.digest, {"epoch": 2, "train/total": 4.0, "test/map": 0.5}, "checkpoints/2", HERE
    )
    save_file({"query_codes": torch.ones(2, 4)}, folder / "codes.safetensors")
    recorder.finish(trial.digest, folder)
