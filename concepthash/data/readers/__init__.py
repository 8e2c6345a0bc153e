"""The data sets that a study can name. A new one is a file here and its class in `DatasetSpec`."""

from typing import Annotated

from pydantic import Field

from concepthash.data.readers.base import Dataset, open_images
from concepthash.data.readers.cub import Cub
from concepthash.data.readers.manifest import Manifest
from concepthash.data.readers.paperbirds import Paperbirds

DatasetSpec = Annotated[Paperbirds | Cub | Manifest, Field(discriminator="name")]

__all__ = ["Cub", "Dataset", "DatasetSpec", "Manifest", "Paperbirds", "open_images"]
