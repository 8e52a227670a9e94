"""The rasters that pictures are made from, and their pixels in Web Mercator."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from euromine.monitoring.history.file_names import (
    FIRST_YEAR,
    LAST_YEAR,
    RECLAMATION_MAP,
    change_name,
    component_name,
    index_name,
    probability_name,
    water_name,
)
from euromine.monitoring.mapping.index_maps import INDEX_SCALE
from euromine.monitoring.mapping.stored_probabilities import scale_of
from euromine.monitoring.reporting.pictures import series_quicklook
from euromine.monitoring.scenes.quicklooks import LONGEST_SIDE
from euromine.support.errors import DataError
from euromine.support.image_headers import DIGITAL_NUMBERS, read_header
from euromine.support.rasters import check_blocks, gdal_cache, open_raster, read_damage

from .app_errors import NotFound
from .mercator import MERCATOR, MercatorGrid
from .picture_layers import CLASS, COLOURS, IMAGE, QUICKLOOK, Layer, Year, pair_of
from .site_catalogue import SitePlace

# Of decoded blocks, and of the warp's own buffers, for each picture on its way.
_CACHE_BYTES, _WARP_MB = 48 * 2**20, 48
# Rounding of an overview's size must not make the next finer one the choice.
_ROUNDING = 1.02
# Without overviews, all of a larger image takes seconds to read.
_LARGE_SIDE = 4096
_SINGLE_MAPS = {"first_year": FIRST_YEAR, "last_year": LAST_YEAR, "reclamation": RECLAMATION_MAP}


@dataclass(frozen=True)
class RasterSource:
    """Bands of a GeoTIFF.

    Attributes:
        path: The file.
        bands: Their places, counted from 1; empty where `name` gives the place.
        name: The description of the band.
        scale: The factor from the file's numbers to those of the picture.
        smooth: Whether values between pixels are interpolated; else those of the nearest pixel are taken.
        is_image: Whether pixels that are 0 in all bands have no data where the file does not mark any.
        is_full: Whether all of its pixels have data, which saves a third of the time.
    """

    path: Path
    bands: tuple[int, ...] = ()
    name: str = ""
    scale: float = 1.0
    smooth: bool = True
    is_image: bool = False
    is_full: bool = False

    @property
    def state(self) -> tuple[str, int, int]:
        """Path, size and time of modification, which change with the file."""
        found = self.path.stat()
        return str(self.path), found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class QuicklookSource:
    """The quicklook of a year, on the grid of the series, in fewer pixels.

    Attributes:
        place: The site.
        year: The year.
    """

    place: SitePlace
    year: int

    @property
    def state(self) -> tuple[str, int, int]:
        """As for `RasterSource`, with the version of the site, which changes with the file."""
        return self.place.version, self.year, 0


Source = RasterSource | QuicklookSource


def source_of(place: SitePlace, layer: Layer, year: Year) -> Source:
    """The raster behind a layer's picture of a year.

    Args:
        place: The site.
        layer: One of its layers.
        year: One of the layer's years.

    Raises:
        NotFound: The image has been taken away.
        DataError: A file is a link out of the folder.
    """
    if layer.key == QUICKLOOK:
        return QuicklookSource(place, int(year))
    if layer.kind == IMAGE:
        path = place.image(int(year))
        scene = next(scene for scene in place.series.manifest.scenes if scene.year == year)
        if path is None:
            raise NotFound(f"year: found no image of {year}; expected {scene.path}. Put it back.")
        bands = tuple(scene.bands.index(band) + 1 for band in COLOURS[layer.key])
        # Beyond the series' ground, an image may have no data even so.
        is_full = scene.known_share == 1.0 and not scene.resampled
        return RasterSource(path, bands, is_image=True, is_full=is_full)
    name, smooth = _map_name(layer, year), layer.kind != CLASS
    path = place.series.file(name)
    if smooth and layer.key != "probability":
        return RasterSource(path, name=layer.key, scale=INDEX_SCALE)
    if layer.key == "probability":
        scale = scale_of(str(place.series.manifest.settings.get("probability_type", "float32")))
        return RasterSource(path, (1,), scale=scale or 1.0)
    return RasterSource(path, (1,), smooth=smooth)


def _map_name(layer: Layer, year: Year) -> str:
    if layer.key in _SINGLE_MAPS:
        return _SINGLE_MAPS[layer.key]
    if layer.key == "change":
        return change_name(*pair_of(year))
    if layer.key.startswith("components_"):
        return component_name(layer.key.removeprefix("components_"), int(year))
    name = {"water": water_name, "probability": probability_name}.get(layer.key, index_name)
    return name(int(year))


def warped(source: Source, grid: MercatorGrid, *, sampled: bool = False) -> NDArray[np.float32]:
    """Values in Web Mercator: (bands, height, width) float32; NaN without data.

    Args:
        source: The raster.
        grid: The pixels.
        sampled: Whether to take the nearest pixels of a smooth raster, which is faster.

    Raises:
        DataError: A file is damaged, or promises more than memory holds.
        OSError: It cannot be read.
    """
    if isinstance(source, QuicklookSource):
        return _warped_quicklook(source, grid)
    with ExitStack() as files, gdal_cache(_CACHE_BYTES):
        dataset, bands, options = _opened(source, files)
        level = _overview(dataset, grid)
        if level is not None:
            dataset = open_raster(str(source.path), files, DataError, overview=level)
        with read_damage(DataError, str(source.path), ((0, dataset.height), (0, dataset.width))):
            values = _reprojected(_bands(dataset, bands), grid, options | _kernel(source, sampled))
    return _scaled(values, source, dataset)


def warped_copy(source: RasterSource, grid: MercatorGrid) -> NDArray[np.float32]:
    """As `warped`, for a grid much coarser than an image without overviews: three times as fast.

    GDAL averages blocks while it reads, where a warp would weigh every pixel.
    """
    from rasterio.enums import Resampling

    with ExitStack() as files, gdal_cache(_CACHE_BYTES):
        dataset, bands, options = _opened(source, files)
        factor = max(1, math.floor(max(dataset.width / grid.width, dataset.height / grid.height)))
        height, width = math.ceil(dataset.height / factor), math.ceil(dataset.width / factor)
        with read_damage(DataError, str(source.path), ((0, dataset.height), (0, dataset.width))):
            means = dataset.read(
                list(bands), out_shape=(len(bands), height, width), resampling=Resampling.average
            )
            scale = Affine.scale(dataset.width / width, dataset.height / height)
            options["src_transform"], options["src_crs"] = dataset.transform @ scale, dataset.crs
            values = _reprojected(means, grid, options | _kernel(source, False))
    return _scaled(values, source, dataset)


def _opened(source: RasterSource, files: ExitStack) -> tuple[Any, tuple[int, ...], dict[str, Any]]:
    """An open raster, the places of its bands, and the numbers that mean no data, for a warp."""
    shown = str(source.path)
    dataset = open_raster(shown, files, DataError)
    check_blocks(dataset, shown, DataError)
    header = read_header(dataset)
    bands = source.bands or _named(header.texts, source)
    if max(bands) > dataset.count:
        raise DataError(
            f"{shown}: found {dataset.count} bands; expected {max(bands)}. Run `euromine series` again."
        )
    zero = source.is_image and header.nodata is None and not header.has_mask and header.alpha is None
    options: dict[str, Any] = {
        "src_nodata": 0 if zero else header.nodata,
        "src_alpha": header.alpha or 0,
        # Images without a mark have no data where all bands are 0; a mark counts in any band.
        "UNIFIED_SRC_NODATA": "YES" if zero else "PARTIAL",
    }
    if source.is_full or not source.smooth:
        options["src_nodata"] = None  # classes without data keep their number
    return dataset, bands, options


def _bands(dataset: Any, bands: tuple[int, ...]) -> Any:
    import rasterio

    return rasterio.band(dataset, list(bands))


def _scaled(values: NDArray[np.float32], source: RasterSource, dataset: Any) -> NDArray[np.float32]:
    """Values as digital numbers or indices."""
    is_reflectance = source.is_image and dataset.dtypes[0].startswith("float")
    scale = DIGITAL_NUMBERS if is_reflectance else source.scale
    return values if scale == 1 else values * np.float32(scale)


def lacks_overviews(source: RasterSource) -> bool:
    """Whether an image is large and has no overviews, so that pictures of much of it read all of it."""
    if not source.is_image:
        return False
    with ExitStack() as files:
        dataset = open_raster(str(source.path), files, DataError)
        return max(dataset.width, dataset.height) > _LARGE_SIDE and not dataset.overviews(1)


def resampled(values: NDArray[np.float32], grid: MercatorGrid, wanted: MercatorGrid) -> NDArray[np.float32]:
    """Values on a grid in Web Mercator, brought to a coarser one.

    Args:
        values: (bands, height, width), NaN without data.
        grid: Their grid.
        wanted: The grid to bring them to.
    """
    from rasterio.enums import Resampling

    options = {
        "src_transform": grid.transform,
        "src_crs": MERCATOR,
        "src_nodata": np.nan,
        "resampling": Resampling.bilinear,
        "UNIFIED_SRC_NODATA": "PARTIAL",
    }
    return _reprojected(values, wanted, options)


def _reprojected(pixels: Any, grid: MercatorGrid, options: dict[str, Any]) -> NDArray[np.float32]:
    from rasterio.warp import reproject

    count = len(pixels) if isinstance(pixels, np.ndarray) else len(pixels.bidx)
    values = np.full((count, grid.height, grid.width), np.nan, np.float32)
    reproject(
        pixels,
        values,
        dst_transform=grid.transform,
        dst_crs=MERCATOR,
        dst_nodata=np.nan,
        num_threads=1,
        warp_mem_limit=_WARP_MB,
        **options,
    )
    return values


def _kernel(source: RasterSource, sampled: bool) -> dict[str, Any]:
    from rasterio.enums import Resampling

    is_smooth = source.smooth and not sampled
    return {"resampling": Resampling.bilinear if is_smooth else Resampling.nearest}


def _named(texts: tuple[str, ...], source: RasterSource) -> tuple[int, ...]:
    if source.name not in texts:
        raise DataError(
            f"{source.path}: found no band {source.name}; expected it, as the manifest lists it. Run "
            "`euromine series` again."
        )
    return (texts.index(source.name) + 1,)


def _overview(dataset: Any, grid: MercatorGrid) -> int | None:
    """The coarsest overview that is as fine as the grid; None where only the whole raster is.

    GDAL chooses none by itself when it warps from an open dataset.
    """
    factors = dataset.overviews(1)
    if not factors:
        return None
    from rasterio.warp import transform

    x, y = (grid.left + grid.right) / 2, (grid.bottom + grid.top) / 2
    across, down = (grid.right - grid.left) / grid.width, (grid.top - grid.bottom) / grid.height
    xs, ys = transform(
        MERCATOR, dataset.crs, [x - across / 2, x + across / 2, x, x], [y, y, y - down / 2, y + down / 2]
    )
    columns, rows = ~dataset.transform @ np.array([xs, ys])
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        return None
    ratio = min(
        math.hypot(columns[1] - columns[0], rows[1] - rows[0]),
        math.hypot(columns[3] - columns[2], rows[3] - rows[2]),
    )
    fitting = [level for level, factor in enumerate(factors) if factor <= ratio * _ROUNDING]
    return fitting[-1] if fitting else None


def _warped_quicklook(source: QuicklookSource, grid: MercatorGrid) -> NDArray[np.float32]:
    from rasterio.enums import Resampling

    manifest = source.place.series.manifest
    pixels = np.asarray(series_quicklook(source.place.series, source.year), np.float32)
    side = math.ceil(max(manifest.height, manifest.width) / LONGEST_SIDE)
    options = {
        "src_transform": Affine(*manifest.transform) @ Affine.scale(side),
        "src_crs": manifest.crs,
        "resampling": Resampling.bilinear,
    }
    return _reprojected(np.ascontiguousarray(pixels.transpose(2, 0, 1)), grid, options)
