"""One trial without Ray and MLflow, and what is done with the codes and models it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from concepthash import cli

GOLDEN = Path(__file__).parents[1] / "golden"


def test_a_released_checkpoint_is_imported(main, tmp_path):
    golden = load_file(GOLDEN / "language.safetensors")
    state = {k.removeprefix("state."): t for k, t in golden.items() if k.startswith("state.")}
    torch.save(state, tmp_path / "best.pth")
    out = tmp_path / "out.safetensors"
    said = main("import-checkpoint", str(tmp_path / "best.pth"), str(out), "--num-heads", "4")
    assert said.strip() == f"{out}: 12 bits from 3 concepts, 7 classes"
    assert out.is_file()


PROBE = """
import sys
from concepthash import cli
try:
    cli.main()
finally:
    heavy = {"ray", "mlflow", "optuna"} & {name.partition(".")[0] for name in sys.modules}
    print("imported:", sorted(heavy))
"""


def test_trial_trains_one_trial_in_its_own_process_without_ray_and_mlflow(folder, main):
    plan = json.loads(main("plan", "study.yaml", "--json", "--set", "baseline.num_bits=8"))
    digest = plan["tables"][0]["cells"][1]["trials"][1]
    settings = ["--set", "baseline.num_bits=8", "--out", "kept"]
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, "trial", "study.yaml", "--id", digest[:6], *settings],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    metrics, imported = ran.stdout.splitlines()
    assert imported == "imported: []"
    words = metrics.split()
    values = dict(zip(words[::2], map(float, words[1::2]), strict=True))
    assert values["epoch"] == 1
    assert {"lr", "train/total", "val/map", "test/map", "test/quantization_error"} <= set(values)
    assert all(0 <= values[name] <= 1 for name in ("val/map", "test/map"))
    kept = sorted(path.name for path in Path("kept").iterdir())
    assert kept == [
        "checkpoint.json",
        "codes.safetensors",
        "epoch-0001.safetensors",
        "model.safetensors",
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["kept", "study.yaml"]


def test_codes_that_a_trial_kept_are_evaluated_without_its_images(folder, main, one_thread):
    digest = json.loads(main("plan", "study.yaml", "--json"))["trials"][0]["digest"]
    line = main("trial", "study.yaml", "--id", digest, "--out", "kept").strip()
    codes = "kept/codes.safetensors"
    text = main("evaluate", codes, "--metric", "map", "--metric", "precision@5")
    map_, precision = text.splitlines()[-2:]
    reported = dict(zip(line.split()[::2], line.split()[1::2], strict=True))
    assert map_.split() == ["map", reported["test/map"]]
    assert 0 <= float(precision.removeprefix("  precision@5 ")) <= 1
    every = json.loads(main("evaluate", codes, "--json"))
    assert every["metrics"]["map"] == pytest.approx(float(reported["test/map"]), abs=1e-3)
    one = main("evaluate", codes, "--concept", "1", "--mean-center", "--metric", "cost", "--json")
    assert json.loads(one)["metrics"]["cost"]["bits"] == 4
    assert (json.loads(one)["concept"], json.loads(one)["mean_center"]) == (1, "on")


def test_codes_of_a_mean_centered_trial_are_evaluated_as_the_trial_did(folder, main, one_thread):
    settings = ["--set", "baseline.mean_center=on"]
    digest = json.loads(main("plan", "study.yaml", "--json", *settings))["trials"][0]["digest"]
    words = main("trial", "study.yaml", "--id", digest, "--out", "kept", *settings).split()
    result = json.loads(main("evaluate", "kept/codes.safetensors", "--metric", "map", "--json"))
    assert result["mean_center"] == "on"
    reported = float(words[words.index("test/map") + 1])
    assert result["metrics"]["map"] == pytest.approx(reported, rel=1e-3)
    plain = json.loads(
        main("evaluate", "kept/codes.safetensors", "--metric", "map", "--no-mean-center", "--json")
    )
    assert plain["metrics"]["map"] != pytest.approx(reported, rel=1e-3)


def test_a_model_that_a_trial_kept_gives_the_same_codes_on_the_studys_images(
    folder, main, one_thread
):
    digest = json.loads(main("plan", "study.yaml", "--json"))["trials"][0]["digest"]
    main("trial", "study.yaml", "--id", digest, "--out", "kept")
    asked = ["--metric", "map", "--metric", "concept_maps", "--json"]
    of_codes = json.loads(main("evaluate", "kept/codes.safetensors", *asked))
    # The study's own baseline has other bits: the model's configuration is what counts.
    of_model = json.loads(
        main("evaluate", "kept/model.safetensors", "--study", "study.yaml", *asked)
    )
    assert of_model["metrics"] == of_codes["metrics"]
    assert of_model["dataset"] == "paperbirds"


def test_a_model_without_a_study_is_told_from_codes(folder, main, one_thread, capsys, monkeypatch):
    digest = json.loads(main("plan", "study.yaml", "--json"))["trials"][0]["digest"]
    main("trial", "study.yaml", "--id", digest, "--out", "kept")
    monkeypatch.setattr(sys, "argv", ["concepthash-study", "evaluate", "kept/model.safetensors"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("kept/model.safetensors: is a model, not codes")


def test_trial_prints_a_line_an_epoch_and_tests_after_the_last(folder, main, one_thread):
    settings = ["--set", "baseline.epochs=2", "--set", "baseline.precision=fp32"]
    plan = json.loads(main("plan", "study.yaml", "--json", *settings))
    lines = main("trial", "study.yaml", "--id", plan["trials"][0]["digest"], *settings).splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", "1"], ["epoch", "2"]]
    assert ["test/map" in line for line in lines] == [False, True]
    assert sorted(path.name for path in folder.iterdir()) == ["study.yaml"]
