"""Paperbirds: a generated data set of fine-grained birds, in the layout of CUB-200-2011.

The species of a family share their shape and differ in the colour or pattern of three parts,
which the name of a species tells: "red-crowned stripe-winged yellow-bellied warbler". Its other
parts have the colours of the family. The same settings give the same files byte for byte, and an
image depends only on the seed, its species, its split and its number.

`difficulty` is "easy" (species of a family differ in several parts, birds are large and never
occluded), "normal" (most differ from another one in a single part; leaves, tilts, changing light)
or "hard" (more of both).

    patches.py  stripes, bars and spots on any place of a bird
    shapes.py   what the species of a family share
    bird.py     a bird as polygons, and where its parts are
    scene.py    one image: pose, place, light, leaves
    species.py  settings, attributes, names
    files.py    the files of a data set
"""

from concepthash.paperbirds.bird import PARTS
from concepthash.paperbirds.files import PAPERBIRDS_VERSION, draw_image, write
from concepthash.paperbirds.species import (
    DIFFICULTIES,
    FAMILIES,
    PARTITIONS,
    PaperbirdsSettings,
    Species,
    species_of,
)

__all__ = [
    "DIFFICULTIES",
    "FAMILIES",
    "PAPERBIRDS_VERSION",
    "PARTITIONS",
    "PARTS",
    "PaperbirdsSettings",
    "Species",
    "draw_image",
    "species_of",
    "write",
]
