"""What every layout of a data folder comes down to. Pure."""

from dataclasses import dataclass, field
from typing import Final

from cloud.annotations import Sample

SPLITS: Final = ("train", "val", "test")
"""Names of splits, where a layout knows them by name."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Classes and images, before any image is decoded."""

    labels: tuple[str, ...]
    """Class names by rising class id."""
    samples: tuple[Sample, ...]
    source: str
    """Name of the file or folder that says so."""
    sha256: str = field(repr=False)
    """Of what says so."""
    ordered: bool = True
    """False: the classes stand in the order of their names, which tells nothing."""
