"""Draws docs/paperbirds.png: five families, two siblings of each that differ in one attribute.

Run from the repository's root: python docs/make_paperbirds_picture.py
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from concepthash.paperbirds import PaperbirdsSettings, Species, draw_image, species_of

SETTINGS = PaperbirdsSettings(species=240, families=12, size=320, difficulty="easy", seed=14)
SIBLINGS = PaperbirdsSettings(species=240, families=12, difficulty="hard", seed=14)
SHOWN = ("warbler", "owl", "hummingbird", "parrot", "kingfisher")
GAP, CAPTION, FONT_SIZE = 20, 84, 21
PAPER, INK = (255, 255, 255), (58, 60, 66)


def main() -> None:
    pairs = [_pair(family) for family in SHOWN]
    side = SETTINGS.size
    width = len(pairs) * (side + GAP) + GAP
    height = 2 * (side + CAPTION + GAP)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    corners = Image.new("L", (side, side))
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, side - 1, side - 1), 18, fill=255)
    for column, pair in enumerate(pairs):
        for row, species in enumerate(pair):
            x, y = GAP + column * (side + GAP), GAP + row * (side + CAPTION + GAP)
            image = draw_image(SETTINGS, species, "train", column).image
            sheet.paste(image, (x, y), corners)
            pen.multiline_text(
                (x + side / 2, y + side + 8), _broken(species), fill=INK, font=font,
                anchor="ma", align="center",
            )  # fmt: skip
    sheet.save(Path(__file__).parent / "paperbirds.png", optimize=True)


def _pair(family: str) -> tuple[Species, Species]:
    """Two siblings that differ in one attribute, on a part that is large in a small picture."""
    siblings = [species for species in species_of(SIBLINGS) if species.family == family]
    pairs = [pair for pair in combinations(siblings, 2) if len(_differing(*pair)) == 1]
    return max(pairs, key=_shown_well)


def _differing(one: Species, other: Species) -> set[str]:
    return {part for part, _ in set(one.attributes) ^ set(other.attributes)}


def _shown_well(pair: tuple[Species, Species]) -> int:
    score = 4 * len(_differing(*pair) & {"crown", "wing", "breast"})
    for species in pair:
        attributes = dict(species.attributes)
        score += 3 * (attributes.get("wing") in ("stripe", "bar", "spot"))
        score += attributes.get("wing") in ("red", "yellow", "blue", "orange")
        score += attributes.get("crown") in ("red", "yellow", "blue", "orange")
        score -= sum(value in ("grey", "brown", "violet") for value in attributes.values())
    return score


def _broken(species: Species) -> str:
    """The name on two lines."""
    words = species.name.split()
    return " ".join(words[:2]) + "\n" + " ".join(words[2:])


if __name__ == "__main__":
    main()
