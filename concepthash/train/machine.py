"""What a trial is computed with: rounding differs from one processor to another."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from concepthash.train.encoder import resolve_precision


def computed_with(precision: str, device: str) -> dict[str, str]:
    """`precision`, bf16 or fp32, as it is resolved here, and `processor`, its maker's name."""
    resolved = "bf16" if resolve_precision(precision, device) == torch.bfloat16 else "fp32"
    return {"precision": resolved, "processor": processor(device)}


def processor(device: str) -> str:
    """The name of the GPU or, on `cpu`, of the processor."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
