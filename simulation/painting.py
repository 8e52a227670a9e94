"""The image of a simulated site in a year: colours, light, plants, air, and the instrument."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from euromine.dataset_script.site_facts import MINE_TYPES

from .landscape import UNITS, Grid, Landscape, moved, noise
from .mines import Cover, MineYears
from .spectra import CLEAR_AIR, HAZY_AIR, Float, LandCover, Palette, site_palette

# Sentinel-2 measures B02, B03, B04 and B08 at 10 m, and the others of archive.BANDS at 20 m.
_FINE = (0, 1, 2, 6)
_COARSE = (3, 4, 5, 7, 8, 9)
_NEAR_INFRARED, _SHORTWAVE_INFRARED = slice(4, 8), slice(8, 10)
# Standard deviation of the instrument's noise in reflectance: second differences of dense forest and open
# water in real L1C scenes.
_SENSOR_NOISE = np.array([8, 8, 7, 6, 9, 10, 12, 10, 5, 4], dtype=np.float32) * np.float32(1e-4)
# Widths of the point spread from north to south and from west to east, in pixels of 10 m and of 20 m.
# Columns are narrower than the 10 m that were measured, so it reaches over more of them.
_FINE_SPREAD, _COARSE_SPREAD = (0.55, 0.7), (0.45, 0.5)
# How far the images of two years may lie beside each other, in pixels.
_MISREGISTRATION = 0.4

# The rock that each kind of mine digs in.
_ROCKS_OF = {
    "metals": ("laterite", "granite", "granite", "loess", "limestone"),
    "coal": ("coal", "coal", "loess", "sand"),
    "minerals": ("sand", "loess", "limestone"),
    "quarry": ("limestone", "limestone", "granite", "loess"),
    # In archives with components the material shows in the rock, whatever the type of mine.
    **{
        f"{kind} {material}": rocks
        for kind in MINE_TYPES
        for material, rocks in {
            "coal": ("coal", "coal", "coal"),
            "rock": ("limestone", "limestone", "granite", "sand"),
            "metal": ("laterite", "laterite", "granite"),
        }.items()
    },
}

# How far a drought of strength 1 turns each plant cover into stubble.
_SENSITIVITY = {
    LandCover.BROADLEAF_FOREST: 0.18,
    LandCover.CONIFEROUS_FOREST: 0.04,
    LandCover.SHRUB: 0.35,
    LandCover.MEADOW: 0.8,
    LandCover.GREEN_CROP: 0.6,
    LandCover.GARDEN: 0.35,
    LandCover.STUBBLE: 0.5,
}


class Painter:
    """Paints the years of one site; parts common to all years are drawn once."""

    def __init__(
        self,
        rng: np.random.Generator,
        grid: Grid,
        soils: tuple[float, ...],
        kind: str,
        land: Landscape,
        mines: MineYears,
    ) -> None:
        self.grid, self.land, self.mines = grid, land, mines
        rock = str(rng.choice(_ROCKS_OF[kind]))
        self.palette = site_palette(rng, rock, rng.dirichlet(0.6 * np.array(soils) + 0.05))
        self.crowns = noise(rng, grid, 1, 2.0)
        self.texture = noise(rng, grid, 40, 2.2)
        self.patches = noise(rng, grid, 22, 2.6)
        self.wide = noise(rng, grid, 250, 4.0)
        self.haze = max(-0.3, rng.normal(0.0, 0.24))
        self.sun = rng.uniform(0.6, 0.95)

    def paint(
        self, year: int, stream: Callable[[str, int], np.random.Generator]
    ) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        """Paint one year.

        Args:
            year: The year.
            stream: Gives the random numbers of a purpose in a year.

        Returns:
            The image, DN int16 (10, height, width), and the land cover, uint8 (height, width).
        """
        rng = stream("season", year)
        covers = self.land.covers(stream("land", year), year)
        mine = self.mines.cover(stream("mine", year), year)
        inside, reclaimed_for = self.mines.footprint(year), self.mines.years_reclaimed(year)
        reclaimed = reclaimed_for >= 0
        # The first units are the land covers themselves.
        units = np.where(inside, mine.cover, np.where(reclaimed, LandCover.RECLAIMED, self.land.units))
        classes = covers.astype(np.uint8)[units]

        palette = _season(rng, self.palette)
        surface = self._colours(rng, palette, covers)[:, units]
        surface *= self._brightness(rng, palette, classes, inside, mine)
        plants = 0.6 * palette.mean[LandCover.MEADOW] + 0.4 * palette.mean[LandCover.SHRUB]
        green = self._green(rng, palette, classes, np.where(inside, mine.regrowth, 0), reclaimed_for)
        surface += green * (plants[:, None, None] - surface)

        _cover_with(surface, palette.mean[LandCover.TRACK], self.land.unpaved * ~(inside | reclaimed))
        _cover_with(surface, palette.mean[LandCover.ROAD], self.land.paved * ~inside)
        classes[(self.land.paved > 0.5) & ~inside] = LandCover.ROAD
        return self._observe(rng, self._through_air(rng, surface)), classes

    def _colours(self, rng: np.random.Generator, palette: Palette, covers: NDArray[np.int64]) -> Float:
        """The reflectance of each unit of land (10, units): its cover's, brighter or darker."""
        tone = 0.85 * self.land.tone + 0.5 * rng.standard_normal(UNITS, dtype=np.float32)
        tone[: len(LandCover)] = 0
        brightness = np.exp(0.7 * palette.spread[covers] * tone)
        return (palette.mean[covers] * brightness[:, None]).T

    def _brightness(
        self,
        rng: np.random.Generator,
        palette: Palette,
        classes: NDArray[np.uint8],
        inside: NDArray[np.bool_],
        mine: Cover,
    ) -> Float:
        """Texture and light (height, width)."""
        spread = palette.spread[classes]
        texture = 0.85 * self.texture + 0.5 * moved(rng, self.texture)
        brightness = 1 + palette.crown[classes] * self.crowns + 0.4 * spread * texture
        brightness += np.where(inside, 0.6 * spread * mine.tone, 0)

        # Forests stand above the fields and cast shadows on them. In the mine most of the land's own slopes
        # are dug away.
        standing = (classes <= LandCover.CONIFEROUS_FOREST).astype(np.float32)
        azimuth = rng.normal(0.6, 0.12)
        slope = self._slope(np.where(inside, mine.relief, 0.5 * standing), azimuth)
        slope += np.where(inside, np.float32(0.3), 1) * self._slope(self.land.relief, azimuth)
        light = np.clip(1 + self.sun * rng.uniform(0.85, 1.15) * slope, 0.4, 1.5)
        level = (classes == LandCover.WATER) | (classes == LandCover.PIT_WATER)
        light[level] = 1
        return np.maximum(brightness, 0.25) * light * rng.normal(1, 0.025)

    def _slope(self, relief: Float, azimuth: float) -> Float:
        """Slope of the ground towards the sun in the south-east (height, width)."""
        # Weights of a correlation: half of what lies behind less what lies ahead.
        fall = (0.5, 0.0, -0.5)
        southwards = ndimage.correlate1d(relief, fall, axis=0, mode="nearest")
        eastwards = ndimage.correlate1d(relief, fall, axis=1, mode="nearest") / self.grid.aspect
        return southwards * float(np.cos(azimuth)) + eastwards * float(np.sin(azimuth))

    def _green(
        self,
        rng: np.random.Generator,
        palette: Palette,
        classes: NDArray[np.uint8],
        regrowth: Float,
        reclaimed_for: Float,
    ) -> Float:
        """The share of each pixel that plants cover (height, width); on reclaimed land it grows with time."""
        patches = 0.8 * self.patches + 0.6 * moved(rng, self.patches)
        green = palette.green[classes] + palette.green_spread[classes] * patches + regrowth
        sward = np.minimum(0.12 + 0.075 * reclaimed_for, 0.75) + 0.16 * self.patches
        return np.clip(np.where(reclaimed_for >= 0, sward, green), 0, 0.95)

    def _through_air(self, rng: np.random.Generator, surface: Float) -> Float:
        """Reflectance above the air (10, height, width): the site's own, the year's haze, some cirrus."""
        (clear, clear_gain), (hazy, hazy_gain) = (
            np.array(air, dtype=np.float32)[:, :, None, None] for air in (CLEAR_AIR, HAZY_AIR)
        )
        haze = self.haze + rng.normal(0, 0.14) + 0.05 * moved(rng, self.wide)
        cirrus = 0.012 * np.clip(moved(rng, self.wide) - 1, 0, 2)
        surface *= clear_gain + min(max(self.haze, 0), 1) * (hazy_gain - clear_gain)
        surface += clear + (hazy - clear) * haze
        if rng.random() < 0.2:
            surface[: _SHORTWAVE_INFRARED.start] += cirrus
        return surface

    def _observe(self, rng: np.random.Generator, scene: Float) -> NDArray[np.int16]:
        """The instrument's measurement in DN: blurred, noisy, and 20 m bands interpolated to 10 m."""
        image = np.empty(scene.shape, dtype=np.float32)
        shift = rng.uniform(-_MISREGISTRATION, _MISREGISTRATION, 2)
        for band in _FINE:
            image[band] = _blur(scene[band], shift, _FINE_SPREAD)
            image[band] += _SENSOR_NOISE[band] * rng.standard_normal(self.grid.shape, dtype=np.float32)
        for band in _COARSE:
            coarse = _blur(_halve(scene[band]), shift / 2, _COARSE_SPREAD)
            coarse += _SENSOR_NOISE[band] * rng.standard_normal(coarse.shape, dtype=np.float32)
            image[band] = _double(coarse)[: self.grid.height, : self.grid.width]
        return np.clip(np.rint(10_000 * image), 1, 20_000).astype(np.int16)


