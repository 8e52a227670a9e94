"""The pixels of a scene and the description of their numbers, in any format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.image_headers import ImageHeader, read_header
from euromine.support.rasters import BlockRows, check_blocks

from .band_stacks import Span, StackedBand
from .product_files import FileState


@dataclass(frozen=True)
class CloudMask:
    """A product's own mask of clouds.

    Attributes:
        layers: Rasters, and the values in them that stand for clouds, their shadows or no data.
        name: The mask in messages.
    """

    layers: tuple[tuple[StackedBand, tuple[int, ...]], ...]
    name: str

    def read(self, span: Span) -> NDArray[np.bool_]:
        """The mask (height, width) of a window, true for clouds."""
        masked = [np.isin(band.read(span), values) for band, values in self.layers]
        return np.logical_or.reduce(masked)

    @property
    def blocks(self) -> tuple[BlockRows, ...]:
        """The blocks of its rasters."""
        return tuple(BlockRows.of(band.dataset, band.factor, 1) for band, _ in self.layers)


@dataclass(frozen=True, kw_only=True)
class SceneRaster:
    """An open raster, or several read as one.

    Attributes:
        dataset: Of rasterio, or a `BandStack`.
        header: The description of its numbers.
        tags: Its metadata by upper-case key.
        blocks: Of the rasters behind it, for the size of GDAL's cache.
        state: The state of the files, by which later runs notice changes.
        source: The source of the header's scale and offset, in messages.
        companion: The path beside which a STAC item, a mask and `.aux.xml` may lie; None where they do not
            count.
        clouds: The mask of clouds, if there is one.
        caveats: Warnings for the user, a sentence each.
        year: By the product's metadata, None if unknown.
    """

    dataset: Any
    header: ImageHeader
    tags: Mapping[str, str] = field(default_factory=dict)
    blocks: tuple[BlockRows, ...]
    state: tuple[FileState, ...]
    source: str = "GDAL's in the file"
    companion: str | None = None
    clouds: CloudMask | None = None
    caveats: tuple[str, ...] = ()
    year: int | None = None

    @classmethod
    def of_dataset(cls, dataset: Any, shown: str, error_class: Any, **others: Any) -> SceneRaster:
        """A single raster, described by its own header.

        Raises:
            SceneError: (`error_class`) Its blocks are too large.
        """
        check_blocks(dataset, shown, error_class)
        return cls(
            dataset=dataset,
            header=read_header(dataset),
            tags=upper_tags(dataset),
            **{"blocks": (BlockRows.of(dataset),), **others},
        )


def upper_tags(dataset: Any) -> dict[str, str]:
    """The metadata of an open raster by upper-case key."""
    return {str(key).upper(): str(value) for key, value in dataset.tags().items()}
