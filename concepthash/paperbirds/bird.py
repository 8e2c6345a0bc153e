"""One bird as flat polygons in its own frame (see `shapes`), painted from back to front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from concepthash.paperbirds.patches import (
    INK,
    PAPER,
    Blob,
    Colour,
    Fill,
    Patch,
    Pen,
    Points,
    blob,
    cap,
    contains,
    disc,
    outline,
    piece,
    ribbon,
    shade,
    shifted,
)
from concepthash.paperbirds.shapes import Shape

PARTS = ("beak", "crown", "eye", "throat", "breast", "belly", "wing", "back", "tail", "leg")
_ON_HEAD = ("beak", "crown", "eye", "throat")  # never covered by the bird's own head or wing

_INNER = 0.98  # discs below caps are a little smaller, so that no edge shows around the caps

Places = dict[str, Points]  # where a part may be: (n, 2), the best place first
Plumage = Mapping[str, Fill]  # a fill for each of PARTS but the eye, and for "face"


class Pose(NamedTuple):
    """What a bird does, apart from where it is. Angles in degrees."""

    head_tilt: float = 0.0
    wing_lift: float = 0.0  # 0: folded; from about 40 to 110: raised


RESTING = Pose()


class Figure(NamedTuple):
    """A drawn bird: polygons from back to front, each (n, 2), with their colours."""

    polygons: list[Points]
    colours: list[Colour]
    parts: Points  # (P, 2), in the order of PARTS
    seen: NDArray[np.bool_]  # (P,): neither the bird's head nor its wing is in front
    foot: Points  # (2,): where it stands


def bird(shape: Shape, plumage: Plumage, pose: Pose = RESTING) -> Figure:
    """Draw a bird of this shape. Patterns of beak, crown, throat, face and leg are ignored."""
    pen = Pen()
    body = blob((0.0, 0.0), (1.0, shape.depth), shape.egg, shape.tilt)
    x, y, radius = shape.head
    head = blob((x, y), (1.06 * radius, radius), 0.0, pose.head_tilt)
    lift = pose.wing_lift or (70.0 if shape.hovers else 0.0)
    wing = _wing(shape, body, lift)
    tail = _tail(shape, body)

    if lift:
        other = shifted(_wing(shape, body, lift + 14), (0.26, -0.02))
        pen.paint(other, shade(plumage["wing"].colour, 0.62))
    pen.fill(tail, plumage["tail"])
    hip, foot = _legs(pen, shape, body, plumage["leg"].colour)
    places = _torso(pen, shape, body, plumage)
    _feathers(pen, wing, plumage["wing"])
    if shape.frontal:
        places |= _head_from_the_front(pen, shape, head, plumage)
    else:
        places |= _head_from_the_side(pen, shape, head, plumage)
    places["wing"] = wing([0.42], [0.5])
    places["tail"] = tail([0.6], [0.3]) if shape.tail.fork > 0 else tail([0.72], [0.5])
    places["leg"] = (hip + foot)[None] / 2
    parts, seen = _uncovered(places, {"wing": outline(wing), "head": outline(disc(head))})
    return Figure(pen.polygons, pen.colours, parts, seen, foot)


def _uncovered(places: Places, in_front: Mapping[str, Points]) -> tuple[Points, NDArray[np.bool_]]:
    """For each part its first place that the bird does not cover, and whether there is one."""
    every = np.concatenate([places[part] for part in PARTS])
    owner = np.repeat(PARTS, [len(places[part]) for part in PARTS])
    free = np.ones(len(every), np.bool_)
    for what, edge in in_front.items():
        free &= ~contains(edge, every) | (owner == what) | np.isin(owner, _ON_HEAD)
    first = [np.flatnonzero(owner == part)[np.argmax(free[owner == part])] for part in PARTS]
    return every[first], free[first]


def _torso(pen: Pen, shape: Shape, body: Blob, plumage: Plumage) -> Places:
    back, breast_colour = plumage["back"].colour, plumage["breast"].colour
    # The rump and the neck hide where tail and head would meet the body at an angle.
    rump, end = body([-0.25, -0.93], [0.0, -0.04])
    widths = (0.8 * shape.depth, 0.5 * shape.depth, 1.05 * shape.tail.base)
    pen.paint(ribbon(rump, (rump + end) / 2, end, widths), back)
    pen.paint(disc(body, _INNER), back)
    belly = cap(body, (-66, -184), (-0.25, 0.28))
    neck = ribbon(
        body([0.42], [-0.08])[0],
        np.array([shape.neck.x, shape.neck.y]),
        np.array([shape.head.x, shape.head.y]),
        (0.72 * shape.depth, shape.neck.half_width, 0.84 * shape.head.radius),
    )
    pen.paint(belly, plumage["belly"].colour)
    pen.paint(neck, back)
    breast = cap(body, (50 - 0.35 * shape.tilt, -78), (0.12, 0.06))
    pen.pattern(belly, plumage["belly"])
    pen.paint(breast, breast_colour)
    pen.paint(piece(neck, (0.3, 1.0), (0.0, 0.58)), back)
    pen.paint(piece(neck, (0.25, 1.0), (0.54, 1.0)), breast_colour)
    pen.pattern(breast, plumage["breast"])
    return {
        "breast": breast([0.52, 0.62, 0.72], [0.42, 0.3, 0.2]),
        "belly": belly([0.42, 0.3], [0.3, 0.2]),
        # Above a folded wing, or else on the flank that a raised wing leaves free.
        "back": body([0.12, 0.3, -0.3, -0.4, -0.1], [-0.84, -0.86, -0.84, -0.2, 0.1]),
    }


def _head_from_the_side(pen: Pen, shape: Shape, head: Blob, plumage: Plumage) -> Places:
    radius = shape.head.radius
    length, half_depth, droop, bluntness = shape.beak
    base, bend, tip = head(
        [0.72, 0.72 + 0.6 * length / radius, 0.72 + (length - 0.25 * droop) / radius],
        [0.06, 0.04 - 0.1 * droop, 0.1 + droop / radius],
        clip=False,
    )
    beak = ribbon(base, bend, tip, lambda s: half_depth * (1 - s) ** bluntness)
    pen.paint(beak, plumage["beak"].colour)
    pen.paint(piece(beak, (0.0, 0.96), (0.56, 1.0)), shade(plumage["beak"].colour, 0.7))
    pen.paint(disc(head, _INNER), plumage["face"].colour)
    _crest(pen, shape.crest, head, plumage["crown"].colour)
    throat = cap(head, (-14, -128), (0.25, 0.3))
    pen.paint(throat, plumage["throat"].colour)
    crown = cap(head, (8, 178), (0.0, -0.12))
    pen.paint(crown, plumage["crown"].colour)
    eye, size = head([0.42], [-0.1]), shape.eye * radius
    pen.circle(eye[0], 1.35 * size, shade(PAPER, 0.96))
    pen.circle(eye[0], size, INK)
    pen.circle(eye[0] + size * np.array([0.3, -0.35]), 0.07 * radius, PAPER)
    return {
        "beak": beak([0.5], [0.3]),
        "crown": crown([0.55], [0.45]),
        "eye": eye,
        "throat": throat([0.45], [0.35]),
    }


def _head_from_the_front(pen: Pen, shape: Shape, head: Blob, plumage: Plumage) -> Places:
    radius, face = shape.head.radius, plumage["face"].colour
    pen.paint(disc(head, _INNER), face)
    _crest(pen, shape.crest, head, plumage["crown"].colour)
    throat = cap(head, (-40, -140), (0.0, 0.4))
    pen.paint(throat, plumage["throat"].colour)
    crown = cap(head, (8, 178), (0.0, -0.5))
    pen.paint(crown, plumage["crown"].colour)
    eyes, size = head([0.44, -0.4], [-0.08, -0.08]), shape.eye * radius
    for eye in eyes:
        pen.circle(eye, 0.42 * radius, shade(face, 1.25))
        pen.circle(eye, size, (250, 196, 48))
        pen.circle(eye, 0.6 * size, INK)
        pen.circle(eye + 0.06 * radius, 0.07 * radius, PAPER)
    base, tip = head([0.02, 0.02], [0.02, 0.02 + shape.beak.length / radius])
    depth = shape.beak.half_depth
    beak = ribbon(base, (base + tip) / 2, tip, (depth, 0.8 * depth, 0.0))
    pen.paint(beak, plumage["beak"].colour)
    return {
        "beak": beak([0.5], [0.3]),
        "crown": crown([0.55], [0.45]),
        "eye": eyes[:1],
        "throat": throat([0.45], [0.35]),
    }


def _crest(pen: Pen, kind: str, head: Blob, colour: Colour) -> None:
    def feathers(u: ArrayLike, v: ArrayLike) -> None:
        pen.add(head(u, v, clip=False), colour)

    if kind == "tufts":
        feathers([0.3, 0.72, 0.94], [-0.8, -1.34, -0.3])
        feathers([-0.3, -0.72, -0.94], [-0.8, -1.34, -0.3])
    elif kind == "peak":
        feathers([0.6, 0.0, -0.9, -1.5, -0.95], [-0.7, -1.2, -1.3, -0.95, 0.0])
    elif kind == "plume":
        feathers([0.1, -1.0, -2.4, -1.0], [-0.95, -0.85, 0.15, -0.3])
    elif kind == "spikes":
        feathers(
            [0.6, 0.35, 0.05, -0.35, -0.45, -1.05, -0.85, -1.45, -0.9],
            [-0.7, -1.3, -0.95, -1.5, -0.9, -1.2, -0.6, -0.55, 0.1],
        )


def _wing(shape: Shape, body: Blob, lift: float) -> Patch:
    """The near wing; s runs from the shoulder to the tip. Raised (`lift` > 0) it is wider."""
    length, half_width, pointed = shape.wing
    up = 1.0 if lift else 0.0
    root = body([0.5 - 0.22 * up], [0.12 - 0.44 * up])[0]
    angle = np.radians(175.0 + (0.98 - 0.18 * up) * shape.tilt - 0.9 * lift)
    along = np.array([np.cos(angle), -np.sin(angle)]) * length * (1 + 0.06 * up)
    across = np.array([-along[1], along[0]])
    widest = half_width * (1 + 0.35 * up)
    # Half the width is s^p (1 - s)^q, which is greatest at s = p / (p + q).
    p, q = 0.5, 0.85 * pointed
    most = (p / (p + q)) ** p * (q / (p + q)) ** q
    return ribbon(
        root,
        root + 0.5 * along + (0.1 - 0.22 * up) * across,
        root + along,
        lambda s: widest / most * s**p * (1 - s) ** q,
    )


def _feathers(pen: Pen, wing: Patch, fill: Fill) -> None:
    """Paint the wing over its own shadow, with a darker tip and the long feathers' edges."""
    pen.paint(shifted(wing, (-0.03, 0.06)), shade(fill.colour, 0.55))
    pen.paint(wing, fill.colour)
    pen.paint(piece(wing, (0.66, 1.0), (0.0, 1.0)), shade(fill.colour, 0.78))
    for t in (0.3, 0.62):
        pen.paint(piece(wing, (0.5, 1.0), (t, t + 0.06)), shade(fill.colour, 0.62))
    pen.pattern(wing, fill)


