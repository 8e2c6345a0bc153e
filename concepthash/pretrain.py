"""Trains the tiny CLIP that ships with the project: `make pretrain`.

Contrastive learning (Radford et al., ICML 2021) with open_clip's model, tokenizer and loss, on
paperbirds and their names. The species are those of partitions 1 to 3, while studies use partition
0: they share parts, colours and families, but no species.

    python -m concepthash.pretrain --out FOLDER [--steps N] [--species N] [--images N] [--seed N]
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import open_clip
import torch
import typer
from safetensors.torch import save_file
from torch import Tensor

from concepthash.model.language import encoder_embeddings
from concepthash.model.tiny_clip import (
    CLIP_FILE,
    IMAGE_ENCODER_FILE,
    MODEL,
    RECORD_FILE,
    register_with_open_clip,
)
from concepthash.paperbirds import PaperbirdsSettings, Species, draw_image, species_of

PARTITIONS = (1, 2, 3)
DIFFICULTY = "normal"
PROMPTS = ("a photo of a {}", "a drawing of a {}", "a picture of a {}", "a {}", "one {} outdoors")
MEAN, STD = 0.5, 0.25  # input normalisation of the image encoder, for values in [0, 1]


class Birds(NamedTuple):
    """Images of many species, in memory."""

    pixels: Tensor
    """(species, images, 3, S, S) uint8."""
    names: tuple[str, ...]


def draw_birds(settings: list[PaperbirdsSettings], images: int) -> Birds:
    """`images` training images of each species of each of the settings."""
    every = [(each, species) for each in settings for species in species_of(each)]
    with ProcessPoolExecutor() as pool:
        drawn = list(pool.map(partial(_draw, images), every, chunksize=8))
    names = tuple(species.name for _, species in every)
    return Birds(torch.from_numpy(np.stack(drawn)), names)


def _draw(images: int, of: tuple[PaperbirdsSettings, Species]) -> np.ndarray:
    return _pictures(*of, "train", images)


def _pictures(
    settings: PaperbirdsSettings, species: Species, split: str, images: int
) -> np.ndarray:
    """(images, 3, S, S) uint8"""
    drawn = [draw_image(settings, species, split, number).image for number in range(images)]
    return np.stack([np.asarray(picture).transpose(2, 0, 1) for picture in drawn])


def train(birds: Birds, *, steps: int, batch_size: int, lr: float, seed: int) -> Any:
    """The CLIP model after `steps` batches; the images of a batch are of different species."""
    torch.manual_seed(seed)
    register_with_open_clip()
    model: Any = open_clip.create_model(MODEL)
    tokenize = open_clip.get_tokenizer(MODEL)
    loss_of = open_clip.ClipLoss()
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=lr,
        betas=(0.9, 0.98),
        fused=True,
    )
    warmup = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / steps)) + 1e-3),
    )
    started = time.monotonic()
    for step, (pixels, captions) in enumerate(_batches(birds, steps, batch_size, seed), start=1):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = model(pixels, tokenize(captions))
        image, text, scale = (tensor.float() for tensor in features)
        loss = loss_of(image, text, scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(100))  # as in CLIP
        if step % 50 == 0 or step == steps:
            seconds = time.monotonic() - started
            typer.echo(f"step {step}/{steps}  loss {loss.item():.3f}  {seconds:.0f} s")
    return model.eval()


def _batches(
    birds: Birds, steps: int, batch_size: int, seed: int
) -> Iterator[tuple[Tensor, list[str]]]:
    """Images (B, 3, S, S) of B different species, half of them flipped, and B captions."""
    rng = np.random.default_rng(seed)
    species, images = birds.pixels.shape[:2]
    for _ in range(steps):
        chosen = rng.choice(species, size=min(batch_size, species), replace=False)
        pixels = birds.pixels[chosen, rng.integers(images, size=len(chosen))]
        mirrored = torch.from_numpy(rng.random(len(chosen)) < 0.5).view(-1, 1, 1, 1)
        pixels = torch.where(mirrored, pixels.flip(-1), pixels)
        prompts = rng.integers(len(PROMPTS), size=len(chosen))
        captions = [PROMPTS[p].format(birds.names[s]) for p, s in zip(prompts, chosen, strict=True)]
        yield normalized(pixels), captions


def normalized(pixels: Tensor) -> Tensor:
    return (pixels.float() / 255 - MEAN) / STD


@torch.no_grad()
def zero_shot_accuracy(model: Any, settings: PaperbirdsSettings) -> float:
    """Share of the test images whose own species' name is the most similar, of all species."""
    names = [species.name for species in species_of(settings)]
    text = encoder_embeddings(model, MODEL, names, PROMPTS)
    right = 0
    for label, species in enumerate(species_of(settings)):
        pictures = _pictures(settings, species, "test", settings.test_images)
        pixels = normalized(torch.from_numpy(pictures))
        similarity = model.encode_image(pixels, normalize=True) @ text.T
        right += int((similarity.argmax(1) == label).sum())
    return right / (len(names) * settings.test_images)


