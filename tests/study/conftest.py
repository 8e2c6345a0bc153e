"""A small real study, run through the real command on a local Ray."""

import subprocess
import sys

import pytest

STUDY = """
name: small
dataset: {name: paperbirds, species: 4, families: 2, train_images: 8, test_images: 4}
baseline:
  num_bits: 16
  epochs: 2
  backbone: {name: vit_paperbirds_patch8_64, weights: none, image_size: 64}
  language: {source: open_clip, model: paperbirds, pretrained: none}
  tuning: full
  concept_width: 64
  validate_every: 1
  optimizer: {name: adamw, warmup_epochs: 1}
seeds: [0]
tables:
  - name: guidance
    rows: [{label: guided}, {label: free centers, language: off}]
"""


class Workplace:
    """A folder with a study in it, where commands are run."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "small.yaml"
        self.file.write_text(STUDY)

    def start(self, *arguments):
        command = [sys.executable, "-m", "concepthash", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.folder, **pipes)

    def call(self, *arguments):
        """Exit code and output, which is kept in pytest's report of a failure."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=400)
        print(f"$ concepthash-study {' '.join(map(str, arguments))}\n{output}")
        return process.returncode, output


@pytest.fixture
def workplace(tmp_path):
    return Workplace(tmp_path)
