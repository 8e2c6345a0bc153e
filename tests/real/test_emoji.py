"""The study of the emoji drawings: real images, a real pretrained ViT, real text embeddings.

The images lie outside the project, in the folder `shared` beside the checkout.
"""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

STUDY = Path(__file__).with_name("emoji.yaml")
SHARED = STUDY.parents[3] / "shared"

pytestmark = pytest.mark.skipif(
    not (SHARED / "datasets" / "emoji" / "manifest.csv").is_file(),
    reason="shared/datasets/emoji is not beside the checkout",
)


def run_and_report(folder, *sets):
    """The guidance table's mean test mAP by row."""
    for command in ("run", "report"):
        arguments = [sys.executable, "-m", "concepthash", command, str(STUDY), *sets]
        subprocess.run(arguments, cwd=folder, check=True)
    print((folder / "reports" / "emoji" / "report.md").read_text())
    table = pl.read_csv(folder / "reports" / "emoji" / "guidance.csv")
    return dict(zip(table["row"], table["mean"], strict=True))


def test_twenty_classes_for_one_epoch(tmp_path):
    sets = ["--set", "baseline.epochs=1", "--set", "dataset.num_classes=20"]
    scores = run_and_report(tmp_path, *sets)
    assert scores.keys() == {"text of the class names", "learned class centers"}
    # A ranking at random scores about 0.07 here: a class is 5 % of the database.
    assert all(0.1 < score < 1 for score in scores.values())


@pytest.mark.real
def test_the_whole_study_beats_the_prototype(tmp_path):
    scores = run_and_report(tmp_path)
    assert scores["text of the class names"] > 0.38
