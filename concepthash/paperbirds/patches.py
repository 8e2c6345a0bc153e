"""Patches: maps from the unit square to places on a bird, and the polygons drawn on them.

On a patch a plain fill, a stripe along s, a bar across it and a spot are the same few lines,
whether it is a wing, a tail or a belly. Frames and angles are those of `shapes`: x
forward, y down, angles in degrees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]  # (n, 2): x forward, y down
Colour = tuple[int, int, int]  # red, green, blue, each 0..255
Patch = Callable[[ArrayLike, ArrayLike], Points]  # s, t in 0..1, both (n,) -> (n, 2)

PATTERNS = ("plain", "stripe", "bar", "spot")
INK: Colour = (34, 30, 36)
PAPER: Colour = (252, 247, 234)


class Blob(Protocol):
    """A map from the unit disc (u forward, v down), both (n,), to an egg: -> (n, 2).

    What lies outside the disc is pulled in to its rim, unless `clip` is False.
    """

    def __call__(self, u: ArrayLike, v: ArrayLike, clip: bool = True) -> Points: ...


class Fill(NamedTuple):
    """The colour of a part and the pattern drawn on it, one of `PATTERNS`."""

    colour: Colour
    pattern: str = "plain"


def shade(colour: Colour, light: float) -> Colour:
    """The colour under less (`light` below 1) or more light."""
    r, g, b = (min(255, round(c * light)) for c in colour)
    return r, g, b


def contrast(colour: Colour) -> Colour:
    """The colour a pattern is drawn in, so that it is seen: ink on light, paper on dark."""
    r, g, b = colour
    return INK if 0.3 * r + 0.59 * g + 0.11 * b > 120 else PAPER


class Pen:
    """Collects polygons from back to front, each (n, 2), and their colours."""

    def __init__(self) -> None:
        self.polygons: list[Points] = []
        self.colours: list[Colour] = []

    def add(self, polygon: Points, colour: Colour) -> None:
        self.polygons.append(polygon)
        self.colours.append(colour)

    def circle(self, centre: Points, radius: float, colour: Colour) -> None:
        self.add(centre + radius * _RING, colour)

    def paint(self, patch: Patch, colour: Colour) -> None:
        self.add(outline(patch), colour)

    def fill(self, patch: Patch, fill: Fill) -> None:
        """Paint the patch and its pattern."""
        self.paint(patch, fill.colour)
        self.pattern(patch, fill)

    def pattern(self, patch: Patch, fill: Fill) -> None:
        """Paint the fill's pattern alone: stripes run along s, bars across it."""
        ink = contrast(fill.colour)
        if fill.pattern == "stripe":
            for t in (0.1, 0.43, 0.76):
                self.paint(piece(patch, (0.06, 0.9), (t, t + 0.15)), ink)
        elif fill.pattern == "bar":
            for s in (0.16, 0.4, 0.64, 0.88):
                self.paint(piece(patch, (s, s + 0.11), (0.03, 0.97)), ink)
        elif fill.pattern == "spot":
            ends = patch([0.3, 0.6, 0.45, 0.45], [0.5, 0.5, 0.15, 0.85])
            along, across = np.hypot(*(ends[1::2] - ends[::2]).T)
            for centre in patch(*_SPOTS):
                self.circle(centre, 0.19 * min(1.5 * along, across), ink)


_TURN = np.arange(18) * np.pi / 9
_RING = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)
_SPOTS = (
    np.array([0.16, 0.16, 0.34, 0.34, 0.52, 0.52, 0.7, 0.7, 0.88]),
    np.array([0.26, 0.74, 0.1, 0.54, 0.3, 0.8, 0.1, 0.55, 0.5]),
)


def blob(centre: tuple[float, float], half: tuple[float, float], egg: float, tilt: float) -> Blob:
    """An egg around `centre`, `egg` fuller in front, its front raised by `tilt`."""
    cos, sin = float(np.cos(np.radians(tilt))), float(np.sin(np.radians(tilt)))

    def at(u: ArrayLike, v: ArrayLike, clip: bool = True) -> Points:
        u, v = np.asarray(u, np.float64), np.asarray(v, np.float64)
        far = np.maximum(np.hypot(u, v), 1.0) if clip else 1.0
        x = half[0] * u / far
        y = half[1] * v / far * (1 + egg * u / far)
        return np.array((centre[0] + x * cos + y * sin, centre[1] - x * sin + y * cos)).T

    return at


