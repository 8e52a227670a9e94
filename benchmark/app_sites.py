"""Two sites for the benchmark of the app: ten years of 2,000 x 2,000 pixels, and a whole Sentinel-2 tile.

Their series are written without a model: footprints are the labels of a simulated archive. All files have the
types, blocks and overviews of those that `euromine series` writes.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling

from euromine.modeling import BANDS
from euromine.monitoring.history.area_series import YearArea, write_areas
from euromine.monitoring.history.file_names import (
    AREAS,
    FIRST_YEAR,
    footprint_name,
    index_name,
)
from euromine.monitoring.history.manifest import FOOTPRINTS, Manifest, ModelRecord, SceneRecord
from euromine.monitoring.history.polygons import footprint_polygons
from euromine.monitoring.history.vector_files import write_polygons
from euromine.monitoring.mapping.geotiffs import CogWriter
from euromine.monitoring.mapping.index_maps import map_indices
from euromine.monitoring.mapping.map_styles import FOOTPRINT, years_style
from euromine.monitoring.mapping.map_values import NEVER, UNKNOWN_YEAR
from euromine.monitoring.scenes.grids import Grid
from euromine.simulation.simulated_archive import simulate_archive
from euromine.support.ground_areas import HECTARE, pixel_areas
from euromine.support.rasters import crs_name

logger = logging.getLogger(__name__)

SIDE, LARGE_SIDE = 2000, 10_980
YEARS = tuple(range(2015, 2025))
INDICES = ("ndvi", "mndwi")
# The large site has a year with overviews and one without.
WITH_OVERVIEWS, WITHOUT = 2023, 2024
_LARGE_BANDS = ("B02", "B03", "B04")
_ROWS = 1098


def write_sites(folder: Path) -> tuple[str, str]:
    """Write both sites below a folder, unless an earlier run did, and return their names."""
    archive = simulate_archive(folder / "archive", sites=1, size=(SIDE, SIDE), years=YEARS)
    site = next(path for path in sorted((archive / "EuroMineNet").iterdir()) if path.is_dir())
    if not (folder / "sites" / site.name / "series.json").exists():
        _write_series(site, folder / "sites" / site.name)
    large = "Large"
    if not (folder / "sites" / large / "series.json").exists():
        _write_large(site / "image" / f"Year{YEARS[-1]}.tif", folder / large / "image", large)
        _write_large_series(folder / large / "image", folder / "sites" / large, large)
    return site.name, large


def _write_series(site: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    images = [site / "image" / f"Year{year}.tif" for year in YEARS]
    with rasterio.open(images[0]) as file:
        grid = Grid.of(file)
    footprints = np.stack([_label(site / "label" / path.name) for path in images])
    for year, footprint in zip(YEARS, footprints, strict=True):
        _write_map(out / footprint_name(year), grid, footprint, style=FOOTPRINT)
    years_map = np.where(footprints.any(0), np.asarray(YEARS)[footprints.argmax(0)], NEVER)
    style = years_style(YEARS, never=NEVER, unknown=UNKNOWN_YEAR)
    _write_map(out / FIRST_YEAR, grid, years_map.astype(np.uint16), style=style)
    for year, image in zip(YEARS, images, strict=True):
        logger.info("Indices of %s", year)
        map_indices(image, out, INDICES).replace(out / index_name(year))
    polygons = footprint_polygons(footprints, YEARS, grid, site=site.name)
    write_polygons(polygons, out / "footprints.gpkg")
    write_areas(_areas(site.name, footprints, grid), out / AREAS, YearArea)
    scenes = [_scene(path, year, BANDS) for year, path in zip(YEARS, images, strict=True)]
    _write_manifest(out, site.name, grid, scenes, {"impact": {"indices": list(INDICES)}})


def _label(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as file:
        return (file.read(1) == 255).astype(np.uint8)


def _write_map(path: Path, grid: Grid, values: NDArray[Any], **settings: Any) -> None:
    with CogWriter(path, grid, values.dtype, resampling="mode", **settings) as writer:
        writer.write(values)


def _areas(site: str, footprints: NDArray[np.uint8], grid: Grid) -> list[YearArea]:
    transform = tuple(grid.transform)[:6]
    ground = pixel_areas(crs_name(grid.crs), transform, *grid.shape).rows(0, grid.height)
    whole = float(np.broadcast_to(ground, grid.shape).sum()) / HECTARE
    found = []
    for year, footprint in zip(YEARS, footprints, strict=True):
        area = float((ground * footprint).sum()) / HECTARE
        found.append(YearArea(site, year, int(footprint.sum()), area, None, None, None, 1.0, None, whole))
    return found


def _write_large(source: Path, folder: Path, site: str) -> None:
    """Two years of a whole tile in UTM: a small image, mirrored again and again."""
    folder.mkdir(parents=True, exist_ok=True)
    with rasterio.open(source) as file:
        small = file.read([BANDS.index(band) + 1 for band in _LARGE_BANDS])
    mirrored = np.concatenate([small, small[:, ::-1]], axis=1)
    columns = np.arange(LARGE_SIDE) % (2 * SIDE)
    columns = np.minimum(columns, 2 * SIDE - 1 - columns)
    profile = {
        "driver": "GTiff",
        "crs": "EPSG:32633",
        "transform": rasterio.Affine(10, 0, 399_960, 0, -10, 5_300_040),
        "dtype": "int16",
        "count": len(_LARGE_BANDS),
        "height": LARGE_SIDE,
        "width": LARGE_SIDE,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
        "predictor": 2,
        "zlevel": 1,
        "interleave": "band",
    }
    first, second = (folder / f"{site}_{year}.tif" for year in (WITHOUT, WITH_OVERVIEWS))
    with rasterio.open(first, "w", **profile) as file:
        file.descriptions = _LARGE_BANDS
        for top in range(0, LARGE_SIDE, _ROWS):
            rows = np.arange(top, min(top + _ROWS, LARGE_SIDE)) % (2 * SIDE)
            strip = mirrored[:, rows][:, :, columns]
            file.write(strip, window=rasterio.windows.Window(0, top, LARGE_SIDE, strip.shape[1]))
    shutil.copyfile(first, second)
    with rasterio.open(second, "r+") as file:
        file.build_overviews([2, 4, 8, 16], Resampling.average)


def _write_large_series(images: Path, out: Path, site: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    years = (WITH_OVERVIEWS, WITHOUT)
    paths = [images / f"{site}_{year}.tif" for year in years]
    with rasterio.open(paths[0]) as file:
        grid = Grid.of(file)
    footprint = np.zeros(grid.shape, np.uint8)
    footprint[4000:4300, 5000:5500] = 1
    for year in years:
        _write_map(out / footprint_name(year), grid, footprint, style=FOOTPRINT)
    scenes = [_scene(path, year, _LARGE_BANDS) for year, path in zip(years, paths, strict=True)]
    _write_manifest(out, site, grid, scenes, {})


def _scene(path: Path, year: int, bands: Sequence[str]) -> SceneRecord:
    found = path.stat()
    return SceneRecord(
        year=year,
        path=path.name,
        size=found.st_size,
        modified=found.st_mtime_ns,
        bands=list(bands),
        decisions=[],
        crs="EPSG:4326",
        resampled="",
        known_share=1.0,
        quicklook_bands=["B04", "B03", "B02"],
    )


def _write_manifest(
    out: Path, site: str, grid: Grid, scenes: list[SceneRecord], settings: dict[str, Any]
) -> None:
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir() if path.is_file()
    }
    model = ModelRecord(FOOTPRINTS, "labels", "none", 0, list(BANDS), "0" * 16, simulated=True)
    a, b, c, d, e, f = tuple(grid.transform)[:6]
    Manifest(
        site=site,
        years=[scene.year for scene in scenes],
        pairs=[],
        crs=crs_name(grid.crs),
        transform=(a, b, c, d, e, f),
        width=grid.width,
        height=grid.height,
        models=[model],
        scenes=scenes,
        settings={"smoothing": "none", **settings},
        simulated=True,
        complete=True,
        created="2026-01-01T00:00:00+00:00",
        files=files,
    ).write(out)
