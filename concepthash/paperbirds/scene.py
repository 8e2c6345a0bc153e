"""One image of `paperbirds`: pose, camera, background, light, occlusion.

A species is recognized by shape and plumage, which come as arguments. Everything here is a
nuisance variable, drawn from the caller's generator, with the same distribution for all species.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from concepthash.paperbirds.bird import PARTS, Plumage, Pose, bird
from concepthash.paperbirds.patches import Colour, Fill, Points, shade
from concepthash.paperbirds.shapes import Shape

T = TypeVar("T")

SUPERSAMPLING = 3  # polygons are drawn at 3 times the size and averaged, for smooth edges


@dataclass(frozen=True)
class Nuisance:
    """How much one image of a bird differs from the next. Lengths in image sides."""

    turn: float  # degrees either way
    squash: float  # share by which height and width change
    slant: float  # perspective: share by which one side is nearer
    scale: tuple[float, float]  # the longer side of the bird
    shift: float  # of the bird's middle, either way
    wings_up: float  # how often, 0..1
    hidden: float  # how often something is in front of the bird, 0..1
    clutter: int  # blurred leaves behind it, at most
    light: float  # change of brightness, contrast and tint
    dye: float  # change of each colour from bird to bird
    noise: float  # standard deviation, at most; 1 is white
    blur: float  # how often, 0..1


NUISANCES: Mapping[str, Nuisance] = {
    "easy": Nuisance(6, 0.02, 0.02, (0.84, 0.9), 0.02, 0.1, 0.0, 4, 0.05, 0.01, 0.0, 0.0),
    "normal": Nuisance(16, 0.07, 0.1, (0.68, 0.92), 0.06, 0.3, 0.3, 10, 0.16, 0.03, 0.02, 0.15),
    "hard": Nuisance(30, 0.12, 0.2, (0.5, 0.95), 0.12, 0.4, 0.55, 18, 0.28, 0.05, 0.05, 0.3),
}


class Drawing(NamedTuple):
    """An image and its annotations as in CUB-200-2011, in pixels from the upper left corner."""

    image: Image.Image  # RGB, (S, S)
    box: tuple[float, float, float, float]  # x, y, width, height of the bird, within the image
    parts: NDArray[np.float64]  # (P, 3): x, y, visible; zeros where it is not visible


def draw(
    shape: Shape, plumage: Plumage, nuisance: Nuisance, size: int,
    rng: np.random.Generator,
) -> Drawing:  # fmt: skip
    """Draw one image of `size` x `size` pixels; `rng` draws pose, place, light and occlusion."""
    n = nuisance
    lift = rng.uniform(50, 100) if rng.random() < n.wings_up else 0.0
    pose = Pose(head_tilt=rng.uniform(-0.6, 0.8) * n.turn, wing_lift=lift)
    dyed = {part: _dyed(fill, n.dye, rng) for part, fill in plumage.items()}
    figure = bird(shape, dyed, pose)
    camera = _Camera(shape, n, size, rng)
    ends = np.cumsum([len(p) for p in figure.polygons])[:-1]
    outline = camera(np.concatenate(figure.polygons))
    parts, foot = camera(figure.parts), camera(figure.foot[None])[0]

    ground = None if shape.perch is not None else float(foot[1])
    scenery = _background(size, n, ground, foot, rng)
    polygons, colours = np.split(outline, ends), figure.colours
    if shape.perch is not None and not shape.hovers:
        wood, wood_colours = _branch(foot, camera.slope(shape.perch), size, rng)
        polygons, colours = wood + polygons, wood_colours + colours
    layer = _layer(size, polygons, colours)
    scenery = _cast_shadow(scenery, layer, size, n.light * rng.uniform(0.5, 2.5))
    image = _over(scenery, _lit_from_above(layer))

    visible = figure.seen & np.all((parts >= 0) & (parts < size), axis=1)
    if rng.random() < n.hidden:
        at = parts[rng.integers(len(parts))] + rng.uniform(-0.06, 0.06, 2) * size
        front = _layer(size, *_in_front(at, size, rng))
        image = _over(image, front)
        column, row = np.clip(parts.astype(int), 0, size - 1).T
        visible &= np.asarray(front)[row, column, 3] < 128
    low, high = np.clip(outline.min(0), 0, size), np.clip(outline.max(0), 0, size)
    return Drawing(
        image=_photographed(image, n, rng),
        box=(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])),
        parts=np.where(visible[:, None], np.column_stack([parts, visible]), 0.0),
    )


class _Camera:
    """The map from a bird's frame to pixels, (n, 2) -> (n, 2)."""

    def __init__(self, shape: Shape, n: Nuisance, size: int, rng: np.random.Generator) -> None:
        self.middle, extent = _frame(shape)
        turn = np.radians(rng.uniform(-n.turn, n.turn))
        squash = 1 + rng.uniform(-n.squash, n.squash)
        self.flip = -1.0 if rng.random() < 0.5 else 1.0
        scale = rng.uniform(*n.scale) / extent
        cos, sin = np.cos(turn), np.sin(turn)
        rotation = np.array([[cos, sin], [-sin, cos]])
        self.matrix = np.diag([self.flip * squash, 1 / squash]) @ rotation * scale
        self.slant = rng.uniform(-n.slant, n.slant, 2)
        self.shift = 0.5 + rng.uniform(-n.shift, n.shift, 2)
        self.size = size

    def __call__(self, points: Points) -> Points:
        flat = (points - self.middle) @ self.matrix
        near = flat / (1 + flat @ self.slant)[:, None]
        # Rounded: sines may differ in the last digit between machines, pixels must not.
        return np.asarray(np.round((near + self.shift) * self.size, 2), np.float64)

    def slope(self, degrees: float) -> Points:
        """The direction, (2,), that a slope in the bird's frame has in the image."""
        angle = np.radians(degrees)
        way = np.array([np.cos(angle), -np.sin(angle)]) @ self.matrix
        return np.asarray(way / np.hypot(*way), np.float64)


