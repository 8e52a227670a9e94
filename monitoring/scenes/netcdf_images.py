"""netCDF images by the CF conventions: a variable per band, placed by their grid mapping."""

from __future__ import annotations

import re
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from euromine.support.errors import SceneError
from euromine.support.image_headers import ImageHeader, read_header
from euromine.support.rasters import check_blocks, open_raster
from euromine.support.sentinel2_products import year_of_timestamp
from euromine.support.sidecars import number_or_none

from .band_names import canonical_band
from .band_stacks import BandStack, StackedBand
from .hdf5_references import reference_elsewhere
from .product_files import file_state
from .scene_rasters import SceneRaster

_MOST_VARIABLES = 500
_SINCE = re.compile(r"(day|hour|minute|second)s? since (\d{4}-\d\d?-\d\d?)(?:[T ](\d\d?:\d\d))?")
_TIMES = ("time_coverage_start", "datetime", "date")


def open_netcdf(path: Path, files: ExitStack, *, is_hdf5: bool) -> SceneRaster:
    """Open the bands of a netCDF file.

    Args:
        path: The file.
        files: Closes the rasters.
        is_hdf5: Whether it is netCDF-4.

    Raises:
        SceneError: The file is damaged, refers to other files, holds several times, or its variables do not
            go together.
    """
    if is_hdf5 and (found := reference_elsewhere(path)):
        raise SceneError(
            f"{path}: found {found}, which may lead to other files; expected a netCDF file with its own "
            "data. Rewrite it with nccopy -k nc4."
        )
    if '"' in str(path):
        raise SceneError(
            f"{path}: found a quotation mark in the name; expected one without. Rename the file."
        )
    bands = _bands(path, files)
    stack = BandStack(list(bands.values()))
    first = next(iter(bands.values())).dataset
    tags = {str(key).rpartition("#")[2].upper(): str(value) for key, value in first.tags().items()}
    return SceneRaster(
        dataset=stack,
        header=_joined_header(path, bands),
        tags=tags,
        blocks=stack.blocks,
        state=(file_state(path),),
        source="scale_factor and add_offset in the file",
        companion=str(path),
        year=_year(first),
    )


def _bands(path: Path, files: ExitStack) -> dict[str, StackedBand]:
    """The bands by the name of their variable: those with the name of a band, or all if none has."""
    container = open_raster(str(path), files, SceneError, driver="netCDF")
    names = [str(name).rpartition(":")[2] for name in container.subdatasets]
    if len(names) > _MOST_VARIABLES:
        raise SceneError(f"{path}: found {len(names)} variables; expected at most {_MOST_VARIABLES}.")
    rasters = {name: _variable(path, name, files) for name in names}
    if not names:
        _check_one_time(container, str(path))
        if not container.count:
            raise SceneError(
                f"{path}: found no variable with the dimensions y and x; expected a band in each."
            )
        variable = str(container.tags(1).get("NETCDF_VARNAME", ""))
        rasters = {variable: container}
    named = {name: raster for name, raster in rasters.items() if _band(name, raster)}
    chosen = named or rasters
    for name, raster in chosen.items():
        _check_one_time(raster, f"{path}:{name}")
        check_blocks(raster, f"{path}:{name}", SceneError)
    if len(chosen) > 1 and any(raster.count > 1 for raster in chosen.values()):
        name = next(name for name, raster in chosen.items() if raster.count > 1)
        raise SceneError(
            f"{path}: found {chosen[name].count} layers in {name}; expected a variable per band, with the "
            "dimensions y and x alone."
        )
    return {
        name if raster.count == 1 else f"{name} {index}": StackedBand(raster, index, f"{path}:{name}")
        for name, raster in chosen.items()
        for index in range(1, raster.count + 1)
    }


def _variable(path: Path, name: str, files: ExitStack) -> Any:
    return open_raster(
        f'NETCDF:"{path.absolute()}":{name}', files, SceneError, driver="netCDF", name=f"{path}:{name}"
    )


def _band(name: str, raster: Any) -> str | None:
    """The band of a variable by its name, or by its long name."""
    return canonical_band(name) or canonical_band(raster.tags(1).get("long_name") if raster.count else None)


def _check_one_time(raster: Any, shown: str) -> None:
    tags = raster.tags()
    extra = str(tags.get("NETCDF_DIM_EXTRA", "")).strip("{}").split(",")
    for name in extra:
        is_time = tags.get(f"{name}#axis") == "T" or _SINCE.match(str(tags.get(f"{name}#units", "")))
        if is_time and raster.count > 1:
            raise SceneError(
                f"{shown}: found {raster.count} times; expected one. Write each into a file of its own, for "
                "example with cdo splitsel,1."
            )


def _joined_header(path: Path, bands: dict[str, StackedBand]) -> ImageHeader:
    """The headers of all variables as one.

    Raises:
        SceneError: They have different fill values.
    """
    headers = [read_header(band.dataset) for band in bands.values()]
    places = [band.index - 1 for band in bands.values()]
    fills = {str(header.nodata) for header in headers}
    if len(fills) > 1:
        raise SceneError(
            f"{path}: found the fill values {', '.join(sorted(fills))}; expected one for all bands. Set it "
            "with ncatted -a _FillValue."
        )
    return ImageHeader(
        texts=tuple(_band(name, band.dataset) or name for name, band in bands.items()),
        scales=tuple(header.scales[place] for header, place in zip(headers, places, strict=True)),
        offsets=tuple(header.offsets[place] for header, place in zip(headers, places, strict=True)),
        nodata=headers[0].nodata,
        has_mask=False,
        alpha=None,
        level=headers[0].level,
    )


def _year(raster: Any) -> int | None:
    """The year of the only time, by its coordinate, else by the file's attributes."""
    tags = raster.tags()
    for key, units in tags.items():
        found = _SINCE.match(str(units)) if key.endswith("#units") else None
        if found:
            name = key.removesuffix("#units")
            text = raster.tags(1).get(f"NETCDF_DIM_{name}") or tags.get(f"NETCDF_DIM_{name}_VALUES")
            value = number_or_none(text)
            if value is not None:
                try:
                    start = datetime.fromisoformat(found[2])
                    return (start + timedelta(**{f"{found[1]}s": value})).year
                except (ValueError, OverflowError):
                    return None
    texts = (tags.get(f"NC_GLOBAL#{key}", "") for key in _TIMES)
    return next((year for text in texts if (year := year_of_timestamp(text))), None)