def _tail(shape: Shape, body: Blob) -> Patch:
    length, angle, base, end, fork = shape.tail
    root = body([-0.86], [-0.04])[0]
    turn = np.radians(180.0 + angle)
    tip = root + length * np.array([np.cos(turn), -np.sin(turn)])
    straight = ribbon(root, (root + tip) / 2, tip, (base, (base + end) / 2, end))

    def tail(s: ArrayLike, t: ArrayLike) -> Points:
        off = np.abs(2 * np.asarray(t, np.float64) - 1)  # 0 in the middle, 1 at either edge
        cut = fork * (1 - off) if fork > 0 else -fork * off**2
        return straight(np.asarray(s, np.float64) * (1 - cut), t)

    return tail


def _legs(pen: Pen, shape: Shape, body: Blob, colour: Colour) -> tuple[Points, Points]:
    """Draw the legs, the far one darker; where the near one begins and stands, each (2,)."""
    upright = np.sin(np.radians(shape.tilt)) ** 2
    hip = body([-0.2 - 0.42 * upright], [0.8 - 0.34 * upright])[0]
    foot = hip + np.array([0.04, shape.leg])
    half = 0.05 if shape.leg < 1 else 0.042
    legs = [(0.0, colour)] if shape.hovers else [(0.28, shade(colour, 0.7)), (0.0, colour)]
    for ahead, tint in legs:
        top, end = hip + np.array([ahead - 0.02, -0.1]), foot + np.array([ahead, 0.0])
        knee = (top + end) / 2 + np.array([-0.16 * shape.leg, 0.0])
        pen.paint(ribbon(top, knee, end, (half, half, half)), tint)
        if not shape.hovers:
            toes = np.array([(-0.16, 0.07), (0.0, -0.04), (0.26, 0.05), (0.05, 0.06)])
            pen.add(end + toes, tint)
    return hip, foot
