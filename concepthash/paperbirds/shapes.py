"""The shapes of the families: what all species of one family have in common.

A bird stands in its own frame: x runs forward (it looks right), y runs down, the middle of the
body is the origin and the body is two units long. Angles are in degrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Head(NamedTuple):
    """A disc."""

    x: float
    y: float
    radius: float


class Neck(NamedTuple):
    """From the shoulder to the head; it bends towards a point and is so wide there."""

    x: float
    y: float
    half_width: float


class Beak(NamedTuple):
    """Pointed like a cone at bluntness 1, round near 0; the tip droops by so much."""

    length: float
    half_depth: float
    droop: float
    bluntness: float


class Wing(NamedTuple):
    """Rounder the lower `pointed` is."""

    length: float
    half_width: float
    pointed: float


class Tail(NamedTuple):
    """Points back and down by `angle`, as wide as `base` and `end` say (halves)."""

    length: float
    angle: float
    base: float
    end: float
    fork: float = -0.2  # above 0 the end is forked, below 0 rounded


@dataclass(frozen=True)
class Shape:
    """The shape of one family."""

    depth: float  # half the body's depth
    tilt: float  # the body's slope, head up
    head: Head
    neck: Neck
    beak: Beak
    wing: Wing
    tail: Tail
    leg: float = 0.6  # length
    eye: float = 0.17  # radius, in head radii
    egg: float = 0.22  # how much fuller the body is in front
    crest: str = "none"  # tufts, peak, plume, spikes
    perch: float | None = 0.0  # slope of the branch it sits on; None: it stands on the ground
    frontal: bool = False  # looks at the viewer
    hovers: bool = False  # the wings are always up


SHAPES: Mapping[str, Shape] = {
    "warbler": Shape(
        depth=0.66, tilt=28, leg=0.55,
        head=Head(x=0.78, y=-0.78, radius=0.54),
        neck=Neck(x=0.55, y=-0.45, half_width=0.5),
        beak=Beak(length=0.42, half_depth=0.11, droop=0.03, bluntness=1.0),
        wing=Wing(length=1.35, half_width=0.4, pointed=0.9),
        tail=Tail(length=0.95, angle=26, base=0.2, end=0.26, fork=0.18),
    ),
    "owl": Shape(
        depth=0.84, tilt=74, leg=0.3, eye=0.3, egg=0.12, crest="tufts", frontal=True,
        head=Head(x=0.3, y=-1.3, radius=0.76),
        neck=Neck(x=0.3, y=-0.9, half_width=0.72),
        beak=Beak(length=0.36, half_depth=0.15, droop=0.0, bluntness=0.8),
        wing=Wing(length=1.5, half_width=0.48, pointed=0.8),
        tail=Tail(length=0.55, angle=66, base=0.32, end=0.34, fork=-0.2),
    ),
    "duck": Shape(
        depth=0.54, tilt=6, leg=0.3, egg=0.1, perch=None,
        head=Head(x=1.06, y=-0.9, radius=0.45),
        neck=Neck(x=0.92, y=-0.4, half_width=0.3),
        beak=Beak(length=0.62, half_depth=0.15, droop=0.02, bluntness=0.24),
        wing=Wing(length=1.3, half_width=0.36, pointed=0.8),
        tail=Tail(length=0.5, angle=-22, base=0.24, end=0.05, fork=-0.2),
    ),
    "heron": Shape(
        depth=0.5, tilt=24, leg=1.2, eye=0.19, crest="plume", perch=None,
        head=Head(x=1.16, y=-1.66, radius=0.36),
        neck=Neck(x=1.38, y=-0.62, half_width=0.2),
        beak=Beak(length=0.95, half_depth=0.12, droop=0.0, bluntness=0.9),
        wing=Wing(length=1.4, half_width=0.36, pointed=0.8),
        tail=Tail(length=0.4, angle=30, base=0.2, end=0.16, fork=-0.2),
    ),
    "woodpecker": Shape(
        depth=0.5, tilt=60, leg=0.38, crest="peak", perch=74,
        head=Head(x=0.86, y=-1.12, radius=0.46),
        neck=Neck(x=0.62, y=-0.7, half_width=0.34),
        beak=Beak(length=0.66, half_depth=0.14, droop=0.0, bluntness=0.85),
        wing=Wing(length=1.35, half_width=0.36, pointed=1.0),
        tail=Tail(length=0.85, angle=64, base=0.22, end=0.1, fork=-0.5),
    ),
    "hummingbird": Shape(
        depth=0.42, tilt=40, leg=0.16, eye=0.2, hovers=True,
        head=Head(x=0.82, y=-0.86, radius=0.4),
        neck=Neck(x=0.62, y=-0.5, half_width=0.33),
        beak=Beak(length=1.15, half_depth=0.055, droop=0.1, bluntness=0.7),
        wing=Wing(length=1.5, half_width=0.3, pointed=1.2),
        tail=Tail(length=0.7, angle=44, base=0.16, end=0.28, fork=0.3),
    ),
    "gull": Shape(
        depth=0.52, tilt=10, leg=0.62, perch=None,
        head=Head(x=0.96, y=-0.74, radius=0.43),
        neck=Neck(x=0.72, y=-0.42, half_width=0.4),
        beak=Beak(length=0.56, half_depth=0.14, droop=0.12, bluntness=0.5),
        wing=Wing(length=1.75, half_width=0.33, pointed=1.3),
        tail=Tail(length=0.55, angle=6, base=0.2, end=0.24, fork=-0.2),
    ),
    "parrot": Shape(
        depth=0.54, tilt=58, leg=0.3, eye=0.18,
        head=Head(x=0.72, y=-1.16, radius=0.56),
        neck=Neck(x=0.58, y=-0.72, half_width=0.48),
        beak=Beak(length=0.62, half_depth=0.3, droop=0.52, bluntness=0.55),
        wing=Wing(length=1.5, half_width=0.38, pointed=1.0),
        tail=Tail(length=1.75, angle=66, base=0.2, end=0.07, fork=-0.3),
    ),
    "tern": Shape(
        depth=0.42, tilt=8, leg=0.34, perch=None,
        head=Head(x=0.96, y=-0.5, radius=0.42),
        neck=Neck(x=0.72, y=-0.28, half_width=0.36),
        beak=Beak(length=0.66, half_depth=0.1, droop=0.04, bluntness=0.9),
        wing=Wing(length=1.95, half_width=0.31, pointed=1.5),
        tail=Tail(length=1.1, angle=4, base=0.17, end=0.27, fork=0.7),
    ),
    "sparrow": Shape(
        depth=0.76, tilt=20, leg=0.48,
        head=Head(x=0.74, y=-0.72, radius=0.6),
        neck=Neck(x=0.5, y=-0.42, half_width=0.6),
        beak=Beak(length=0.36, half_depth=0.22, droop=0.05, bluntness=0.75),
        wing=Wing(length=1.25, half_width=0.42, pointed=0.8),
        tail=Tail(length=0.8, angle=12, base=0.17, end=0.2, fork=-0.2),
    ),
    "kingfisher": Shape(
        depth=0.58, tilt=44, leg=0.24, crest="spikes",
        head=Head(x=0.7, y=-1.0, radius=0.64),
        neck=Neck(x=0.5, y=-0.6, half_width=0.54),
        beak=Beak(length=1.0, half_depth=0.18, droop=0.0, bluntness=0.9),
        wing=Wing(length=1.3, half_width=0.4, pointed=0.9),
        tail=Tail(length=0.4, angle=52, base=0.2, end=0.2, fork=-0.2),
    ),
    "toucan": Shape(
        depth=0.56, tilt=46, leg=0.34,
        head=Head(x=0.74, y=-1.04, radius=0.52),
        neck=Neck(x=0.58, y=-0.62, half_width=0.46),
        beak=Beak(length=1.35, half_depth=0.33, droop=0.34, bluntness=0.34),
        wing=Wing(length=1.35, half_width=0.4, pointed=0.9),
        tail=Tail(length=1.0, angle=58, base=0.18, end=0.24, fork=-0.2),
    ),
}  # fmt: skip
