"""A folder of images -> the image of each year."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from euromine.monitoring.mapping.geotiffs import read_record
from euromine.monitoring.scenes.scene import open_scene
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import ArgumentError, SceneError

IMAGE_FOLDERS = ("image", "images")
_SUFFIXES = (".tif", ".tiff")


def find_scenes(
    folder: str | os.PathLike[str], years: Sequence[int] | None = None, options: SceneOptions | None = None
) -> dict[int, Path]:
    """The images of a folder by year.

    The year is in the file's name (Year2015.tif, 2015.tif, S2B_MSIL2A_20180521T..., mine_20190801.tif) or in
    its metadata. The images are the .tif and .tiff files of the folder or, if it has none, those of its
    subfolder `image`, as in a site of the published archive. Maps that EuroMine wrote are skipped.

    Args:
        folder: The folder.
        years: The years of interest; default all.
        options: Scene metadata given by the user.

    Raises:
        SceneError: The folder has no image, a file has no year, or two have the same.
        ArgumentError: There is no image of these years.
    """
    root = Path(folder)
    if not root.is_dir():
        found = "a file" if root.exists() else "no such folder"
        raise SceneError(f"{folder}: found {found}; expected a folder with one GeoTIFF per year.")
    paths = _images(root)
    if not paths:
        paths = [path for name in IMAGE_FOLDERS if (root / name).is_dir() for path in _images(root / name)]
    if not paths:
        raise SceneError(f"{folder}: found no image; expected one GeoTIFF (.tif) per year.")
    return scenes_by_year(paths, years, options)


def scenes_by_year(
    paths: Iterable[str | os.PathLike[str]],
    years: Sequence[int] | None = None,
    options: SceneOptions | None = None,
) -> dict[int, Path]:
    """Images by the year in their names or metadata.

    Args:
        paths: GeoTIFFs.
        years: The years of interest; default all.
        options: Scene metadata given by the user.

    Raises:
        SceneError: The folder has no image, a file has no year, or two have the same.
        ArgumentError: There is no image of these years.
    """
    found: dict[int, Path] = {}
    for path in map(Path, paths):
        with open_scene(path, options) as scene:
            year = scene.year
        if year is None:
            raise SceneError(
                f"{path}: found no year; expected one in the file's name, such as Year2015.tif or "
                "mine_2015-07-03.tif."
            )
        if years is not None and year not in years:
            continue
        if year in found:
            raise SceneError(
                f"{path}: found a second image of {year} beside {found[year]}; expected one per year."
            )
        found[year] = path
    if not found and years is not None:
        raise ArgumentError(f"years: found no image of {', '.join(map(str, years))}; expected at least one.")
    if not found:
        raise ArgumentError("scenes: found no image; expected at least one.")
    return dict(sorted(found.items()))


def _images(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and read_record(path) is None
    )
