"""Footprints, drawn or random, on grids of all kinds."""

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine

from euromine.monitoring.scenes.grids import Grid

DEGREES = Grid(CRS.from_epsg(4326), Affine(1e-4, 0, 15, 0, -1.5e-4, 61), 40, 30)

# At the centre of the equal-area projection, a pixel has its 100 m2 and its 10 m on the ground, too.
METRES = Grid(CRS.from_epsg(3035), Affine(10, 0, 4_321_000, 0, -10, 3_210_000), 40, 30)

FEET = Grid(CRS.from_epsg(2263), Affine(30, 0, 9.8e5, 0, -30, 2e5), 40, 30)

ROTATED = Grid(CRS.from_epsg(32633), Affine(8, 6, 5e5, 6, -8, 5e6), 40, 30)

GRIDS = pytest.mark.parametrize(
    "grid", [DEGREES, METRES, FEET, ROTATED], ids=["degrees", "m", "ft", "turned"]
)

YEARS = (2015, 2016, 2019)


def noise(seed, maps=3):
    """Half of the pixels at random: all kinds of holes, islands and corners."""
    values = np.random.default_rng(seed).integers(0, 2, (maps, 30, 40)).astype(np.uint8)
    values[:, :2, :9] = 255
    return values


def drawing(*lines):
    """A map from a drawing in its middle: # is a mine."""
    footprint = np.zeros((30, 40), np.uint8)
    pixels = np.array([[character == "#" for character in line] for line in lines])
    footprint[5 : 5 + pixels.shape[0], 7 : 7 + pixels.shape[1]] = pixels
    return footprint[None]
