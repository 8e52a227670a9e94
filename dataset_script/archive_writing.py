"""Write a site in the published layout, or labels to a site that is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import ArgumentError
from euromine.support.files import atomic_file, torn_file_error
from euromine.support.rasters import gdal, gdal_errors
from euromine.support.wording import counted

from .archive_bands import BANDS, NO_BACKSCATTER, RADAR_BANDS
from .archive_listing import YEAR_NAME, is_ignored
from .label_headers import IGNORED_BIT, IGNORED_TAG, MARKED, MINE

COMPONENTS_FOLDER = "components"
"""The folder of the classes of a site's ground, beside its `image` and `label`."""


def write_site(
    root: str | PathLike[str],
    name: str,
    *,
    images: NDArray[np.int16],
    labels: NDArray[np.uint8],
    years: Sequence[int],
    crs: str,
    transform: Sequence[float],
) -> None:
    """Write a site in the published layout: `root/name/image/Year2015.tif`, `root/name/label/...`.

    The site appears whole, replacing one of the same name, or not at all. Images are int16 with
    georeferencing, labels uint8 0/255 without, as published; the same arrays give the same bytes.

    Args:
        root: Folder of the archive; made if it is missing.
        name: Name of the site, for example `Germany_12`.
        images: `(years, 10, height, width)` int16 DN, bands in the order of `BANDS`.
        labels: `(years, height, width)` uint8, 1 for mine and 0 elsewhere.
        years: The years, each once.
        crs: For example `EPSG:4326`, or WKT.
        transform: Affine coefficients `a, b, c, d, e, f`.

    Raises:
        ArgumentError: An argument does not fit the others.
        OSError: A file cannot be written in full, for example on a full disk.
    """
    _check_arrays(name, images, labels, years, transform)
    root = Path(root)
    site, partial, replaced = root / name, root / f".{name}.partial", root / f".{name}.replaced"
    georeferencing = {"crs": _parse_crs(crs), "transform": _affine(transform)}
    _remove(partial)
    try:
        for folder in ("image", "label"):
            (partial / folder).mkdir(parents=True)
        for year, image, label in zip(years, images, labels, strict=True):
            _write(partial / "image" / f"Year{year}.tif", image, predictor=2, **georeferencing)
            published = np.where(label == MINE, np.uint8(MARKED), np.uint8(0))
            _write(partial / "label" / f"Year{year}.tif", published[np.newaxis])
        if site.exists():
            _remove(replaced)
            site.rename(replaced)
        partial.rename(site)
        _remove(replaced)
    finally:
        _remove(partial)


def write_label(
    files: ExitStack, path: Path, label: NDArray[np.uint8], *, crs: str, transform: Sequence[float]
) -> None:
    """Write a label of a year, which takes its name when `files` closes without an error.

    It lies on the grid of its image; a tag marks 255 as ground to ignore.

    Args:
        files: Renames all files of an import together when it closes.
        path: Such as `EuroMineNet/Kiruna/label/Year2021.tif`; its folder is made.
        label: uint8 (height, width): 0 other, 1 mine, 255 ignored.
        crs: That of the image.
        transform: That of the image.

    Raises:
        OSError: It cannot be written in full.
    """
    _write_part(files, path, label, crs, transform, nodata=MARKED, tags={IGNORED_TAG: str(MARKED)})


def write_components(
    files: ExitStack,
    path: Path,
    components: NDArray[Any],
    *,
    values: Mapping[str, int],
    colours: Mapping[str, str],
    crs: str,
    transform: Sequence[float],
) -> None:
    """Write the classes of a year's ground, which take their name when `files` closes without an error.

    Args:
        files: As for `write_label`.
        path: Such as `EuroMineNet/Kiruna/components/Year2021.tif`.
        components: (height, width), either uint8 with the value of a class, 0 for none and 255 for ground to
            ignore; or uint16 with bit n - 1 for the class of value n, and bit 15 for ground to ignore.
        values: Name -> value of each class. They go into the header as the tag CLASSES.
        colours: Name -> colour, such as "#e6194b", for the colour table of uint8.
        crs: That of the image.
        transform: That of the image.

    Raises:
        OSError: It cannot be written in full.
    """
    has_bits = components.dtype == np.uint16
    tags = {
        "CLASSES": json.dumps(dict(values)),
        "ENCODING": "bits" if has_bits else "values",
        IGNORED_TAG: str(IGNORED_BIT if has_bits else MARKED),
    }
    table = None
    if not has_bits:
        table = {0: (0, 0, 0, 0), MARKED: (128, 128, 128, 255)}
        for name, value in values.items():
            table.setdefault(value, (*bytes.fromhex(colours[name].lstrip("#")), 255))
    nodata = None if has_bits else MARKED
    _write_part(files, path, components, crs, transform, nodata=nodata, tags=tags, colours=table)


