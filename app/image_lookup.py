"""A series does not keep its images: they are looked up by name, size and ground."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from euromine.monitoring.history.folder import SeriesFolder
from euromine.monitoring.history.manifest import SceneRecord
from euromine.support.errors import DataError
from euromine.support.rasters import check_blocks, gdal, gdal_errors, open_raster

_SUFFIXES = (".tif", ".tiff")
# Folders of images in the folder of a series, such as that of an upload.
_BESIDE = ("images", "image")
_DEEPEST, _MOST_FOLDERS = 6, 50_000
# A folder of many sites is walked again for an image that was not found, but not for each request.
_WALK_AGAIN_SECONDS = 60.0
# An image that covers less of a series is one of another site.
_LEAST_COVERED = 0.5
Bounds = tuple[float, float, float, float]


class ImageLookup:
    """The images of all series below some folders.

    Args:
        folders: The folders, the most likely first. Links out of them are not followed.
    """

    def __init__(self, folders: list[Path]) -> None:
        self._folders = [folder.resolve() for folder in folders]
        self._lock = threading.Lock()
        self._by_name: dict[str, list[Path]] | None = None
        self._walked = 0.0
        self._found: dict[tuple[str, str, int, int], Path] = {}

    def image(self, series: SeriesFolder, year: int) -> Path | None:
        """The image of a year of a series, a GeoTIFF on its ground; None where there is none.

        Args:
            series: The series.
            year: The year.
        """
        scene = next((scene for scene in series.manifest.scenes if scene.year == year), None)
        if scene is None or not scene.path.lower().endswith(_SUFFIXES) or "/" in scene.path:
            return None
        key = (str(series.path), scene.path, scene.size, scene.modified)
        with self._lock:
            found = self._found.get(key)
            if found is None or not _has_size(found, scene.size):
                found = self._search(series, scene)
                if found is not None:
                    self._found[key] = found
            return found

    def _search(self, series: SeriesFolder, scene: SceneRecord) -> Path | None:
        site = series.manifest.site
        usual = [series.path / name / scene.path for name in _BESIDE]
        if site not in ("", ".", "..") and "/" not in site:
            places = (folder / site / name for folder in self._folders for name in ("image", ""))
            usual += [place / scene.path for place in places]
        if (near := self._best(usual, series, scene)) is not None:
            return near
        now = time.monotonic()
        if self._by_name is None or now - self._walked > _WALK_AGAIN_SECONDS:
            self._by_name, self._walked = _images_by_name(self._folders), now
        return self._best(self._by_name.get(scene.path, []), series, scene)

    def _best(self, paths: list[Path], series: SeriesFolder, scene: SceneRecord) -> Path | None:
        """The likeliest of some files: of the very time, in a folder of the site's name, near the series."""

        def likelihood(path: Path) -> tuple[bool, bool, int]:
            return (
                path.stat().st_mtime_ns == scene.modified,
                series.manifest.site in path.parts,
                len(os.path.commonpath([path, series.path.resolve()])),
            )

        inside = [path for path in paths if _has_size(path, scene.size) and self._is_inside(path)]
        for path in sorted(inside, key=likelihood, reverse=True):
            if _covers(path, series):
                return path
        return None

    def _is_inside(self, path: Path) -> bool:
        resolved = path.resolve()
        return any(resolved.is_relative_to(folder) for folder in self._folders)


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False


def _images_by_name(folders: list[Path]) -> dict[str, list[Path]]:
    """All GeoTIFFs below some folders."""
    found: dict[str, list[Path]] = {}
    seen: set[Path] = set()
    for folder in folders:
        for path in _walk(folder):
            if path not in seen:
                seen.add(path)
                found.setdefault(path.name, []).append(path)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    waiting, visited = [(folder, 0)], 0
    while waiting and visited < _MOST_FOLDERS:
        here, depth = waiting.pop()
        visited += 1
        with suppress(OSError), os.scandir(here) as entries:  # a folder that may not be read holds no image
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if depth < _DEEPEST and not entry.name.startswith("."):
                        waiting.append((Path(entry.path), depth + 1))
                elif entry.name.lower().endswith(_SUFFIXES):
                    yield Path(entry.path)


def _covers(path: Path, series: SeriesFolder) -> bool:
    """Whether an image is a sound GeoTIFF that covers most of a series' ground."""
    from rasterio.errors import CRSError
    from rasterio.warp import transform_bounds

    manifest = series.manifest
    own = grid_bounds(manifest.transform, manifest.height, manifest.width)
    try:
        with ExitStack() as files:
            dataset = open_raster(str(path), files, DataError)
            check_blocks(dataset, str(path), DataError)
            if not dataset.crs:
                return False
            corners = grid_bounds(tuple(dataset.transform)[:6], dataset.height, dataset.width)
            with gdal():
                there = transform_bounds(dataset.crs, manifest.crs, *corners)
    except (DataError, CRSError, *gdal_errors()):
        return False
    across = min(own[2], there[2]) - max(own[0], there[0])
    down = min(own[3], there[3]) - max(own[1], there[1])
    whole = (own[2] - own[0]) * (own[3] - own[1])
    return across > 0 and down > 0 and across * down >= _LEAST_COVERED * whole


def grid_bounds(transform: Any, height: int, width: int) -> Bounds:
    """Left, bottom, right and top of a grid in its own coordinate system."""
    a, b, c, d, e, f = transform
    x = [a * column + b * row + c for column in (0, width) for row in (0, height)]
    y = [d * column + e * row + f for column in (0, width) for row in (0, height)]
    return min(x), min(y), max(x), max(y)
