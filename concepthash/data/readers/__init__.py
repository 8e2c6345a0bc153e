"""The data sets that a study can name. A new one is a file here and its class in `DatasetSpec`."""

from typing import Annotated

from pydantic import Field

from concepthash.data.readers.aircraft import Aircraft
from concepthash.data.readers.base import Dataset, open_images
from concepthash.data.readers.cars import Cars
from concepthash.data.readers.cub import Cub
from concepthash.data.readers.folder import Folder
from concepthash.data.readers.food101 import Food101
from concepthash.data.readers.inat_birds import InatBirds
from concepthash.data.readers.manifest import Manifest
from concepthash.data.readers.nabirds import NABirds
from concepthash.data.readers.paperbirds import Paperbirds
from concepthash.data.readers.vegfru import VegFru

DatasetSpec = Annotated[
    Paperbirds | Cub | NABirds | Aircraft | Cars | Food101 | InatBirds | VegFru | Manifest | Folder,
    Field(discriminator="name"),
]

__all__ = [
    "Aircraft",
    "Cars",
    "Cub",
    "Dataset",
    "DatasetSpec",
    "Folder",
    "Food101",
    "InatBirds",
    "Manifest",
    "NABirds",
    "Paperbirds",
    "VegFru",
    "open_images",
]
