"""Open a scene by its content: the driver follows from the first bytes, and GDAL never guesses."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from euromine.support.errors import SceneError
from euromine.support.rasters import open_raster

from .band_files import band_in_name, holds_band_files, open_band_files
from .file_formats import DRIVERS, HDF5, NETCDF, PRODUCT_METADATA, VRT, ZIP, format_of
from .locations import Location
from .netcdf_images import open_netcdf
from .product_files import file_state
from .remote_images import open_remote_image
from .safe_products import is_safe_folder, open_safe_folder, open_safe_zip
from .scene_rasters import SceneRaster
from .virtual_rasters import open_virtual_raster


def open_scene_raster(location: Location, files: ExitStack) -> SceneRaster:
    """Open the pixels of a scene: a GeoTIFF, JPEG 2000, VRT or netCDF, a Sentinel-2 product, an address.

    Args:
        location: Its location.
        files: Closes the rasters.

    Raises:
        SceneError: It cannot be read, or is none of these.
        OSError: A server cannot be reached.
    """
    path = location.path
    if path is None:
        return open_remote_image(location, files)
    if path.is_dir():
        return _open_folder(path, files)
    found = format_of(path)
    if found == ZIP:
        return open_safe_zip(path, files)
    if found == PRODUCT_METADATA:
        return open_safe_folder(path, files)
    if found == VRT:
        return open_virtual_raster(path, files)
    if found in (NETCDF, HDF5):
        return open_netcdf(path, files, is_hdf5=found == HDF5)
    return _open_file(path, files, DRIVERS.get(found, "GTiff"))


def is_scene_folder(path: Path) -> bool:
    """Whether a folder is one scene: a Sentinel-2 product, or a file per band."""
    return path.is_dir() and (is_safe_folder(path) or holds_band_files(path))


def _open_folder(path: Path, files: ExitStack) -> SceneRaster:
    if is_safe_folder(path):
        return open_safe_folder(path, files)
    if holds_band_files(path):
        return open_band_files(path, files)
    raise SceneError(
        f"{path}: found a folder that is no scene; expected a Sentinel-2 product (.SAFE), or a folder with a "
        "file per band (..._B02.jp2). Give the images in it one by one."
    )


def _open_file(path: Path, files: ExitStack, driver: str) -> SceneRaster:
    """A file of one raster, with its companions."""
    dataset = open_raster(str(path), files, SceneError, driver=driver)
    raster = SceneRaster.of_dataset(
        dataset, str(path), SceneError, state=(file_state(path),), companion=str(path)
    )
    band = band_in_name(path.name)
    if band and raster.header.texts == ("",):
        return replace(raster, header=replace(raster.header, texts=(band,)))
    return raster