def write(model: Any, folder: Path, record: dict[str, Any]) -> None:
    """Write the model for open_clip, its image encoder for timm (both float16), and the record."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    trunk = "visual.trunk."
    encoder = {k.removeprefix(trunk): t.clone() for k, t in state.items() if k.startswith(trunk)}
    save_file(state, folder / CLIP_FILE.name)
    save_file(encoder, folder / IMAGE_ENCODER_FILE.name)
    record["sha256"] = {
        file.name: hashlib.sha256((folder / file.name).read_bytes()).hexdigest()
        for file in (CLIP_FILE, IMAGE_ENCODER_FILE)
    }
    (folder / RECORD_FILE.name).write_text(json.dumps(record, indent=2) + "\n")


def main(
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    species: Annotated[int, typer.Option(help="Of each of the three partitions.")] = 1200,
    images: Annotated[int, typer.Option(help="Of each species.")] = 12,
    steps: int = 1200,
    batch_size: int = 256,
    lr: float = 1e-3,
    seed: int = 0,
    threads: int = 2,
) -> None:
    """Draws birds, trains the model, and writes its weights and a record of the run."""
    torch.set_num_threads(threads)
    started = time.monotonic()
    sets = [
        PaperbirdsSettings(
            species=species,
            families=12,
            difficulty=DIFFICULTY,
            partition=partition,
            seed=seed,
        )
        for partition in PARTITIONS
    ]
    birds = draw_birds(sets, images)
    typer.echo(f"{len(birds.names)} species x {images} drawn, {time.monotonic() - started:.0f} s")
    model = train(birds, steps=steps, batch_size=batch_size, lr=lr, seed=seed)
    # The weights are shipped in float16, so these are evaluated.
    model.load_state_dict({k: t.half().float() for k, t in model.state_dict().items()})
    study = PaperbirdsSettings(difficulty=DIFFICULTY)
    accuracy = zero_shot_accuracy(model, study)
    minutes = (time.monotonic() - started) / 60
    packages = ("torch", "open_clip_torch", "timm", "numpy", "pillow")
    record = {
        "command": f"python -m concepthash.pretrain {' '.join(sys.argv[1:])}",
        "seed": seed,
        "species": len(birds.names),
        "images": len(birds.names) * images,
        "steps": steps,
        "batch_size": batch_size,
        "zero_shot": {
            "accuracy": accuracy,
            "species": study.species,
            "images": study.species * study.test_images,
            "chance": 1 / study.species,
        },
        "minutes": round(minutes, 1),
        "threads": threads,
        "versions": {name: version(name) for name in packages},
    }
    write(model, out, record)
    typer.echo(f"zero-shot {accuracy:.1%} of {study.species} unseen species; {minutes:.1f} min")


if __name__ == "__main__":
    typer.run(main)
