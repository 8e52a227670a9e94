"""Scenes of several years on one grid: cut where their pixels are the same, resampled where they are not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
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
from .scene import Scene

# Pixels around a window of which a resampled one needs its neighbours.
_MARGIN = 4
# Points along a border by which it is followed into another coordinate system.
_DENSITY = 21
# What a resampled pixel may lie off its exact place, in pixels: GDAL's default of an eighth would show where
# two windows meet.
_TOLERANCE = 0.01


class ReadsWindows(Protocol):
    """What a network is shown of: a `Scene`, or an `AlignedScene`."""

    @property
    def grid(self) -> Grid:
        """Where its pixels lie."""

    def read(self, window: Window, bands: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """A window of some bands, and where it has data."""

    def cache_rows(self, rows: int) -> None:
        """Keep so many rows in memory."""


class AlignedScene:
    """A scene as if it lay on a grid of another: the same pixels shifted, or resampled bilinearly.

    Attributes:
        scene: The open scene, which stays another's to close.
        grid: Where its pixels lie now.
        is_resampled: Whether its own pixels are others.
    """

    def __init__(self, scene: Scene, grid: Grid) -> None:
        self.scene, self.grid = scene, grid
        self._shift = scene.grid.shift(grid)
        self.is_resampled = self._shift is None

    @property
    def path(self) -> Path:
        """Its file."""
        return self.scene.path

    @property
    def how(self) -> str:
        """How it came to the grid, for people; "" where it lies on it."""
        if not self.is_resampled:
            return ""
        if self.scene.grid.crs != self.grid.crs:
            return f"resampled bilinearly from {_short(crs_name(self.scene.grid.crs))}"
        return "resampled bilinearly from other pixels of the same coordinate system"

    def cache_rows(self, rows: int) -> None:
        """As `Scene.cache_rows`; a resampled one may cross its own rows, and keeps what it can."""
        self.scene.cache_rows(rows if not self.is_resampled else 2 * rows)

    def read(self, window: Window, bands: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """As `Scene.read`, with no data where the scene does not reach.

        Args:
            window: Inside the grid.
            bands: Their names.

        Returns:
            (bands, height, width) float32 digital numbers, and which pixels (height, width) have data.

        Raises:
            SceneError: As `Scene.read`, or the scene cannot be brought to the grid.
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
        return self._resample(values, known, source, window, image)

    def _source_window(self, window: Window) -> Window | None:
        """The part of the scene that a window of the grid needs; None where there is none."""
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
        """Bilinear, of known pixels alone: a mask as one more band would blur into them."""
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
                f"{self.path}: cannot be brought from {_short(crs_name(from_grid.crs))} to "
                f"{_short(crs_name(to_grid.crs))} ({error}); expected a scene on a common grid (gdalwarp)."
            ) from error
        valid = np.asarray(np.isfinite(image).all(axis=0))
        image[:, ~valid] = 0
        return image, valid


def series_grid(scenes: Sequence[Scene]) -> Grid:
    """The grid of a series: the first scene's pixels, where all scenes reach.

    Scenes whose pixels differ count by the smallest upright box around them, beyond which they have no data.

    Args:
        scenes: Open, at least one.

    Raises:
        SceneError: They have no ground in common.
    """
    first = scenes[0]
    left, top, right, bottom = 0, 0, first.grid.width, first.grid.height
    for scene in scenes[1:]:
        shift = first.grid.shift(scene.grid)
        if shift is not None:
            begin, end = shift, (shift[0] + scene.grid.height, shift[1] + scene.grid.width)
        else:
            bounds = _bounds_in(scene.grid, first.grid)
            if bounds is None:
                raise _apart(scene, first)
            begin = (math.floor(bounds[1]), math.floor(bounds[0]))
            end = (math.ceil(bounds[3]), math.ceil(bounds[2]))
        top, left = max(top, begin[0]), max(left, begin[1])
        bottom, right = min(bottom, end[0]), min(right, end[1])
        if bottom <= top or right <= left:
            raise _apart(scene, first)
    return first.grid.window(Window(left, top, right - left, bottom - top))


def _apart(scene: Scene, first: Scene) -> SceneError:
    return SceneError(
        f"{scene.path}: has no ground in common with {first.path} or the years between; expected scenes of "
        f"one place ({scene.grid}; {first.grid})."
    )


def _bounds_in(grid: Grid, other: Grid) -> tuple[float, float, float, float] | None:
    """The box around a grid in pixels of another: left, top, right, bottom; None where it has no place."""
    corners = [
        grid.transform * corner for corner in ((0, 0), (grid.width, 0), (0, grid.height), grid.shape[::-1])
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
    pixels = [to_pixels * (x, y) for x in box[::2] for y in box[1::2]]
    columns, rows = [place[0] for place in pixels], [place[1] for place in pixels]
    return min(columns), min(rows), max(columns), max(rows)


def _short(crs: str) -> str:
    """A code, or the name in a WKT."""
    return crs if len(crs) < 40 or crs.count('"') < 2 else crs.split('"', 2)[1]
