"""Backscatter of a simulated site in a year: a mean for each land cover, and speckle as it is measured.

Means of land covers and the statistics of speckle are measured on four radiometrically terrain-corrected
Sentinel-1 scenes (gamma nought) beside their land-cover maps. Mine surfaces have not been measured. They are
assumed: all bare ground of mines has the mean of bare fields, and each site draws its own deviation for each
cover. Radar therefore tells water, buildings and plants from bare ground, and tells one bare component from
another within a site at most. Scores with and without it are no evidence on real backscatter of mines.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .landscape import UNITS, Grid, noise
from .spectra import Float, LandCover

LOOKS, SPECKLE_BLUR = 4, 1.2
"""Independent intensities whose mean is a pixel, and the sigma in pixels of the blur of their noise."""

_RESOLUTION = 0.9
"""Sigma in pixels of the sensor's blur of the ground: 20 m from pixel to pixel of 10 m."""


class Backscatter(NamedTuple):
    """Mean of VV and VH in dB, and how far it varies from site to site."""

    vv: float
    vh: float
    between: float = 0.8


# The middle of each range that was measured; "rangeland" stands for meadows and shrub.
WATER, FOREST = Backscatter(-14.7, -20.3, 1.3), Backscatter(-8.7, -14.7)
CROPS, RANGELAND = Backscatter(-12.2, -18.4), Backscatter(-11.9, -17.5)
BUILT, BARE = Backscatter(-10.4, -16.4, 0.7), Backscatter(-15.3, -20.5)

MEASURED_MEANS: dict[LandCover, Backscatter] = {
    LandCover.BROADLEAF_FOREST: FOREST,
    LandCover.CONIFEROUS_FOREST: FOREST,
    LandCover.SHRUB: RANGELAND,
    LandCover.MEADOW: RANGELAND,
    LandCover.GREEN_CROP: CROPS,
    LandCover.STUBBLE: CROPS,
    LandCover.BARE_FIELD: BARE,
    LandCover.CLEAR_CUT: RANGELAND,
    LandCover.BARE_ROCK: BARE,
    LandCover.GRAVEL_BAR: BARE,
    LandCover.WATER: WATER,
    LandCover.ROAD: BARE,
    LandCover.TRACK: BARE,
    LandCover.GARDEN: RANGELAND,
    LandCover.ROOF: BUILT,
    LandCover.LARGE_ROOF: BUILT,
    LandCover.CONSTRUCTION_SITE: BARE,
    LandCover.RECLAIMED: RANGELAND,
}
"""Land covers that were measured, or stand for those that were."""

_ASSUMED = Backscatter(BARE.vv, BARE.vh, 1.5)
ASSUMED_MEANS: dict[LandCover, Backscatter] = {
    **dict.fromkeys(
        (
            *(LandCover.BENCH, LandCover.PIT_FLOOR, LandCover.DUMP, LandCover.TAILINGS),
            *(LandCover.WET_TAILINGS, LandCover.HAUL_ROAD, LandCover.YARD, LandCover.STOCKPILE),
        ),
        _ASSUMED,
    ),
    LandCover.VEGETATED_DUMP: RANGELAND,
    LandCover.PIT_WATER: WATER,
    LandCover.MINE_BUILDING: BUILT,
}
"""Covers of mines, whose backscatter is assumed: that of bare fields, which varies more between sites."""

# Standard deviations in dB that VV and VH share: of a unit of land, of patches, and of a year's moisture.
_OF_UNIT, _OF_PATCH, _OF_YEAR = 0.8, 0.7, 0.4


class RadarPainter:
    """Draws the backscatter of the years of one site; what years share is drawn once."""

    def __init__(self, rng: np.random.Generator, grid: Grid, units: NDArray[np.int32]) -> None:
        self.grid = grid
        means = {**MEASURED_MEANS, **ASSUMED_MEANS}
        table = np.array([means[cover] for cover in LandCover], np.float32)
        # One draw a site and cover, the same in both polarisations: how rough and how wet the ground is.
        self.means = (
            table[:, :2] + (table[:, 2] * rng.standard_normal(len(table)).astype(np.float32))[:, None]
        )
        self.of_unit = _OF_UNIT * rng.standard_normal(UNITS, dtype=np.float32)[units]
        self.patches = _OF_PATCH * noise(rng, grid, 12, 2.6)

    def paint(self, rng: np.random.Generator, classes: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Backscatter of a year in hundredths of a decibel, int16 (2, height, width), VV and VH.

        Args:
            rng: The year's own.
            classes: `LandCover` of each pixel, uint8 (height, width).
        """
        is_land = classes < LandCover.RECLAIMED
        ground = self.patches + np.where(is_land, self.of_unit, 0) + _OF_YEAR * rng.standard_normal()
        radar = np.empty((2, *self.grid.shape), np.int16)
        for band in range(2):
            power = 10 ** (0.1 * (self.means[classes, band] + ground))
            seen = ndimage.gaussian_filter(power, _RESOLUTION, mode="nearest") * speckle(rng, self.grid.shape)
            radar[band] = np.clip(np.rint(1000 * np.log10(np.maximum(seen, 1e-4))), -4000, 2000)
        return radar


def speckle(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    """Speckle of mean 1 (height, width): the mean intensity of four looks of blurred complex noise."""
    # Wider than the scene, so that its edges are as noisy as its middle.
    margin = 6
    size = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    total = np.zeros(shape, np.float32)
    for _ in range(2 * LOOKS):  # the real and the imaginary part of each
        part = ndimage.gaussian_filter(rng.standard_normal(size, dtype=np.float32), SPECKLE_BLUR)
        total += part[margin:-margin, margin:-margin] ** 2
    # A blur of sigma s leaves 1 / (4 pi s^2) of white noise's power.
    return total * np.float32(4 * np.pi * SPECKLE_BLUR**2 / (2 * LOOKS))
