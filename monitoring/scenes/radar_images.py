"""The radar image beside a scene: backscatter in VV and VH, brought to the scene's pixels.

The image of a site of an archive, `image/Year2021.tif`, has it in `radar/Year2021.tif`; any other one in the
folder `radar` beside it, under the same name.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import CRSError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from euromine.dataset_script.archive_bands import NO_BACKSCATTER, RADAR_BANDS
from euromine.support.closable import Closable
from euromine.support.errors import SceneError
from euromine.support.rasters import gdal, gdal_errors, open_raster, read_raster

from .grids import Grid
from .locations import Location
from .product_files import file_state

logger = logging.getLogger(__name__)

_FOLDER, _IMAGE_FOLDERS = "radar", ("image", "images")
_FORMAT = "VV and VH as int16 in dB x 100, or as floats in dB"
# Nothing on the ground scatters less; resampling mixes missing pixels into numbers below.
_LEAST = -6000
# Of a thinned image that shows whether its numbers are decibels.
_LOOKED_AT = 256
# Programs that declare no nodata fill with it. It is 0 dB, which hardly any ground scatters.
_FILL = 0.0


class RadarBeside(Closable):
    """The radar image beside a scene, opened when it is first needed. Use it in a `with` statement.

    Attributes:
        path: Its file; None where there is none.
        is_optional: Whether the scene may lack it: its backscatter is then unknown.
        is_used: Whether it was asked for.
    """

    def __init__(self, location: Location, grid: Grid) -> None:
        self._shown, self._grid = location.shown, grid
        self._place = None if location.path is None else _place(location.path, location.stem)
        self.path = self._place if self._place is not None and self._place.is_file() else None
        self.is_optional = self.is_used = False
        self._files = ExitStack()
        self._dataset: Any = None
        self._indexes: dict[str, int] = {}
        self._factors: dict[str, float] = {}

    def close(self) -> None:
        """Close the image."""
        self._files.close()

    @property
    def source(self) -> str:
        """The image, for the user."""
        return "no radar image" if self.path is None else f"radar: {_FOLDER}/{self.path.name}"

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The state of the file for `Scene.fingerprint`; empty where it was not asked for."""
        if not self.is_used:
            return {}
        return {"radar": None if self.path is None else list(file_state(self.path))}

    def open(self, bands: Sequence[str]) -> None:
        """Open the image and check it, once.

        Args:
            bands: Its bands to read.

        Raises:
            SceneError: There is none and it is not optional; or it lacks a band, does not cover the scene's
                grid, or holds no decibels.
        """
        self.is_used = True
        if self.path is None:
            if self.is_optional:
                return
            place = "" if self._place is None else f" {_FOLDER}/{self._place.name}, as"
            raise SceneError(
                f"{self._shown}: found no radar image beside it; expected one with {', '.join(bands)}, which "
                f"the model reads. `euromine acquire --radar` makes it; or put your own into the folder "
                f"{_FOLDER} beside the image or its folder as{place} {_FORMAT}."
            )
        if self._dataset is None:
            self._open(self.path)
        if missing := [band for band in bands if band not in self._indexes]:
            raise SceneError(
                f"{self.path}: found the bands {', '.join(self._indexes)}; expected {', '.join(missing)} as "
                "well."
            )

    def read(self, window: Window, bands: Sequence[str]) -> NDArray[np.float32]:
        """Backscatter in a window of the scene.

        Args:
            window: Inside the scene's grid.
            bands: Of VV and VH.

        Returns:
            (bands, height, width) float32 in dB x 100, `NO_BACKSCATTER` where it is unknown.

        Raises:
            SceneError: As for `open`, or the file is damaged.
        """
        self.open(bands)
        height, width = int(window.height), int(window.width)
        if self._dataset is None:
            return np.full((len(bands), height, width), NO_BACKSCATTER, np.float32)
        top, left = int(window.row_off), int(window.col_off)
        values: NDArray[np.float32] = read_raster(
            self._dataset,
            str(self.path),
            ((top, top + height), (left, left + width)),
            SceneError,
            indexes=[self._indexes[band] for band in bands],
        ).astype(np.float32)
        missing = ~np.isfinite(values) | (values == NO_BACKSCATTER)
        values *= np.array([self._factors[band] for band in bands], np.float32)[:, None, None]
        values[missing] = NO_BACKSCATTER
        return values

    def _open(self, path: Path) -> None:
        raster = open_raster(str(path), self._files, SceneError)
        names = [str(name or "").strip().upper() for name in raster.descriptions]
        if not set(names) & set(RADAR_BANDS) and raster.count == len(RADAR_BANDS):
            names = list(RADAR_BANDS)
        self._indexes = {name: place for place, name in enumerate(names, 1) if name in RADAR_BANDS}
        for band, place in self._indexes.items():
            scale = float(raster.scales[place - 1])
            # Plain integers are hundredths already.
            is_decibels = scale != 1 or np.dtype(raster.dtypes[place - 1]).kind == "f"
            self._factors[band] = 100 * scale if is_decibels else 1.0
        try:
            with gdal():
                self._dataset = self._files.enter_context(
                    WarpedVRT(
                        raster,
                        **self._grid.profile,
                        resampling=Resampling.bilinear,
                        src_nodata=_FILL if raster.nodata is None else raster.nodata,
                        nodata=NO_BACKSCATTER,
                        dtype="float32",
                    )
                )
        except (*gdal_errors(), CRSError) as error:
            raise SceneError(
                f"{path}: found radar that cannot be brought to the scene's pixels ({error}); expected an "
                "image of the same place. Bring it there with gdalwarp."
            ) from error
        self._check_decibels(path)

    def _check_decibels(self, path: Path) -> None:
        """Refuse linear power, and an image of another place."""
        shape = tuple(min(side, _LOOKED_AT) for side in self._grid.shape)
        for band, place in self._indexes.items():
            try:
                with gdal():
                    values = self._dataset.read(place, out_shape=shape)
            except gdal_errors() as error:
                raise SceneError(
                    f"{path}: found a truncated or damaged image ({error}); expected a whole one."
                ) from error
            known = values[np.isfinite(values) & (values != NO_BACKSCATTER)]
            if not known.size:
                raise SceneError(
                    f"{path}: found no backscatter in {band} on the ground of {self._shown}, only nodata "
                    f"or 0; expected an image of the same place, {_FORMAT}."
                )
            if np.median(known) * self._factors[band] >= 0:
                raise SceneError(
                    f"{path}: found a median of {np.median(known):g} in {band}, not below 0 dB; expected "
                    f"{_FORMAT}, and not linear power. dB = 10 log10 of linear power."
                )


def _place(path: Path, stem: str) -> Path:
    folder = path.parent.parent if path.parent.name in _IMAGE_FOLDERS else path.parent
    return folder / _FOLDER / f"{stem}.tif"


def allow_missing_radar(images: Mapping[int, RadarBeside]) -> None:
    """Let some years of a series lack radar, where others have it, with a warning.

    Args:
        images: The radar image of each year that needs it.
    """
    missing = [year for year, image in images.items() if image.path is None]
    if missing and len(missing) < len(images):
        for year in missing:
            images[year].is_optional = True
        logger.warning(
            "There is no radar image of %s. The model maps these years with average backscatter, as in "
            "training, and may be less accurate there.",
            ", ".join(map(str, missing)),
        )


def restore_missing(image: NDArray[np.float32], bands: Sequence[str]) -> None:
    """Mark resampled pixels whose backscatter is mixed with missing ones, in place.

    Args:
        image: (bands, height, width).
        bands: Their names.
    """
    for values, band in zip(image, bands, strict=True):
        if band in RADAR_BANDS:
            values[values < _LEAST] = NO_BACKSCATTER
