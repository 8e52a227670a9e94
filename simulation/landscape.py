"""The land around a simulated mine: forest, fields, villages, roads and water, and their yearly change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .spectra import Float, LandCover

Units = NDArray[np.int32]


@dataclass(frozen=True)
class Grid:
    """The pixels of a scene, measured in steps of 10 m.

    Scenes lie in degrees, so a pixel is 10 m high and only `10 m x aspect` wide; everything that has a shape
    on the ground is laid out in these coordinates.
    """

    height: int
    width: int
    aspect: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def extent(self) -> tuple[float, float]:
        """North-south and east-west size in steps of 10 m."""
        return float(self.height), self.width * self.aspect

    @property
    def area(self) -> float:
        """Ground area in units of 100 m2."""
        return self.height * self.width * self.aspect

    @cached_property
    def y(self) -> Float:
        """(height, 1)."""
        return np.arange(self.height, dtype=np.float32)[:, None]

    @cached_property
    def x(self) -> Float:
        """(1, width)."""
        return np.arange(self.width, dtype=np.float32)[None, :] * np.float32(self.aspect)

    @cached_property
    def squared_wavenumber(self) -> Float:
        """Squared spatial frequency of each term of `np.fft.rfft2`, in cycles per 10 m."""
        rows = np.fft.fftfreq(self.height)[:, None]
        columns = np.fft.rfftfreq(self.width, self.aspect)[None, :]
        return (rows**2 + columns**2).astype(np.float32)


def noise(rng: np.random.Generator, grid: Grid, scale: float, exponent: float = 3.0) -> Float:
    """A random surface of mean 0 and variance 1.

    Its power falls with spatial frequency to the power of `exponent` below `scale` (in steps of 10 m) and is
    flat above: 2 is rough as a rock face, 3 as terrain, 4 and more smooth as a lake shore.
    """
    white = rng.standard_normal(grid.shape, dtype=np.float32)
    amplitude = (grid.squared_wavenumber + np.float32(scale**-2)) ** np.float32(-exponent / 4)
    field = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=grid.shape)
    field -= field.mean()
    deviation = float(field.std())
    return (field / deviation if deviation > 0 else field).astype(np.float32)


def moved(rng: np.random.Generator, field: Float) -> Float:
    """A shifted copy of `field`; surfaces of `noise` wrap around."""
    down, right = (int(rng.integers(0, size)) for size in field.shape)
    return int(rng.choice([-1, 1])) * np.roll(field, (down, right), axis=(0, 1))


def above_share(field: Float, share: float) -> NDArray[np.bool_]:
    """Where `field` is among its largest values, so that about `share` of the pixels are true."""
    if share <= 0:
        return np.zeros(field.shape, dtype=bool)
    return field >= np.quantile(field, max(0.0, 1.0 - share))


def polygons(rng: np.random.Generator, grid: Grid, spacing: float) -> tuple[Units, Float]:
    """Irregular polygons about `spacing` across (steps of 10 m): the cells of a jittered grid of points.

    Returns:
        The number of the polygon of each pixel, and the distance to its border.
    """
    rows, columns = (int(size / spacing) + 3 for size in grid.extent)
    points = (rng.uniform(0.1, 0.9, (2, rows, columns)) * spacing).astype(np.float32)
    row, column = (grid.y / spacing).astype(np.int32), (grid.x / spacing).astype(np.int32)
    nearest = np.full(grid.shape, np.inf, dtype=np.float32)
    second, number = nearest.copy(), np.zeros(grid.shape, dtype=np.int32)
    for down in range(3):
        for right in range(3):
            # The pixel's own place in the grid of points is (row + 1, column + 1).
            near_row, near_column = row + down, column + right
            south = grid.y - points[0, near_row, near_column] - (near_row - 1) * np.float32(spacing)
            east = grid.x - points[1, near_row, near_column] - (near_column - 1) * np.float32(spacing)
            distance = np.sqrt(south**2 + east**2)
            closer = distance < nearest
            second = np.where(closer, nearest, np.minimum(second, distance))
            nearest = np.where(closer, distance, nearest)
            number = np.where(closer, near_row * columns + near_column, number)
    return number, (second - nearest) / 2


def parcels(
    rng: np.random.Generator, blocks: Units, grid: Grid, width: float, length: float, count: int
) -> Units:
    """Blocks of land cut into strips and the strips into parcels, each block in a direction of its own.

    Args:
        rng: Where directions and sizes come from.
        blocks: The block of each pixel.
        grid: The scene.
        width: The typical width of a strip, in steps of 10 m.
        length: The typical length of a parcel.
        count: Parcels are numbered 0 to `count - 1`; numbers of distant parcels may coincide.
    """
    many = int(blocks.max()) + 1
    angle = rng.uniform(0, np.pi, many).astype(np.float32)
    widths = (width * np.exp(0.35 * rng.standard_normal(many))).astype(np.float32)
    lengths = (length * np.exp(0.35 * rng.standard_normal(many))).astype(np.float32)
    sine, cosine = np.sin(angle)[blocks], np.cos(angle)[blocks]
    strip = np.floor((grid.x * cosine + grid.y * sine) / widths[blocks])
    # Neighbouring strips are cut at different places: the golden ratio spreads the cuts evenly.
    along = (grid.y * cosine - grid.x * sine) / lengths[blocks] + strip * np.float32(0.618)
    piece = np.floor(along)
    mixed = (
        blocks.astype(np.int64) * 7919 + strip.astype(np.int64) * 104729 + piece.astype(np.int64) * 1299709
    )
    return (mixed % count).astype(np.int32)


def winding_line(rng: np.random.Generator, grid: Grid, sway: float, wavelength: float) -> Float:
    """Signed distance (steps of 10 m) to a winding line that crosses the scene."""
    height, width = grid.extent
    angle = rng.uniform(0, np.pi)
    south, east = grid.y - rng.uniform(0.1, 0.9) * height, grid.x - rng.uniform(0.1, 0.9) * width
    along = (east * np.cos(angle) + south * np.sin(angle)).astype(np.float32)
    across = (south * np.cos(angle) - east * np.sin(angle)).astype(np.float32)
    offset, slope = np.zeros_like(along), np.zeros_like(along)
    for harmonic in range(1, 5):
        frequency = np.float32(2 * np.pi * harmonic * rng.uniform(0.7, 1.4) / wavelength)
        swing, phase = np.float32(sway * rng.normal() / harmonic), np.float32(rng.uniform(0, 2 * np.pi))
        offset += swing * np.sin(frequency * along + phase)
        slope += swing * frequency * np.cos(frequency * along + phase)
    return (across - offset) / np.sqrt(1 + slope**2)


class Region(NamedTuple):
    """A country in the simulation: its location, share of forest and kinds of mines."""

    latitude: tuple[float, float]
    longitude: tuple[float, float]
    forest: float
    conifers: float
    lakes: float
    hills: float
    parcel: float
    soils: tuple[float, float, float, float]
    mines: tuple[int, int, int, int]


# Boxes inside each country (degrees); shares of forest, of conifers in it, of lakes; how hilly (0 to 1); a
# field's width in steps of 10 m; weights of brown, grey, red and sandy soil; the sites of the benchmark by
# what they mine (metals, coal, other minerals, quarries: the paper's Table 1).
REGIONS: dict[str, Region] = {
    "Austria": Region((47.2, 48.2), (13.5, 16.0), 0.47, 0.75, 0.006, 0.8, 7, (5, 4, 1, 1), (1, 0, 0, 0)),
    "Bulgaria": Region((42.2, 43.3), (23.5, 27.0), 0.35, 0.30, 0.004, 0.6, 12, (5, 2, 2, 2), (8, 8, 0, 2)),
    "Czechia": Region((49.6, 50.5), (13.3, 16.5), 0.34, 0.70, 0.008, 0.5, 14, (6, 3, 1, 1), (1, 3, 0, 0)),
    "Finland": Region((61.5, 66.5), (24.0, 28.5), 0.70, 0.85, 0.060, 0.2, 9, (3, 7, 0, 1), (4, 0, 2, 1)),
    "Germany": Region((50.5, 52.3), (9.0, 14.0), 0.32, 0.60, 0.010, 0.3, 13, (5, 4, 1, 1), (1, 11, 2, 2)),
    "Greece": Region((38.5, 41.0), (21.5, 23.5), 0.30, 0.40, 0.004, 0.9, 8, (3, 1, 4, 3), (9, 4, 0, 0)),
    "Hungary": Region((46.5, 48.0), (18.0, 20.5), 0.22, 0.12, 0.008, 0.3, 13, (6, 3, 1, 2), (0, 4, 1, 2)),
    "Italy": Region((43.0, 45.5), (10.5, 12.0), 0.35, 0.20, 0.004, 0.8, 8, (4, 2, 3, 2), (2, 0, 0, 1)),
    "Poland": Region((50.5, 53.0), (16.5, 22.5), 0.30, 0.68, 0.008, 0.2, 7, (4, 5, 0, 2), (2, 12, 0, 3)),
    "Portugal": Region((37.8, 41.0), (-8.4, -7.2), 0.38, 0.35, 0.006, 0.8, 8, (3, 1, 4, 3), (2, 0, 0, 4)),
    "Romania": Region((44.8, 46.8), (22.5, 26.0), 0.35, 0.25, 0.004, 0.7, 9, (6, 2, 1, 2), (3, 9, 0, 0)),
    "Slovakia": Region((48.5, 49.0), (18.5, 21.0), 0.42, 0.40, 0.004, 0.8, 11, (6, 3, 1, 1), (1, 0, 0, 1)),
    "Spain": Region((38.0, 42.0), (-6.3, -1.5), 0.28, 0.45, 0.003, 0.8, 12, (3, 1, 4, 4), (8, 5, 3, 3)),
    "Sweden": Region((58.5, 67.0), (14.5, 20.0), 0.66, 0.85, 0.060, 0.3, 9, (3, 7, 0, 1), (8, 0, 0, 0)),
}

# A unit is a piece of land with a spectrum of its own. The first are the land covers themselves.
_FIELDS, _STANDS, _LOTS, _WORKS = 1024, 512, 256, 32
FIELDS = slice(len(LandCover), len(LandCover) + _FIELDS)
STANDS = slice(FIELDS.stop, FIELDS.stop + _STANDS)
LOTS = slice(STANDS.stop, STANDS.stop + _LOTS)
WORKS = slice(LOTS.stop, LOTS.stop + _WORKS)
UNITS = WORKS.stop

# A stand is cut once in so many years; and the years for which it then lies bare, and is shrub.
_ROTATION, _BARE_YEARS, _SHRUB_YEARS = 70, 3, 9
# A construction site is a field before, and a large roof after so many years.
_CONSTRUCTION_YEARS = 3


@dataclass(frozen=True)
class Landscape:
    """Everything around the mine; `covers` gives the land cover of each unit in a year.

    `units` (height, width) names the unit of each pixel; `tone` (units,) how bright
    it is for its class, in standard deviations; `meadows`
    (fields,) are never ploughed; `cut_year` and `forest_cover` (stands,) describe forestry; `lot_cover`
    (lots,) the villages; `works_year` (works,) when construction starts; `paved` and `unpaved` (height,
    width) are the shares of the pixel that a road covers; `relief` is height in units of 10 m.
    """

    units: Units
    tone: Float
    meadows: NDArray[np.bool_]
    cut_year: NDArray[np.int64]
    forest_cover: NDArray[np.int64]
    lot_cover: NDArray[np.int64]
    works_year: NDArray[np.int64]
    bare_share: float
    stubble_share: float
    paved: Float
    unpaved: Float
    relief: Float

    def covers(self, rng: np.random.Generator, year: int) -> NDArray[np.int64]:
        """The `LandCover` of each unit (units,) in a year; `rng` is the year's own."""
        cover = np.arange(UNITS)
        crop = rng.random(_FIELDS)
        bare = np.clip(self.bare_share * rng.uniform(0.5, 1.5), 0, 0.8)
        stubble = np.clip(bare + self.stubble_share * rng.uniform(0.5, 1.5), 0, 0.95)
        ploughed = np.where(
            crop < bare,
            LandCover.BARE_FIELD,
            np.where(crop < stubble, LandCover.STUBBLE, LandCover.GREEN_CROP),
        )
        cover[FIELDS] = np.where(self.meadows, LandCover.MEADOW, ploughed)

        age = year - self.cut_year
        growing = np.where(age < _BARE_YEARS, LandCover.CLEAR_CUT, LandCover.SHRUB)
        young = (age >= 0) & (age < _BARE_YEARS + _SHRUB_YEARS)
        cover[STANDS] = np.where(young, growing, self.forest_cover)

        cover[LOTS] = self.lot_cover
        building = (year >= self.works_year) & (year < self.works_year + _CONSTRUCTION_YEARS)
        before = cover[FIELDS][:_WORKS]
        cover[WORKS] = np.where(
            building,
            LandCover.CONSTRUCTION_SITE,
            np.where(year < self.works_year, before, LandCover.LARGE_ROOF),
        )
        return cover


