"""A folder of images, or a list of them -> the image of each year."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from euromine.monitoring.mapping.geotiffs import read_map_record
from euromine.monitoring.scenes.band_files import band_in_name
from euromine.monitoring.scenes.locations import locate
from euromine.monitoring.scenes.safe_products import is_safe_folder
from euromine.monitoring.scenes.scene import open_scene
from euromine.monitoring.scenes.scene_formats import is_scene_folder
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.monitoring.scenes.virtual_rasters import virtual_sources
from euromine.support.errors import ArgumentError, SceneError

IMAGE_FOLDERS = ("image", "images")
_SUFFIXES = (".tif", ".tiff", ".jp2", ".nc")
_PRODUCT_ZIP = re.compile(r"S2[A-D]_.*\.zip|.*\.SAFE\.zip", re.IGNORECASE)

ScenePath = str | os.PathLike[str]


def find_scenes(
    folder: ScenePath,
    years: Sequence[int] | None = None,
    options: SceneOptions | None = None,
    year_of: Mapping[str, int] | None = None,
) -> dict[int, str | Path]:
    """The images of a folder by year.

    The year is in the file's name (Year2015.tif, 2015.tif, S2B_MSIL2A_20180521T..., mine_20190801.tif) or in
    its metadata. The images are the GeoTIFF, JPEG 2000, VRT and netCDF files of the folder, and the
    Sentinel-2 products in it as folders or zips; if it has none, those of its subfolder `image`, as in a site
    of the published archive. Maps that EuroMine wrote and the parts of a VRT are skipped.

    Args:
        folder: The folder.
        years: The years of interest; default all.
        options: Scene metadata given by the user.
        year_of: The years of images whose names have none or several, by name.

    Raises:
        SceneError: The folder has no image, a file has no year or several, or two have the same.
        ArgumentError: There is no image of these years, or none of a name in `year_of`.
    """
    root = Path(folder)
    if not root.is_dir():
        found = "a file" if root.exists() else "no such folder"
        raise SceneError(f"{folder}: found {found}; expected a folder with one image per year.")
    paths = _images(root)
    if not paths:
        paths = [path for name in IMAGE_FOLDERS if (root / name).is_dir() for path in _images(root / name)]
    if not paths:
        if sites := _sites(root):
            raise SceneError(
                f"{folder}: found an archive of sites; expected the images of one, such as {sites[0]}. "
                "Name one site's folder, or map all of them with --each-site."
            )
        raise SceneError(
            f"{folder}: found no image; expected one per year (.tif, .jp2, .vrt, .nc, .SAFE, .SAFE.zip)."
        )
    return scenes_by_year(paths, years, options, year_of)


def _sites(root: Path) -> list[Path]:
    """The folders of sites below a folder, sorted; those of an archive may lie one level deeper."""
    return sorted(
        path.parent
        for depth in ("*", "*/*")
        for name in IMAGE_FOLDERS
        for path in root.glob(f"{depth}/{name}")
        if path.is_dir()
    )


def scenes_by_year(
    paths: Iterable[ScenePath],
    years: Sequence[int] | None = None,
    options: SceneOptions | None = None,
    year_of: Mapping[str, int] | None = None,
) -> dict[int, str | Path]:
    """Images by the year in their names or metadata.

    Args:
        paths: Scenes, as for `open_scene`.
        years: The years of interest; default all.
        options: Scene metadata given by the user.
        year_of: The years of images whose names have none or several, by name.

    Raises:
        SceneError: An image has no year or several, or two have the same.
        ArgumentError: There is no image of these years, or none of a name in `year_of`.
    """
    found: dict[int, str | Path] = {}
    given = dict(year_of or {})
    for place in map(locate, paths):
        year = given.pop(place.name, None) or _year(place.text, options)
        if years is not None and year not in years:
            continue
        if year in found:
            raise SceneError(
                f"{place.shown}: found a second image of {year} beside {locate(found[year]).shown}; "
                "expected one per year."
            )
        found[year] = place.path or place.text
    if given:
        raise ArgumentError(
            f"year_of: found {', '.join(given)}, none of the images; expected names of files among them."
        )
    if not found and years is not None:
        raise ArgumentError(f"years: found no image of {', '.join(map(str, years))}; expected at least one.")
    if not found:
        raise ArgumentError("scenes: found no image; expected at least one.")
    return dict(sorted(found.items()))


def _year(image: str, options: SceneOptions | None) -> int:
    with open_scene(image, options) as scene:
        year, possible, place = scene.year, scene.possible_years, scene.location
    if year is not None:
        return year
    if possible:
        raise SceneError(
            f"{place.shown}: found the years {' and '.join(map(str, possible))} in its name; expected one. "
            f"Give the right one with --year-of {place.name}={possible[-1]}."
        )
    raise SceneError(
        f"{place.shown}: found no year; expected one in its name, such as Year2015.tif or "
        f"mine_2015-07-03.tif. Rename it, or give the year with --year-of {place.name}=2015."
    )


def _images(folder: Path) -> list[Path]:
    """The scenes in a folder, sorted; the folder itself where it is one.

    Raises:
        SceneError: It holds files of single bands beside other images.
    """
    if is_safe_folder(folder):
        return [folder]
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    virtual = [path for path in paths if path.suffix.lower() == ".vrt"]
    parts = {source for path in virtual for source in virtual_sources(path)}
    images = [
        path
        for path in paths
        if path.suffix.lower() in _SUFFIXES and path.resolve() not in parts and read_map_record(path) is None
    ]
    images += [path for path in paths if is_scene_folder(path) or _PRODUCT_ZIP.fullmatch(path.name)]
    images += virtual
    bands = [path for path in images if band_in_name(path.name)]
    if len(bands) < 2:
        return sorted(images)
    if len(bands) < len(images):
        raise SceneError(
            f"{folder}: found files of single bands ({bands[0].name}, ...) beside other images; expected one "
            "image per year. Give each image that is a file per band a folder of its own."
        )
    return [folder]