def write_radar(
    files: ExitStack, path: Path, radar: NDArray[np.int16], *, crs: str, transform: Sequence[float]
) -> None:
    """Write a year's backscatter as `euromine acquire` does, to take its name when `files` closes.

    Args:
        files: As for `write_label`.
        path: Such as `EuroMineNet/Kiruna/radar/Year2021.tif`.
        radar: int16 (2, height, width): VV and VH in dB x 100, `NO_BACKSCATTER` without data.
        crs: That of the image.
        transform: That of the image.

    Raises:
        OSError: It cannot be written in full.
    """
    _write_part(files, path, radar, crs, transform, nodata=NO_BACKSCATTER, names=RADAR_BANDS, scale=0.01)


def _write_part(
    files: ExitStack, path: Path, band: NDArray[Any], crs: str, transform: Sequence[float], **options: Any
) -> None:
    path.parent.mkdir(exist_ok=True)
    part = files.enter_context(atomic_file(path))
    _write(
        part,
        band if band.ndim == 3 else band[np.newaxis],
        crs=_parse_crs(crs),
        transform=_affine(transform),
        **options,
    )


def _check_arrays(
    name: str,
    images: NDArray[np.int16],
    labels: NDArray[np.uint8],
    years: Sequence[int],
    transform: Sequence[float],
) -> None:
    if is_ignored(name) or Path(name).name != name:
        raise ArgumentError(f"name: found {name!r}; expected the name of a folder, such as Germany_12.")
    if images.ndim != 4 or images.shape[:2] != (len(years), len(BANDS)) or images.dtype != np.int16:
        raise ArgumentError(
            f"images: found {images.dtype} {images.shape} for {name}; expected int16 "
            f"({len(years)}, {len(BANDS)}, height, width) for {counted(len(years), 'year')}."
        )
    expected = (len(years), *images.shape[2:])
    if labels.shape != expected or labels.dtype != np.uint8 or (labels > MINE).any():
        raise ArgumentError(
            f"labels: found {labels.dtype} {labels.shape} up to {labels.max(initial=0)} for {name}; expected "
            f"uint8 {expected} of 0 and 1."
        )
    if (
        not years
        or len(set(years)) != len(years)
        or not all(YEAR_NAME.fullmatch(str(year)) for year in years)
    ):
        raise ArgumentError(
            f"years: found {list(years)} for {name}; expected at least one, each once, such as 2015."
        )
    if len(transform) < 6:
        raise ArgumentError(
            f"transform: found {len(transform)} coefficients for {name}; expected a, b, c, d, e, f."
        )


def _parse_crs(crs: str) -> Any:
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        with gdal():
            return CRS.from_user_input(crs)
    except CRSError as error:
        raise ArgumentError(f"crs: found {crs!r}; expected a code such as EPSG:4326, or WKT.") from error


def _affine(transform: Sequence[float]) -> Any:
    from affine import Affine

    return Affine(*transform[:6])


def _write(
    path: Path,
    bands: NDArray[Any],
    *,
    tags: Mapping[str, str] | None = None,
    colours: Mapping[int, tuple[int, ...]] | None = None,
    names: Sequence[str] = (),
    scale: float = 1.0,
    **options: Any,
) -> None:
    """Write `(bands, height, width)` and read it back, as GDAL reports no full disk when closing a file."""
    import rasterio

    count, height, width = bands.shape
    profile = {"count": count, "height": height, "width": width, "dtype": bands.dtype, "interleave": "band"}
    storage = {
        "compress": "deflate",
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "bigtiff": "if_safer",
    }
    try:
        with gdal():
            with rasterio.open(path, "w", driver="GTiff", **profile, **storage, **options) as dataset:
                dataset.update_tags(**(tags or {}))
                if colours is not None:
                    dataset.write_colormap(1, colours)
                if names:
                    dataset.descriptions, dataset.scales = tuple(names), (scale,) * count
                dataset.write(bands)
            with rasterio.open(path, driver="GTiff") as dataset:
                whole = all(np.array_equal(dataset.read(i + 1), bands[i]) for i in range(count))
    except gdal_errors() as error:
        raise torn_file_error(path) from error
    if not whole:
        raise torn_file_error(path)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
