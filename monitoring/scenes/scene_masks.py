"""The masks of a scene: those of the file, an alpha band, and the product's clouds."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import SceneError
from euromine.support.image_headers import mask_file
from euromine.support.rasters import check_blocks, open_raster, read_damage, read_mask, read_raster

from .band_stacks import Span
from .grids import Grid
from .scene_rasters import SceneRaster


class SceneMasks:
    """The masks of an open scene.

    Attributes:
        marks_pixels: Whether a mask in or beside the file, or an alpha band, marks the pixels with data.
    """

    def __init__(
        self,
        raster: SceneRaster,
        shown: str,
        grid: Grid,
        files: ExitStack,
        *,
        alpha: int | None,
        keep_clouds: bool,
    ) -> None:
        """Open the mask beside the scene, if there is one.

        Args:
            raster: The scene's pixels.
            shown: The scene's path in messages.
            grid: The scene's grid.
            files: Closes the mask.
            alpha: The place of the alpha band, None without one.
            keep_clouds: Whether clouds of the product's mask count as ground.

        Raises:
            SceneError: The mask beside the scene is damaged, or of another size.
        """
        self._raster, self._shown = raster, shown
        self._alpha = [] if alpha is None else [alpha]
        self._clouds = None if keep_clouds else raster.clouds
        self._cloudy = self._seen = 0
        self._beside, self._mask = "", None
        if raster.companion is not None and mask_file(raster.companion).is_file():
            self._beside = str(mask_file(raster.companion))
            self._mask = _open_mask(self._beside, grid, files)
        self.marks_pixels = raster.header.has_mask or self._mask is not None or bool(self._alpha)

    def leave(self, valid: NDArray[np.bool_], span: Span) -> None:
        """Take masked pixels of a window for pixels without data.

        Args:
            valid: Which pixels (height, width) have data, changed in place.
            span: The window.

        Raises:
            SceneError: A mask is damaged.
        """
        dataset = self._raster.dataset
        if self._raster.header.has_mask:
            valid &= read_mask(dataset, self._shown, span, SceneError) > 0
        for index in self._alpha:
            valid &= read_raster(dataset, self._shown, span, SceneError, indexes=[index])[0] > 0
        if self._mask is not None:
            valid &= read_raster(self._mask, self._beside, span, SceneError).min(axis=0) > 0
        if self._clouds is not None:
            with read_damage(SceneError, self._shown, span):
                masked = self._clouds.read(span)
            self._seen += int(np.count_nonzero(valid))
            self._cloudy += int(np.count_nonzero(masked & valid))
            valid &= ~masked

    def doubts(self) -> list[str]:
        """The share masked as clouds so far, or the reason why nothing is masked, a sentence each."""
        doubts = list(self._raster.caveats)
        if self._clouds is not None and self._cloudy:
            doubts.append(
                f"{self._cloudy / self._seen:.1%} of the pixels are clouds or their shadows by "
                f"{self._clouds.name} and count as pixels without data. Map them, too, with --keep-clouds."
            )
        return doubts


def _open_mask(path: str, grid: Grid, files: ExitStack) -> Any:
    """The mask in the file `.msk` beside the scene."""
    mask = open_raster(path, files, SceneError)
    check_blocks(mask, path, SceneError)
    if (mask.height, mask.width) != grid.shape:
        raise SceneError(
            f"{path}: found a mask of {mask.height} x {mask.width} pixels; expected "
            f"{grid.height} x {grid.width} like the scene. Remove it if it is not the scene's."
        )
    return mask
