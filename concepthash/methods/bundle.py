"""A trained model on disk: one .safetensors file from which it is built again without its data.

It holds the configuration, the weights, the input normalisation and the class names. Frozen
weights that timm's hub holds are not stored a second time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from concepthash.errors import InputError
from concepthash.methods.base import Method
from concepthash.methods.build import ModelConfig, build_method
from concepthash.tensor_files import save_tensors

FORMAT = 1
_KEY = "concepthash-model"


@dataclass(frozen=True)
class Bundle:
    """A model with what is needed to use it."""

    model: Method
    config: ModelConfig
    mean: Tensor
    """(3,) of the input normalisation, for values in [0, 1]."""
    std: Tensor
    class_names: tuple[str, ...] = ()
    """Of the classes that it was trained on, by label; empty where they are not known."""


def is_bundle(path: Path) -> bool:
    """Whether a .safetensors file says that it is a model."""
    return _KEY in _metadata(path)


def write_bundle(path: Path, bundle: Bundle, *, hub_weights: bool) -> None:
    """Writes the model, whole or not at all. `hub_weights`: the frozen backbone is timm's own."""
    state = bundle.model.state_dict()
    about = {
        "format": FORMAT,
        "config": bundle.config.as_json(),
        "hub_weights": hub_weights,
        "mean": bundle.mean.tolist(),
        "std": bundle.std.tolist(),
        "class_names": bundle.class_names,
    }
    stored = sorted(_stored(state, bundle.model, hub_weights))
    save_tensors(path, {name: state[name] for name in stored}, {_KEY: json.dumps(about)})


def read_bundle(path: Path) -> Bundle:
    """What `write_bundle` wrote, on the CPU and in evaluation mode. Raises InputError."""
    metadata = _metadata(path)
    if _KEY not in metadata:
        raise InputError(
            f"{path}: holds no model; give a model.safetensors of a trial, or what"
            " `concepthash-study import-checkpoint` wrote"
        )
    try:
        about: dict[str, Any] = json.loads(metadata[_KEY])
        if about["format"] != FORMAT:
            raise InputError(
                f"is a model of format {about['format']!r}, and this version reads format {FORMAT};"
                " read it with the version that wrote it, or write it again with this one"
            )
        config, hub_weights = ModelConfig.from_json(about["config"]), bool(about["hub_weights"])
        model = build_method(config, weights="pretrained" if hub_weights else "none")
        _load(model, path, hub_weights)
        mean, std = (torch.tensor(about[name], dtype=torch.float32) for name in ("mean", "std"))
        class_names = tuple(about["class_names"])
        _check_about(mean, std, class_names, config)
    except InputError as error:
        raise InputError(*(f"{path}: {line}" for line in error.lines)) from error
    # Whatever numbers and words that fit no model make its parts raise.
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise InputError(
            f"{path}: cannot be built again ({type(error).__name__}: {_first_line(error)}); write"
            " it again with this version"
        ) from error
    return Bundle(model.eval(), config, mean, std, class_names)


def _check_about(
    mean: Tensor, std: Tensor, class_names: tuple[str, ...], config: ModelConfig
) -> None:
    """Raises InputError unless these can be used."""
    for name, values in (("mean", mean), ("std", std)):
        if values.shape != (3,) or not values.isfinite().all():
            raise InputError(f"its {name} must be 3 finite numbers; write it again")
    if not (std > 0).all():
        raise InputError(f"its std must be above 0, but is {std.tolist()}; write it again")
    if not all(isinstance(name, str) for name in class_names):
        raise InputError("its class_names must be text; write it again")
    if len(class_names) not in (0, config.sizes.num_classes):
        raise InputError(
            f"it has {len(class_names)} class_names, but {config.sizes.num_classes} classes"
        )


def _stored(names: Iterable[str], model: Method, hub_weights: bool) -> set[str]:
    """Those of the names of a state that a file holds."""
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    from_hub = {name for name in names if name.startswith("backbone.")} - trained
    return set(names) - from_hub if hub_weights else set(names)


def _load(model: Method, path: Path, hub_weights: bool) -> None:
    """Puts the file's weights into the model. Raises InputError where they do not fit it."""
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    own = model.state_dict()
    wanted = _stored(own, model, hub_weights)
    unusable = (
        name
        for name, tensor in sorted(state.items())
        if tensor.is_floating_point() and not tensor.float().isfinite().all()
    )
    if (name := next(unusable, None)) is not None:
        raise InputError(f"{name} holds NaN or infinity; train the model again")
    wrong = [
        *(f"{name} is missing" for name in sorted(wanted - state.keys())),
        *(f"{name} is unknown" for name in sorted(state.keys() - wanted)),
        *(
            f"{name} is {_kind(state[name])}, not {_kind(own[name])}"
            for name in sorted(wanted & state.keys())
            if _kind(state[name]) != _kind(own[name])
        ),
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise InputError(
            f"its weights do not fit its configuration: {', '.join(wrong[:3])}{more}; write it"
            " again with this version"
        )
    model.load_state_dict(state, strict=False)


def _kind(tensor: Tensor) -> str:
    """Its shape, and its type if that is not the usual one."""
    usual = "" if tensor.dtype == torch.float32 else f" {tensor.dtype}"
    return f"{tuple(tensor.shape)}{usual}"


def _metadata(path: Path) -> Mapping[str, str]:
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would never end
        raise InputError(f"{path}: is no regular file; give a .safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path}: cannot be read as a .safetensors file ({_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
