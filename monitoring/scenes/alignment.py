"""Scenes of several years on one grid: cropped if their pixels coincide, else resampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import CRSError
from rasterio.warp import reproject, transform_bounds
from rasterio.windows import Window

from euromine.support.errors import SceneError
from euromine.support.rasters import crs_name, gdal, gdal_errors

from .grids import Grid
from .radar_images import restore_missing
from .scene import LARGEST_CACHE, Scene

# Extra source pixels read around a window for its resampling.
_MARGIN = 4
# Points per edge when bounds are transformed to another coordinate system.
_DENSITY = 21
# Largest error of GDAL's approximate transform, in pixels. Its default of an eighth would show where windows
# meet.
_TOLERANCE = 0.01


class ReadsWindows(Protocol):
    """A source of windows for a network: `Scene` or `AlignedScene`."""

    @property
    def grid(self) -> Grid:
        """The grid of its pixels."""

    def read(self, window: Window, bands: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a window of some bands; see `Scene.read`."""

    def cache_rows(self, rows: int) -> None:
        """Reserve memory for windows of this height; see `Scene.cache_rows`."""


class AlignedScene:
    """A view of a scene on another grid: shifted by whole pixels where possible, else resampled bilinearly.

    Attributes:
        scene: The open scene; closing it is left to the caller.
        grid: The grid of the view.
        is_resampled: Whether the view is resampled.
    """

    def __init__(self, scene: Scene, grid: Grid) -> None:
        self.scene, self.grid = scene, grid
        self._shift = scene.grid.shift(grid)
        self.is_resampled = self._shift is None

    @property
    def shown(self) -> str:
        """The scene's location, for messages."""
        return self.scene.location.shown

    @property
    def how(self) -> str:
        """How the scene was brought to the grid, for the user; "" if its pixels are unchanged."""
        if not self.is_resampled:
            return ""
        if self.scene.grid.crs != self.grid.crs:
            return f"resampled bilinearly from {_short(crs_name(self.scene.grid.crs))}"
        return "resampled bilinearly from other pixels of the same coordinate system"

    def cache_rows(self, rows: int, columns: int = 0, most: int = LARGEST_CACHE) -> None:
        """Reserve memory as `Scene.cache_rows`, twice as much where windows may lie askew to the rows."""
        factor = 2 if self.is_resampled else 1
        self.scene.cache_rows(factor * rows, factor * columns, most)

    def free_rows(self) -> None:
        """As `Scene.free_rows`."""
        self.scene.free_rows()

    def read(self, window: Window, bands: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a window of some bands. There is no data outside the scene.

        Args:
            window: Inside the grid.
            bands: Their names.

        Returns:
            (bands, height, width) float32 digital numbers, and a mask (height, width) of pixels with data.

        Raises:
            SceneError: See `Scene.read`; or the scene cannot be resampled to the grid.
        """
        height, width = int(window.height), int(window.width)
        image = np.zeros((len(bands), height, width), np.float32)
        valid = np.zeros((height, width), bool)
        source = self._source_window(window)
        if source is None:
            return image, valid
        values, known = self.scene.read(source, bands)
        if self._shift is not None:
            top = int(source.row_off) - self._shift[0] - int(window.row_off)
            left = int(source.col_off) - self._shift[1] - int(window.col_off)
            if values.shape == image.shape:
                return values, known
            rows, columns = slice(top, top + known.shape[0]), slice(left, left + known.shape[1])
            image[:, rows, columns], valid[rows, columns] = values, known
            return image, valid
        image, valid = self._resample(values, known, source, window, image)
        restore_missing(image, bands)
        return image, valid

    def _source_window(self, window: Window) -> Window | None:
        """The window of the scene that covers a window of the grid; None if they do not overlap."""
        if self._shift is not None:
            top, left = int(window.row_off) + self._shift[0], int(window.col_off) + self._shift[1]
            bottom, right = top + int(window.height), left + int(window.width)
        else:
            part = self.grid.window(window)
            bounds = _bounds_in(part, self.scene.grid)
            if bounds is None:
                return None
            left, top = math.floor(bounds[0]) - _MARGIN, math.floor(bounds[1]) - _MARGIN
            right, bottom = math.ceil(bounds[2]) + _MARGIN, math.ceil(bounds[3]) + _MARGIN
        top, left = max(top, 0), max(left, 0)
        bottom, right = min(bottom, self.scene.grid.height), min(right, self.scene.grid.width)
        if bottom <= top or right <= left:
            return None
        return Window(left, top, right - left, bottom - top)

    def _resample(
        self,
        values: NDArray[np.float32],
        known: NDArray[np.bool_],
        source: Window,
        window: Window,
        image: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Resample bilinearly, with NaN without data, so that it does not bleed into valid pixels."""
        values[:, ~known] = np.nan
        image.fill(np.nan)
        from_grid, to_grid = self.scene.grid.window(source), self.grid.window(window)
        try:
            with gdal():
                reproject(
                    values,
                    image,
                    src_transform=from_grid.transform,
                    src_crs=from_grid.crs,
                    src_nodata=math.nan,
                    dst_transform=to_grid.transform,
                    dst_crs=to_grid.crs,
                    dst_nodata=math.nan,
                    resampling=Resampling.bilinear,
                    tolerance=_TOLERANCE,
                )
        except (*gdal_errors(), CRSError) as error:
            raise SceneError(
                f"{self.shown}: found pixels in {_short(crs_name(from_grid.crs))} that cannot be resampled "
                f"to {_short(crs_name(to_grid.crs))} ({error}); expected a scene on the grid of the first. "
                "Bring it there with gdalwarp."
            ) from error
        valid = np.asarray(np.isfinite(image).all(axis=0))
        image[:, ~valid] = 0
        return image, valid


def series_grid(scenes: Sequence[Scene], extent: str = "intersection") -> Grid:
    """The common grid of a series: the part of the first scene's grid that all scenes cover, or any.

    A scene whose pixels do not coincide with the first's counts by its bounding box on the first's grid.

    Args:
        scenes: Open scenes, at least one.
        extent: "intersection" or "union".

    Raises:
        SceneError: The scenes do not overlap.
    """
    boxes = _boxes(scenes)
    left, top, right, bottom = _union(boxes) if extent == "union" else _intersection(boxes)
    return scenes[0].grid.window(Window(left, top, right - left, bottom - top))


def covered_shares(scenes: Sequence[Scene]) -> list[float]:
    """Shares of the ground of all scenes together: that of each scene, and last the one they all cover.

    Args:
        scenes: As for `series_grid`.
    """
    boxes = _boxes(scenes)
    whole = _pixels(_union(boxes))
    return [_pixels(box) / whole for box in (*boxes, _intersection(boxes))]


# Left, top, right and bottom in pixels of the first scene's grid.
_Box = tuple[int, int, int, int]


def _boxes(scenes: Sequence[Scene]) -> list[_Box]:
    """The bounding box of each scene.

    Raises:
        SceneError: The scenes do not overlap.
    """
    first = scenes[0]
    boxes = [(0, 0, first.grid.width, first.grid.height)]
    for scene in scenes[1:]:
        shift = first.grid.shift(scene.grid)
        if shift is not None:
            top, left = shift
            boxes.append((left, top, left + scene.grid.width, top + scene.grid.height))
        else:
            bounds = _bounds_in(scene.grid, first.grid)
            if bounds is None:
                raise _apart(scene, first)
            left, top = math.floor(bounds[0]), math.floor(bounds[1])
            boxes.append((left, top, math.ceil(bounds[2]), math.ceil(bounds[3])))
        left, top, right, bottom = _intersection(boxes)
        if bottom <= top or right <= left:
            raise _apart(scene, first)
    return boxes


def _intersection(boxes: Sequence[_Box]) -> _Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return max(lefts), max(tops), min(rights), min(bottoms)


def _union(boxes: Sequence[_Box]) -> _Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _pixels(box: _Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _apart(scene: Scene, first: Scene) -> SceneError:
    return SceneError(
        f"{scene.location.shown}: found no overlap with {first.location.shown} and the years "
        f"between ({scene.grid}; {first.grid}); expected scenes of one place."
    )


def _bounds_in(grid: Grid, other: Grid) -> tuple[float, float, float, float] | None:
    """The bounding box (left, top, right, bottom) of a grid in pixels of another.

    None if it cannot be transformed to the other's coordinate system.
    """
    corners = [
        grid.transform @ corner for corner in ((0, 0), (grid.width, 0), (0, grid.height), grid.shape[::-1])
    ]
    xs, ys = [corner[0] for corner in corners], [corner[1] for corner in corners]
    box = (min(xs), min(ys), max(xs), max(ys))
    if grid.crs != other.crs:
        try:
            with gdal():
                box = transform_bounds(grid.crs, other.crs, *box, densify_pts=_DENSITY)
        except (*gdal_errors(), CRSError):
            return None
        if not all(map(math.isfinite, box)):
            return None
    to_pixels = ~other.transform
    pixels = [to_pixels @ (x, y) for x in box[::2] for y in box[1::2]]
    columns, rows = [place[0] for place in pixels], [place[1] for place in pixels]
    return min(columns), min(rows), max(columns), max(rows)


def _short(crs: str) -> str:
    """A code as it is; for a WKT, the name in it."""
    return crs if len(crs) < 40 or crs.count('"') < 2 else crs.split('"', 2)[1]