def cap(of: Blob, degrees: tuple[float, float], through: tuple[float, float]) -> Patch:
    """The piece of a blob between its rim (t=0; s runs along the degrees) and a curve (t=1)."""
    ends = np.radians(degrees)
    rim_u, rim_v = np.cos(ends), -np.sin(ends)

    def at(s: ArrayLike, t: ArrayLike) -> Points:
        s, t = np.atleast_1d(np.asarray(s, np.float64)), np.asarray(t, np.float64)
        angle = ends[0] + (ends[1] - ends[0]) * s
        a, b, c = (1 - s) ** 2, 2 * s * (1 - s), s**2
        u = (1 - t) * np.cos(angle) + t * (a * rim_u[0] + b * through[0] + c * rim_u[1])
        v = -(1 - t) * np.sin(angle) + t * (a * rim_v[0] + b * through[1] + c * rim_v[1])
        return of(u, v)

    return at


def ribbon(
    start: Points,
    bend: Points,
    end: Points,
    widths: tuple[float, float, float] | Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Patch:
    """A band along a curve: s runs along it, t across it from above (0) to below (1)."""

    def at(s: ArrayLike, t: ArrayLike) -> Points:
        s, t = np.atleast_1d(np.asarray(s, np.float64)), np.asarray(t, np.float64)
        rest = 1 - s
        a, b, c = rest * rest, 2 * s * rest, s * s
        half = widths(s) if callable(widths) else a * widths[0] + b * widths[1] + c * widths[2]
        way_x = rest * (bend[0] - start[0]) + s * (end[0] - bend[0])
        way_y = rest * (bend[1] - start[1]) + s * (end[1] - bend[1])
        off = half * (2 * t - 1) / np.sqrt(way_x * way_x + way_y * way_y)
        x = a * start[0] + b * bend[0] + c * end[0] - way_y * off
        y = a * start[1] + b * bend[1] + c * end[1] + way_x * off
        return np.array((x, y)).T

    return at


def disc(of: Blob, size: float = 1.0) -> Patch:
    """A blob's disc, or a smaller one in it, as a patch whose outline is its rim."""

    def at(s: ArrayLike, t: ArrayLike) -> Points:
        u = 2 * np.asarray(s, np.float64) - 1
        v = (2 * np.asarray(t, np.float64) - 1) * np.sqrt(1 - u**2)
        return of(size * u, size * v)

    return at


def piece(patch: Patch, s: tuple[float, float], t: tuple[float, float]) -> Patch:
    return lambda a, b: patch(
        s[0] + (s[1] - s[0]) * np.asarray(a, np.float64),
        t[0] + (t[1] - t[0]) * np.asarray(b, np.float64),
    )


def shifted(patch: Patch, by: tuple[float, float]) -> Patch:
    return lambda s, t: patch(s, t) + np.array(by)


_ZEROS, _ONES = np.zeros(3), np.ones(3)
_EDGE = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, 15))  # closer together at the ends
_AROUND_S = np.concatenate([_EDGE, _ONES, _EDGE[::-1], _ZEROS])
_AROUND_T = np.concatenate([0 * _EDGE, _EDGE[4:11:3], 0 * _EDGE + 1, _EDGE[10:3:-3]])


def outline(patch: Patch) -> Points:
    """The patch's edge as a polygon, finer along s than along t."""
    return patch(_AROUND_S, _AROUND_T)


def contains(polygon: Points, points: Points) -> NDArray[np.bool_]:
    """Whether each point, (n, 2), lies inside: a ray from it crosses the edge an odd count."""
    x, y = points[:, :1], points[:, 1:]
    (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, axis=0).T
    beside = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossed = beside & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return np.asarray(crossed.sum(axis=1) % 2 == 1)