def _season(rng: np.random.Generator, palette: Palette) -> Palette:
    """The site's colours in one year: how dry it is, how far the leaves are, how wet the soil."""
    mean = palette.mean.copy()
    drought, leaves, moisture = rng.beta(1.2, 4.5), np.exp(rng.normal(0, 0.06)), np.exp(rng.normal(0, 0.08))
    for cover, sensitivity in _SENSITIVITY.items():
        mean[cover] += drought * sensitivity * (0.85 * palette.mean[LandCover.STUBBLE] - mean[cover])
        mean[cover, _NEAR_INFRARED] *= leaves
    # Water darkens soil, and most in the shortwave infrared.
    mean[LandCover.BARE_FIELD] *= moisture
    mean[LandCover.BARE_FIELD, _SHORTWAVE_INFRARED] *= moisture
    return palette._replace(mean=mean)


def _cover_with(surface: Float, spectrum: Float, share: Float) -> None:
    """Cover a share of each pixel of `surface` (10, height, width) with one spectrum, in place."""
    rows, columns = np.nonzero(share)
    part = share[rows, columns]
    surface[:, rows, columns] += part * (spectrum[:, None] - surface[:, rows, columns])


def _blur(band: Float, shift: NDArray[np.float64], spread: tuple[float, float]) -> Float:
    """The band through the instrument's point spread, moved by a part of a pixel."""
    taps = np.arange(-2, 3)
    for axis in range(2):
        kernel = np.exp(-0.5 * ((taps - shift[axis]) / spread[axis]) ** 2)
        band = ndimage.correlate1d(band, kernel / kernel.sum(), axis=axis, mode="nearest")
    return band


def _halve(band: Float) -> Float:
    """Means of 2 x 2 pixels; an odd last row or column counts twice."""
    height, width = band.shape
    if height % 2 or width % 2:
        band = np.pad(band, ((0, height % 2), (0, width % 2)), mode="edge")
    return 0.25 * (band[::2, ::2] + band[1::2, ::2] + band[::2, 1::2] + band[1::2, 1::2])


def _double(band: Float) -> Float:
    """Bilinear interpolation to pixels of half the size."""
    for _ in range(2):
        # Down the rows, and after the transposition down what were the columns.
        before, after = np.concatenate([band[:1], band[:-1]]), np.concatenate([band[1:], band[-1:]])
        pairs = np.stack([0.75 * band + 0.25 * before, 0.75 * band + 0.25 * after], axis=1)
        band = pairs.reshape(-1, band.shape[1]).T
    return band
