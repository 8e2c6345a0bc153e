"""Paperbirds: a generated data set of fine-grained birds, in the layout of CUB-200-2011.

The species of a family share their shape and differ in the colour or pattern of a few parts; a
species' name says which: "red-crowned stripe-winged yellow-bellied warbler". All else in its
plumage is its family's. From one seed the files are the same byte for byte, and an image depends
on nothing but the seed, its species and its number.

`difficulty` is "easy" (siblings unlike, birds large and unhidden), "normal" (most siblings
differ by one attribute from another; leaves, tilts, light) or "hard" (more of both).

    patches.py  stripes, bars and spots on any place of a bird
    shapes.py   what the species of a family share
    bird.py     a bird as polygons, and where its parts are
    scene.py    one image: pose, place, light, leaves
    species.py  settings, attributes, names
    files.py    the layout on disk
"""

from concepthash.data.paperbirds.bird import PARTS
from concepthash.data.paperbirds.files import PAPERBIRDS_VERSION, draw_image, write
from concepthash.data.paperbirds.species import (
    DIFFICULTIES,
    FAMILIES,
    PARTITIONS,
    Paperbirds,
    Species,
    species_of,
)

__all__ = [
    "DIFFICULTIES",
    "FAMILIES",
    "PAPERBIRDS_VERSION",
    "PARTITIONS",
    "PARTS",
    "Paperbirds",
    "Species",
    "draw_image",
    "species_of",
    "write",
]