@cache
def _frame(shape: Shape) -> tuple[Points, float]:
    """The middle, (2,), and the longer side of a family's bird at rest, to scale it by."""
    grey = Fill((128, 128, 128))
    outline = np.concatenate(bird(shape, dict.fromkeys((*PARTS, "face"), grey)).polygons)
    low, high = outline.min(0), outline.max(0)
    return (low + high) / 2, float((high - low).max())


def _dyed(fill: Fill, dye: float, rng: np.random.Generator) -> Fill:
    r, g, b = np.clip(np.array(fill.colour) + 255 * rng.uniform(-dye, dye, 3), 0, 255)
    return Fill((round(r), round(g), round(b)), fill.pattern)


# Top and bottom of the picture.
_BACKDROPS: Sequence[tuple[Colour, Colour]] = (
    ((150, 196, 232), (226, 238, 244)),  # a clear sky
    ((190, 196, 206), (232, 230, 224)),  # an overcast one
    ((236, 196, 170), (246, 230, 206)),  # morning
    ((112, 152, 96), (176, 200, 136)),  # foliage
    ((84, 122, 92), (140, 170, 120)),  # deep foliage
    ((204, 190, 140), (226, 214, 176)),  # dry grass
    ((150, 188, 190), (190, 214, 206)),  # mist over water
)
_GROUNDS: Sequence[Colour] = ((120, 158, 176), (150, 176, 108), (204, 186, 140), (146, 140, 128))
_LEAVES: Sequence[Colour] = ((96, 140, 70), (128, 166, 84), (70, 116, 74), (168, 160, 80))
_WOOD: Sequence[Colour] = ((112, 86, 64), (134, 108, 84), (92, 80, 70))