def make_landscape(rng: np.random.Generator, grid: Grid, region: Region) -> Landscape:
    """Lay out the land of one site without its mine."""
    hills = float(np.clip(region.hills + 0.25 * rng.normal(), 0.05, 1.0))
    relief = noise(rng, grid, 150, 4.3)
    wetness = noise(rng, grid, 60, 5.0)
    cover_noise = noise(rng, grid, 90, 2.6)
    blocks, block_border = polygons(rng, grid, rng.uniform(32, 60))
    width = region.parcel * rng.uniform(0.7, 1.4)
    field = parcels(rng, blocks, grid, width, width * rng.uniform(1.8, 5.0), _FIELDS)
    stand = parcels(rng, blocks[::-1, ::-1], grid, 14, 20, _STANDS)

    # Wood stands on the hills, and partly follows the borders of parcels.
    wooded = cover_noise + 0.7 * hills * relief
    size = np.maximum(np.bincount(field.ravel(), minlength=_FIELDS), 1)
    per_field = (np.bincount(field.ravel(), wooded.ravel(), _FIELDS) / size).astype(np.float32)
    share = float(np.clip(region.forest * rng.uniform(0.6, 1.35), 0.05, 0.85))
    forest = above_share(0.45 * wooded + 0.55 * per_field[field], share)
    units = np.where(forest, STANDS.start + stand, FIELDS.start + field).astype(np.int32)

    fringe = ~forest & above_share(wooded + 0.8 * noise(rng, grid, 25, 2.5), share + 0.05)
    units[fringe] = LandCover.SHRUB
    units[above_share(noise(rng, grid, 25, 3.6) + relief, 0.06 * hills * rng.random())] = LandCover.BARE_ROCK
    _add_water(rng, grid, region, wetness - 0.6 * hills * relief, units)
    paved, unpaved = _lay_roads(rng, grid, block_border, forest)
    unpaved[units == LandCover.WATER] = 0
    _add_villages(rng, grid, units)
    works_year = _add_works(rng, grid, units)

    forest_cover = _stand_covers(rng, stand, noise(rng, grid, 70, 3.0), region)
    return Landscape(
        units=units,
        tone=rng.standard_normal(UNITS, dtype=np.float32),
        meadows=rng.random(_FIELDS) < rng.uniform(0.1, 0.4) + 0.2 * hills,
        cut_year=2005 + rng.integers(0, _ROTATION, _STANDS),
        forest_cover=forest_cover,
        lot_cover=rng.choice(
            [LandCover.ROOF, LandCover.GARDEN, LandCover.ROAD, LandCover.LARGE_ROOF],
            _LOTS,
            p=[0.4, 0.46, 0.1, 0.04],
        ),
        works_year=works_year,
        bare_share=rng.uniform(0.2, 0.55),
        stubble_share=rng.uniform(0.15, 0.4),
        paved=paved,
        unpaved=unpaved,
        relief=relief * np.float32(1.5 + 6.5 * hills),
    )


