"""One training step of the paper's model: this project's beside a plain implementation.

The plain one does what published code usually does: all tokens through all blocks with eager
attention, every attention matrix and hidden state returned, a loop over concepts, float32. Both
start from the same weights and must give the same loss before any is timed. Steps are taken in
turn, so that a noisy machine disturbs all alike; ratios are medians over the rounds.

    python benchmarks/train_step.py [--device cuda] [--rounds 8] [--batch-size 32] [--compile]
"""

from __future__ import annotations

import copy
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import typer
from timm.layers.activations import quick_gelu
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from concepthash.data.readers import Cub
from concepthash.data.split import Split
from concepthash.methods.concepthash import ConceptHash, ConceptOutputs, concept_hash_losses
from concepthash.plan import Trial
from concepthash.spec import BackboneSpec, ConceptHashTrial, OrthogonalEmbeddings
from concepthash.train.optimizer import build_optimizer
from concepthash.train.setup import build_model

NUM_CLASSES = 200  # of CUB-200-2011
PAPER = ConceptHashTrial(backbone=BackboneSpec(weights="none"), language=OrthogonalEmbeddings())


class Way(NamedTuple):
    """One way to take a step."""

    name: str
    step: Callable[[], float]
    """Takes one step and returns its loss."""
    matmul: torch.dtype


class Timed(NamedTuple):
    name: str
    seconds: list[float]
    flop: int
    rate: float
    """Of the machine's matrix product in this way's type, FLOP/s."""


def plain_forward(model: ConceptHash, images: Tensor) -> tuple[ConceptOutputs, list[Tensor]]:
    """The model's outputs computed the plain way, and all that it keeps on the way."""
    stem, kept = model.backbone.stem, []
    num_concepts = len(model.concepts.queries)
    x = stem._pos_embed(stem.patch_embed(images))
    x = torch.cat([x, model.concepts().repeat(len(x), 1, 1)], dim=1)
    x = stem.norm_pre(x)
    for adapted in model.backbone.blocks:
        block: Any = adapted.block
        h, attention = plain_attention(block.attn, block.norm1(x))
        x = x + adapted.adapt_attention(h)
        h = block.mlp.fc2(quick_gelu(block.mlp.fc1(block.norm2(x))))
        x = x + adapted.adapt_mlp(h)
        kept += [x, attention]
    z = x[:, -num_concepts:]
    sub_codes, concept_cos = [], []
    for m in range(num_concepts):
        sub_codes.append(model.to_bits(z[:, m] + model.specificity[m]))
        position = z[:, m] + model.concept_position[m]
        concept_cos.append(cosine(position, model.class_weights))
    codes = model.norm(torch.cat(sub_codes, dim=1))
    centers = model.centers()
    outputs = ConceptOutputs(
        codes=codes,
        cos_to_centers=cosine(codes, centers),
        cos_to_sign_centers=cosine(codes, centers.sign()),
        concept_embeddings=z,
        concept_cos=torch.stack(concept_cos, dim=1),
        concept_attention=attention[:, :, -num_concepts:, 1:-num_concepts],
    )
    return outputs, kept