def _background(
    size: int, n: Nuisance, ground: float | None, foot: Points, rng: np.random.Generator
) -> Image.Image:
    """A blurred place, RGB (S, S). Drawn at half the size, since it is blurred."""
    half = max(size // 2, 16)
    top, bottom = (np.array(c, np.float32) for c in _one_of(_BACKDROPS, rng))
    down = np.linspace(0, 1, half, dtype=np.float32)[:, None, None]
    slope = np.repeat(top + (bottom - top) * down, half, axis=1)
    image = Image.fromarray(slope.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    middle = (top + bottom) / 2
    for _ in range(rng.integers(n.clutter // 2, n.clutter + 1)):
        tint = np.array(_one_of(_LEAVES, rng))
        mixed = middle + (tint - middle) * rng.uniform(0.2, 0.75)
        leaf = _leaf(rng.uniform(0, 1, 2), rng.uniform(0.12, 0.4), 0.3, rng.uniform(0, 6.3))
        pen.polygon((leaf * half).ravel().tolist(), fill=_rgb(mixed))
    if ground is not None:
        floor = _one_of(_GROUNDS, rng)
        horizon = (ground / size - rng.uniform(0.03, 0.2)) * half
        pen.rectangle((0, horizon, half, half), fill=floor)
        x, y, wide = foot[0] / size * half, ground / size * half, 0.22 * half
        pen.ellipse((x - wide, y - 0.2 * wide, x + wide, y + 0.25 * wide), fill=shade(floor, 0.8))
    image = image.filter(ImageFilter.GaussianBlur(half * rng.uniform(0.012, 0.035)))
    return image.resize((size, size), Image.Resampling.BICUBIC)


def _branch(
    foot: Points, way: Points, size: int, rng: np.random.Generator
) -> tuple[list[Points], list[Colour]]:
    """The branch under a bird's feet, with a few leaves."""
    side = np.array([-way[1], way[0]])
    thick = rng.uniform(0.025, 0.045) * size
    side = side if side[1] > 0 or (side[1] == 0 and side[0] > 0) else -side
    bend = rng.uniform(-0.04, 0.04) * size
    reach = np.linspace(-1.6, 1.6, 9)[:, None] * size
    middle = foot + reach * way + side * (thick * 0.9 + bend * (reach / size) ** 2)
    band = np.concatenate([middle - thick * side, (middle + thick * side)[::-1]])
    dark = np.concatenate([middle + 0.3 * thick * side, (middle + thick * side)[::-1]])
    wood = _one_of(_WOOD, rng)
    polygons, colours = [band, dark], [wood, shade(wood, 0.8)]
    for _ in range(rng.integers(0, 4)):
        at = (foot + way * rng.choice((-1, 1)) * rng.uniform(0.22, 0.5) * size) / size
        leaf = _leaf(at, rng.uniform(0.1, 0.18), 0.36, rng.uniform(0, 6.3)) * size
        polygons.append(leaf)
        colours.append(_one_of(_LEAVES, rng))
    return polygons, colours


def _in_front(at: Points, size: int, rng: np.random.Generator) -> tuple[list[Points], list[Colour]]:
    """What occludes the bird around `at`: one or two leaves, or a twig."""
    angle = rng.uniform(0, 6.3)
    if rng.random() < 0.3:
        way = np.array([np.cos(angle), np.sin(angle)])
        side = np.array([-way[1], way[0]]) * rng.uniform(0.02, 0.035) * size
        ends = at + np.array([[-1.5], [1.5]]) * way * size
        wood = _one_of(_WOOD, rng)
        return [np.concatenate([ends - side, ends[::-1] + side])], [wood]
    polygons, colours = [], []
    for number in range(rng.integers(1, 3)):
        length, green = rng.uniform(0.2, 0.4), _one_of(_LEAVES, rng)
        turned = angle + 1.3 * number
        start = at / size - 0.45 * length * np.array([np.cos(turned), np.sin(turned)])
        for width, colour in ((0.34, green), (0.03, shade(green, 0.75))):  # the leaf, its rib
            polygons.append(_leaf(start, length, width, turned) * size)
            colours.append(colour)
    return polygons, colours


_ALONG = np.concatenate([np.linspace(0, 1, 8), np.linspace(1, 0, 8)[1:-1]])
_LEAF = np.stack([_ALONG, 2 * _ALONG * (1 - _ALONG) * np.repeat([1.0, -1.0], [8, 6])], axis=1)


def _leaf(start: Points, length: float, width: float, angle: float) -> Points:
    """A pointed oval, (14, 2), from `start` in the direction of `angle` (radians)."""
    cos, sin = length * np.cos(angle), length * np.sin(angle)
    turned = np.array(((cos, sin), (-sin * width, cos * width)))
    return np.asarray(start + _LEAF @ turned, np.float64)


def _layer(size: int, polygons: Sequence[Points], colours: Sequence[Colour]) -> Image.Image:
    """Polygons in pixels, from back to front, on a transparent ground: RGBA (S, S)."""
    side = size * SUPERSAMPLING
    # Premultiplied alpha (RGBa), so that averages do not mix in the colour of transparent pixels.
    image = Image.new("RGBa", (side, side))
    pen = ImageDraw.Draw(image)
    for polygon, colour in zip(polygons, colours, strict=True):
        pen.polygon((polygon * SUPERSAMPLING).ravel().tolist(), fill=(*colour, 255))
    return image.reduce(SUPERSAMPLING).convert("RGBA")


def _over(below: Image.Image, above: Image.Image) -> Image.Image:
    image = below.copy()
    image.paste(above, (0, 0), above)
    return image


def _lit_from_above(layer: Image.Image) -> Image.Image:
    """Light from above: upper pixels become lighter, lower ones darker."""
    pixels = np.asarray(layer).astype(np.float32)
    down = np.linspace(1.1, 0.86, layer.height, dtype=np.float32)[:, None, None]
    pixels[..., :3] = np.minimum(pixels[..., :3] * down, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def _cast_shadow(below: Image.Image, layer: Image.Image, size: int, dark: float) -> Image.Image:
    """A soft shadow of the layer, shifted down a little, on `below`."""
    alpha = layer.getchannel("A").filter(ImageFilter.GaussianBlur(size * 0.025))
    moved = Image.new("L", alpha.size)
    moved.paste(alpha, (0, max(1, round(0.03 * size))))
    weight = np.asarray(moved).astype(np.float32)[..., None] * np.float32(min(dark, 0.5) / 255)
    return Image.fromarray((np.asarray(below) * (1 - weight)).astype(np.uint8))


def _photographed(image: Image.Image, n: Nuisance, rng: np.random.Generator) -> Image.Image:
    """Change brightness, contrast and tint, blur a little, add noise."""
    if rng.random() < n.blur:
        image = image.filter(ImageFilter.GaussianBlur(image.width * rng.uniform(0.004, 0.012)))
    bright = 1 + rng.uniform(-n.light, 0.7 * n.light)
    gain = bright * (1 + rng.uniform(-n.light, n.light, 3) / 3)
    contrast = 1 + rng.uniform(-n.light, n.light)
    pixels = np.asarray(image).astype(np.float32)
    pixels = (pixels - 128) * np.float32(contrast) + 128
    pixels *= gain.astype(np.float32)
    if n.noise:
        grain = rng.standard_normal(pixels.shape, dtype=np.float32)
        pixels += grain * np.float32(255 * rng.uniform(0, n.noise))
    return Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))


def _rgb(colour: NDArray[np.floating]) -> Colour:
    r, g, b = np.clip(colour, 0, 255)
    return round(float(r)), round(float(g)), round(float(b))


def _one_of(options: Sequence[T], rng: np.random.Generator) -> T:
    return options[int(rng.integers(len(options)))]
