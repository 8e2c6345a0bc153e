"""Training on a GPU."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from small_trials import METHODS, Metrics, run, trial

from concepthash.train.checkpoint import Checkpoints
from concepthash.train.evaluation import codes_of_model
from concepthash.train.loop import train


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU is visible")
@pytest.mark.parametrize("method", METHODS)
def test_a_trial_on_a_gpu_agrees_with_the_cpu(method, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    of = trial(METHODS[method])
    metrics: list[Metrics] = []
    train(of, metrics.append, Checkpoints(tmp_path), device="cuda")
    on_cpu = run(of, tmp_path / "cpu").metrics
    assert [m.keys() for m in metrics] == [m.keys() for m in on_cpu]
    for name in (name for name in on_cpu[0] if name.startswith("train/")):
        assert metrics[0][name] == pytest.approx(on_cpu[0][name], rel=1e-2), name
    # The model that was trained on the GPU gives its codes on the CPU, too.
    codes = load_file(tmp_path / "codes.safetensors")
    again = codes_of_model(tmp_path / "model.safetensors", of, device="cpu")
    torch.testing.assert_close(again.query_codes, codes["query_codes"], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(again.database_codes, codes["database_codes"], rtol=1e-3, atol=1e-3)
