"""The pixels of a scene and the description of their numbers, whatever the format."""

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
        """Where a window (height, width) is masked."""
        masked = [np.isin(band.read(span), values) for band, values in self.layers]
        return np.logical_or.reduce(masked)


@dataclass(frozen=True, kw_only=True)
class SceneRaster:
    """An open raster, or several that are read as one.

    Attributes:
        dataset: Of rasterio, or a `BandStack`.
        header: The description of its numbers.
        tags: Its metadata.
        blocks: Of the rasters behind it, for the size of GDAL's cache.
        state: By which a later run recognises the files.
        source: Where the header's scale and offset are from, in messages.
        companion: The path beside which a STAC item, a mask and `.aux.xml` may lie; None where they do not
            count.
        clouds: The mask of clouds, if there is one.
        caveats: What a user has to know of it, a sentence each.
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
            tags={str(key).upper(): str(value) for key, value in dataset.tags().items()},
            **{"blocks": (BlockRows.of(dataset),), **others},
        )
