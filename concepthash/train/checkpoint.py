"""A trial's folder: its latest checkpoint and the tensors it leaves behind.

Tensors are safetensors, the rest is JSON. A checkpoint becomes the latest by one rename of
`checkpoint.json`, so a killed process leaves the one before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from concepthash.errors import InputError
from concepthash.tensor_files import save_tensors

_INDEX = "checkpoint.json"
_OPTIMIZER = "optimizer."
_MODEL = "model."


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one trial, in one folder; only the latest is kept."""

    folder: Path
    digest: str = ""
    """Of the trial; a checkpoint of any other is refused."""

    def save(
        self,
        epoch: int,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None,
        data: str = "",
    ) -> None:
        """Keeps what training changed after `epoch` epochs: no frozen weight is written.

        `data` is the fingerprint of the images that it was trained on.
        """
        optimizer_state: dict[str, Any] = (
            {"state": {}, "param_groups": []} if optimizer is None else optimizer.state_dict()
        )
        tensors = {_MODEL + name: tensor for name, tensor in learned_state(model).items()}
        for index, values in optimizer_state["state"].items():
            for name, value in values.items():
                if value is not None:
                    tensors[f"{_OPTIMIZER}{index}.{name}"] = torch.as_tensor(value)
        file = f"epoch-{epoch:04d}.safetensors"
        save_tensors(self.folder / file, tensors)
        index = {
            "trial": self.digest,
            "data": data,
            "epoch": epoch,
            "file": file,
            "param_groups": optimizer_state["param_groups"],
        }
        temporary = self.folder / f".{_INDEX}.tmp"
        temporary.write_text(json.dumps(index, indent=1))
        os.replace(temporary, self.folder / _INDEX)
        for old in self.folder.glob("epoch-*.safetensors"):
            if old.name != file:
                old.unlink()

    def load(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | None, data: str = ""
    ) -> int:
        """Puts the latest checkpoint into both; returns its epoch, 0 if there is none.

        Raises InputError if it is that of another trial or model, or was trained on other images
        than those of the fingerprint `data`.
        """
        path = self.folder / _INDEX
        if not path.exists():
            return 0
        index: dict[str, Any] = json.loads(path.read_text())
        trial = index.get("trial")
        if trial != self.digest:
            raise InputError(
                f"{path}: is a checkpoint of trial {trial}, not of {self.digest}; give another"
                " folder, or remove this one"
            )
        if (trained_on := index.get("data")) != data:
            raise InputError(
                f"{path}: was trained on other images (fingerprint {trained_on}, now {data}); put"
                " them back, or remove this folder to train anew"
            )
        tensors = load_file(self.folder / index["file"])
        learned = {
            name.removeprefix(_MODEL): tensor
            for name, tensor in tensors.items()
            if name.startswith(_MODEL)
        }
        if _shapes(learned) != _shapes(learned_state(model)):
            raise InputError(f"{path}: is a checkpoint of another model; remove its folder")
        model.load_state_dict(learned, strict=False)
        epoch: int = index["epoch"]
        if optimizer is None:
            return epoch
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith(_OPTIMIZER):
                number, key = name.removeprefix(_OPTIMIZER).split(".", 1)
                state.setdefault(int(number), {})[key] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": index["param_groups"]})
        return epoch


def learned_state(model: nn.Module) -> dict[str, Tensor]:
    """The trainable parameters, and the buffers: what training changes, or may change."""
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