def _stand_covers(rng: np.random.Generator, stand: Units, place: Float, region: Region) -> NDArray[np.int64]:
    """Conifers or broadleaves for each stand (stands,), clustered."""
    size = np.maximum(np.bincount(stand.ravel(), minlength=_STANDS), 1)
    local = np.bincount(stand.ravel(), place.ravel(), _STANDS) / size + 0.5 * rng.standard_normal(_STANDS)
    conifers = local >= np.quantile(local, 1 - np.clip(region.conifers + 0.15 * rng.normal(), 0.02, 0.98))
    return np.where(conifers, LandCover.CONIFEROUS_FOREST, LandCover.BROADLEAF_FOREST)


def _add_water(rng: np.random.Generator, grid: Grid, region: Region, low: Float, units: Units) -> None:
    """Lakes in the hollows, a river with gravel and sand bars, bushes along it."""
    units[above_share(low, min(0.25, region.lakes * rng.exponential()))] = LandCover.WATER
    if rng.random() > 0.55:
        return
    distance = winding_line(rng, grid, rng.uniform(6, 16), rng.uniform(90, 220))
    half = rng.uniform(0.8, 3.5)
    shoals = noise(rng, grid, 12, 5.0)
    bank, side = np.abs(distance), np.sign(distance)
    units[(bank < half + 2.5) & (shoals > -0.3)] = LandCover.SHRUB
    # A bar lies on one bank, then on the other.
    bars = rng.uniform(0.6, 2.2)
    units[(bank < half * (1 + 1.8 * np.clip(shoals * side, 0, 2))) & (shoals * side > bars - 1)] = (
        LandCover.GRAVEL_BAR
    )
    units[bank < half] = LandCover.WATER


