"""Two small studies, and a real store with trials that a search sampled."""

from __future__ import annotations

from pathlib import Path

from concepthash.plan import Trial, make_plan
from concepthash.spec import load_study
from concepthash.study.points import point_at
from concepthash.tracking.recorder import Recorder
from concepthash.tracking.source import Source
from concepthash.tracking.store import open_store

BASELINE = """\
dataset: {name: paperbirds, species: 4, families: 2, train_images: 6, test_images: 3}
baseline:
  num_bits: 16
  num_concepts: 4
  epochs: 1
  batch_size: 8
  language: off
  backbone: {name: vit_paperbirds_patch8_64, weights: none, image_size: 64}
  tuning: {width: 16}
  concept_width: 32
  refinement: {heads: 2}
"""
STUDY = f"""\
name: tiny
title: A tiny study
{BASELINE}
seeds: [0, 1]
tables:
  - name: bits
    rows: {{num_bits: [16, 32]}}
"""
SEARCH = f"""\
name: weights
{BASELINE}  precision: fp32
seeds: [0, 1]
tables:
  - name: weights
    search:
      trials: 2
      space: {{loss.quantization: {{low: 0.1, high: 10, log: true}}}}
"""


def record(folder: Path, file: str, *overrides: str) -> Trial:
    """Puts two trials that the search in `file` sampled into the store in `folder`.

    Returns the better one.
    """
    path = Path(file)
    plan = make_plan(load_study(path, overrides).spec)
    recorder = Recorder(open_store(f"sqlite:///{folder}/mlflow.db"), plan, {})
    recorder.open(Source(path.resolve(), overrides))
    trials = []
    for weight, value in ((0.5, 0.25), (2.0, 0.75)):
        values = {"loss.quantization": weight}
        trial = point_at(plan.baseline, values).trial
        recorder.begin(trial, device="cpu", threads=1, table="weights", sampled=values)
        metrics = {"epoch": 1, "train/total": 9.0, "val/map": value, "test/map": value}
        recorder.log(trial.digest, metrics, None, {"precision": "fp32", "processor": "a CPU"})
        recorder.finish(trial.digest, None)
        trials.append(trial)
    recorder.close("FINISHED")
    return trials[-1]