def plain_attention(attn: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Three projections, as in the CLIP of transformers that the released code builds on."""
    batch, length, width = x.shape
    weights, biases = attn.qkv.weight.chunk(3), attn.qkv.bias.chunk(3)
    q, k, v = (
        F.linear(x, weight, bias).view(batch, length, attn.num_heads, -1).transpose(1, 2)
        for weight, bias in zip(weights, biases, strict=True)
    )
    attention = (q * attn.scale @ k.transpose(-2, -1)).softmax(dim=-1)
    return attn.proj((attention @ v).transpose(1, 2).reshape(batch, length, width)), attention


def cosine(x: Tensor, y: Tensor) -> Tensor:
    return F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).T


def ways(device: str, batch_size: int, compiled: bool) -> list[Way]:
    trial = Trial(dataset=Cub(root=Path("unused")), spec=PAPER, seed=0)
    names = [f"class {c}" for c in range(NUM_CLASSES)]
    none = np.arange(0)
    split = Split(np.arange(NUM_CLASSES), none, none, none, none)
    model = build_model(trial, names, split).model.to(device).train()
    size = PAPER.backbone.image_size
    images = torch.randn(batch_size, 3, size, size, device=device)
    labels = torch.randint(NUM_CLASSES, (batch_size,), device=device)

    def way(name: str, dtype: torch.dtype, plain: bool) -> Way:
        ours = copy.deepcopy(model)
        if plain:
            trained = [p for p in ours.parameters() if p.requires_grad]
            spec = PAPER.optimizer
            optimizer: torch.optim.Optimizer = torch.optim.SGD(
                trained, spec.lr, spec.momentum, weight_decay=spec.weight_decay
            )
        else:
            optimizer, _ = build_optimizer(PAPER.optimizer, ours, epochs=100, steps_per_epoch=188)
            if compiled:
                ours.compile()

        def step() -> float:
            with torch.autocast(
                torch.device(device).type, dtype=dtype, enabled=dtype != torch.float32
            ):
                outputs, _kept = plain_forward(ours, images) if plain else (ours(images), None)
            loss = concept_hash_losses(outputs, labels).total
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return float(loss.detach())

        return Way(name, step, dtype)

    suffix = ", compiled" if compiled else ""
    return [
        way("plain, float32", torch.float32, plain=True),
        way(f"here, float32{suffix}", torch.float32, plain=False),
        way(f"here, bfloat16{suffix}", torch.bfloat16, plain=False),
    ]


def matmul_rate(device: str, dtype: torch.dtype, size: int = 4096, rounds: int = 5) -> float:
    """FLOP/s of the best of a few square matrix products."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(rounds):
        start = now(device)
        a @ b
        times.append(now(device) - start)
    return 2 * size**3 / min(times)


def now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def main(
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    rounds: int = 8,
    batch_size: int = 32,
    compiled: Annotated[bool, typer.Option("--compile")] = False,
) -> None:
    """Prints the table of benchmarks/RESULTS.md."""
    every = ways(device, batch_size, compiled)
    first = [way.step() for way in every]  # the same weights: the same loss
    torch.testing.assert_close(first[1], first[0], rtol=1e-4, atol=0)
    torch.testing.assert_close(first[2], first[0], rtol=2e-2, atol=0)
    rates = {dtype: matmul_rate(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    timed = []
    for way in every:
        # The counter knows no fused attention of a CPU: it counts the same sums done one by one.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            way.step()
        timed.append(Timed(way.name, [], counter.get_total_flops(), rates[way.matmul]))
    for _ in range(rounds):
        for way, of_way in zip(every, timed, strict=True):
            start = now(device)
            way.step()
            of_way.seconds.append(now(device) - start)
    chip = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "CPU"
    typer.echo(
        f"ViT-B/32, M = 4, adapters 384, batch {batch_size}; {chip}, {torch.get_num_threads()}"
        f" threads, torch {torch.__version__}; loss {first[0]:.4f}, {first[1]:.4f}, {first[2]:.4f}"
    )
    typer.echo(table(timed, batch_size))


def table(timed: list[Timed], batch_size: int) -> str:
    lines = [
        "| step | s | steps/s | images/s | GFLOP | GFLOP/s | of the matrix product's | faster |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for of_way in timed:
        seconds = statistics.median(of_way.seconds)
        pairs = zip(timed[0].seconds, of_way.seconds, strict=True)
        faster = statistics.median(plain / ours for plain, ours in pairs)
        lines.append(
            f"| {of_way.name} | {seconds:.3f} | {1 / seconds:.2f} | {batch_size / seconds:.1f}"
            f" | {of_way.flop / 1e9:.0f} | {of_way.flop / seconds / 1e9:.0f}"
            f" | {of_way.flop / seconds / of_way.rate:.0%} of {of_way.rate / 1e9:.0f}"
            f" | {faster:.2f}x |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