def _lay_roads(
    rng: np.random.Generator, grid: Grid, block_border: Float, forest: NDArray[np.bool_]
) -> tuple[Float, Float]:
    """Shares of each pixel under paved roads and under farm tracks."""
    paved = np.zeros(grid.shape, dtype=np.float32)
    for _ in range(max(1, round(rng.uniform(1.5, 3.5) * (grid.area / 7e4) ** 0.5))):
        half = rng.choice([0.35, 0.5, 0.9], p=[0.5, 0.35, 0.15])
        distance = np.abs(winding_line(rng, grid, rng.uniform(2, 14), rng.uniform(150, 400)))
        np.maximum(paved, np.clip(half + 0.5 - distance, 0, min(1.0, 2 * half)), out=paved)
    unpaved = np.clip(0.75 - block_border, 0, 0.4) * np.where(forest, np.float32(0.5), np.float32(1))
    return paved, unpaved.astype(np.float32)


def _add_villages(rng: np.random.Generator, grid: Grid, units: Units) -> None:
    """Villages of house lots, denser towards their middle."""
    lot = polygons(rng, grid, 2.3)[0] * 7919 % _LOTS
    ragged = noise(rng, grid, 12, 2.4)
    for _ in range(rng.poisson(1.6 * grid.area / 7e4)):
        row, column = rng.uniform(0, 1, 2) * grid.extent
        radius = 7 * np.exp(0.5 * rng.normal())
        distance = np.sqrt((grid.y - row) ** 2 + (grid.x - column) ** 2) / radius
        built = distance + 0.4 * ragged < 1.2
        units[built] = LOTS.start + lot[built]


