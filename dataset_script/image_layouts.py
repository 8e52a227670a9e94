"""How an image of the archive holds its bands: their order, and the offset of their numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from euromine.support.errors import ArchiveError, SceneError
from euromine.support.image_headers import (
    ImageHeader,
    auxiliary_nodata,
    band_order,
    mask_file,
    read_header,
    whole_shifts,
)
from euromine.support.rasters import shown
from euromine.support.sidecars import Sidecar, read_sidecar, told_offset

from .archive_bands import BANDS


@dataclass(frozen=True)
class ImageLayout:
    """How an image's file holds the archive's bands.

    Attributes:
        header: The file's header.
        indexes: The places of `BANDS` in the file, counted from 1; None where they are the file's own.
        shifts: To add to the numbers of each of `BANDS`.
    """

    header: ImageHeader
    indexes: list[int] | None
    shifts: tuple[int, ...]

    @property
    def marks_gaps(self) -> bool:
        """Whether pixels without data are marked, if there are any."""
        return self.header.nodata is not None or self.header.has_mask


def _offset(dataset: Any, path: str) -> float:
    """The offset by a STAC item beside the image or by its processing baseline; 0 without either."""
    tags = {str(key).upper(): str(value) for key, value in dataset.tags().items()}
    place = Path(shown(path))
    item = Sidecar()
    if not path.startswith("/vsizip/"):
        try:
            item = read_sidecar(place, advice="Correct the item, or remove it.")
        except SceneError as error:
            raise ArchiveError(str(error)) from error
    found = told_offset(item, tags, place.name, "/".join(place.absolute().parts[:-1]))
    return 0.0 if found is None else found[0]


def image_layout(dataset: Any, path: str) -> ImageLayout:
    """How an open image of ten bands holds those of the archive, by its header.

    The published files have no names, scales or offsets: bands in the order of `BANDS`, DN as they are. An
    offset by GDAL's fields, a STAC item beside the image or its processing baseline is added, as by `euromine
    predict`.

    Raises:
        ArchiveError: A mask lies beside the image, or the header names other bands, or gives a scale that
            does not lead to whole DN.
    """
    header = read_header(dataset)
    if not path.startswith("/vsizip/"):
        if mask_file(path).is_file():
            raise ArchiveError(
                f"{mask_file(path)}: found a mask beside an image; expected a nodata value, or the mask in "
                "the image's own file. Write one with `gdal_translate --config GDAL_TIFF_INTERNAL_MASK YES "
                "IMAGE NEW`."
            )
        beside, _ = auxiliary_nodata(path)
        header = header if header.nodata is not None else replace(header, nodata=beside)
    order = band_order(header.texts, BANDS)
    if order is None:
        raise ArchiveError(
            f"{shown(path)}: found the bands {', '.join(text or '-' for text in header.texts)}; expected "
            f"{', '.join(BANDS)} in any order, or bands without names in this one."
        )
    if header.is_scaled:
        shifts = whole_shifts(header)
    else:
        shifts = (round(_offset(dataset, path)),) * len(header.texts)
    if shifts is None:
        raise ArchiveError(
            f"{shown(path)}: found the scale {header.scales[0]:g} and the offset {header.offsets[0]:g}; "
            "expected numbers that are reflectance x 10000 but for a whole offset. Rewrite it in this scale "
            "with gdal_calc.py."
        )
    return ImageLayout(
        header,
        None if order == sorted(order) else order,
        tuple(shifts[place - 1] for place in order),
    )
