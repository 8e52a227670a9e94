"""Quicklooks and maps of a series as they are embedded in a report."""

from __future__ import annotations

import base64
import io
from typing import Any, Literal

from numpy.typing import NDArray
from PIL import Image

from euromine.monitoring.history.file_names import footprint_name, quicklook_name
from euromine.monitoring.history.folder import SeriesFolder
from euromine.support.errors import DataError
from euromine.support.png_files import open_png

from .report_data import ReportData
from .svg_paths import outline_path

_JPEG_QUALITY = 85
# Far more than a quicklook has, far less than memory holds.
_MOST_PIXELS = 2**25


def quicklook(data: ReportData, year: int) -> Image.Image:
    """As `series_quicklook`, of a report's series."""
    return series_quicklook(data.folder, year)


def series_quicklook(folder: SeriesFolder, year: int) -> Image.Image:
    """The picture of a year in RGB.

    Raises:
        DataError: It is missing or damaged.
        OSError: It cannot be opened.
    """
    path = folder.path / quicklook_name(year)
    if not path.exists():
        raise DataError(
            f"{path}: found no such file; expected the picture of {year}. Run `euromine series` again."
        )
    try:
        with folder.file(path.name).open("rb") as file, open_png(file) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise DataError(
                    f"{path}: found {picture.width} x {picture.height} pixels; expected at most "
                    f"{_MOST_PIXELS}. Run `euromine series` again."
                )
            return picture.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's for damaged files
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            f"{path}: found a damaged picture ({error}); expected a PNG. Run `euromine series` again."
        ) from error


def thinned_size(data: ReportData, longest: int) -> tuple[int, int]:
    """Columns and rows of the maps, thinned to a longest side in pixels."""
    manifest = data.manifest
    share = min(1.0, longest / max(manifest.width, manifest.height))
    return max(1, round(manifest.width * share)), max(1, round(manifest.height * share))


def thinned_map(data: ReportData, name: str, size: tuple[int, int]) -> NDArray[Any]:
    """A map of the series (rows, columns), thinned by its most frequent values.

    Args:
        data: The series.
        name: The map's file.
        size: Columns and rows.

    Raises:
        DataError: The map is missing or damaged.
    """
    columns, rows = size
    return data.folder.read_map(name, (rows, columns))


def footprint_outline(data: ReportData, year: int, size: tuple[int, int]) -> str:
    """The outline of a year's footprint as an SVG path over a picture of `size` columns and rows."""
    return outline_path(thinned_map(data, footprint_name(year), size) == 1)


def data_uri(picture: Image.Image, kind: Literal["JPEG", "PNG"]) -> str:
    """A picture as a `data:` URI."""
    data = io.BytesIO()
    options: dict[str, Any] = {"quality": _JPEG_QUALITY} if kind == "JPEG" else {}
    picture.save(data, format=kind, optimize=True, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