def _add_works(rng: np.random.Generator, grid: Grid, units: Units) -> NDArray[np.int64]:
    """Construction sites: rectangles that are dug up in some years; returns when, for each (works,)."""
    for number in range(min(_WORKS, rng.poisson(2.0 * grid.area / 7e4))):
        row, column = rng.uniform(0, 1, 2) * grid.extent
        half = rng.uniform(2, 7), rng.uniform(3, 11)
        inside = superellipse(grid.y, grid.x, (row, column), rng.uniform(0, np.pi), half, 8)
        units[inside < 1] = WORKS.start + number
    return rng.integers(2009, 2027, _WORKS)


def superellipse(
    y: Float, x: Float, centre: Sequence[float], angle: float, half: Sequence[float], power: float
) -> Float:
    """Distance from a centre in units of the outline's own size: below 1 inside.

    Args:
        y: Steps of 10 m southwards, of a shape that broadcasts with `x`.
        x: Steps of 10 m eastwards.
        centre: Of the outline: y, x.
        angle: Of its long axis, from east to south.
        half: Half axes across and along `angle`.
        power: 2 gives an ellipse, a high one a rectangle.
    """
    south, east = y - np.float32(centre[0]), x - np.float32(centre[1])
    along = np.abs(east * np.float32(np.cos(angle)) + south * np.float32(np.sin(angle))) / np.float32(half[1])
    across = np.abs(south * np.float32(np.cos(angle)) - east * np.float32(np.sin(angle))) / np.float32(
        half[0]
    )
    largest = np.maximum(along, across)
    ratio = np.minimum(along, across) / np.maximum(largest, np.float32(1e-6))
    return largest * (1 + ratio ** np.float32(power)) ** np.float32(1 / power)
