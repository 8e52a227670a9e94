"""A simulated site with known truth.

Each site is a piece of land (`landscape.py`) with mines in it that move over the years (`mines.py`), painted
with measured spectra (`spectra.py`) and seen through a year's air by an instrument like Sentinel-2's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from euromine.support.errors import ArgumentError

from .landscape import REGIONS, Grid, Region, make_landscape, moved, noise
from .mine_growth import make_mines
from .mine_layout import MINE_KINDS
from .mines import FIRST_YEAR
from .painting import Painter
from .spectra import Float

CRS = "EPSG:4326"

_DEGREES_PER_PIXEL = 10 / 111_320

# How far an annotator's border strays from the true one: the kernel's sigma and reach in pixels.
_LABEL_SIGMA, LABEL_REACH = 1.3, 4

# A hundred years of growth are enough, and opening years are kept in 16 bits.
_LAST_YEAR = 2115

# Version of the simulation: another one makes other sites from the same seed.
VERSION = 1


@dataclass(frozen=True)
class SimulatedSite:
    """One simulated site.

    Attributes:
        name: Name of the site's folder.
        images: Top-of-atmosphere DN (reflectance x 10000), int16 (years, 10, height, width).
        labels: Footprints as drawn by an annotator, uint8 (years, height, width), 0 or 1.
        truth: True footprints, uint8 (years, height, width), 0 or 1.
        classes: Land cover of each pixel, uint8 (years, height, width), values of `LandCover`.
        years: The year of each image.
        crs: `"EPSG:4326"`.
        transform: Affine coefficients a b c d e f of the upper left pixel, in degrees.
    """

    name: str
    images: NDArray[np.int16]
    labels: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    years: tuple[int, ...]
    crs: str
    transform: tuple[float, float, float, float, float, float]


def simulate_site(
    name: str, *, years: Iterable[int] = range(2015, 2025), height: int, width: int, seed: int
) -> SimulatedSite:
    """Simulate one site.

    The result depends on the arguments alone, and no year on a later one: fewer years give a slice of more.
    Ten years take about 600 bytes of memory per pixel.

    Args:
        name: `{Country}_{number}`, spelled as in the archive (`Portuga_1`). Sites of the benchmark's
            countries lie in them and look like them; others lie in central Europe.
        years: From 2015 on, ascending.
        height: Rows; a row is 10 m.
        width: Columns; a column is 10 m times the cosine of the latitude.
        seed: Not negative.

    Raises:
        ArgumentError: An argument is out of range.
    """
    chosen = checked_years(years)
    check_name(name)
    check_size(height, width)
    check_seed(seed)
    region = _region(name)
    rng = _stream(seed, name, "site")
    latitude, longitude = rng.uniform(*region.latitude), rng.uniform(*region.longitude)
    grid = Grid(height, width, float(np.cos(np.radians(latitude))))

    kind = str(rng.choice(MINE_KINDS, p=np.array(region.mines) / sum(region.mines)))

    def year_stream(year: int) -> np.random.Generator:
        return _stream(seed, name, "pace", year)

    mines = make_mines(_stream(seed, name, "mines"), grid, kind, chosen[-1], year_stream)
    land = make_landscape(_stream(seed, name, "land"), grid, region)
    painter = Painter(_stream(seed, name, "look"), grid, region.soils, kind, land, mines)
    waver = noise(_stream(seed, name, "annotator"), grid, 14, 3.0)

    images = np.empty((len(chosen), 10, height, width), dtype=np.int16)
    labels, truth, classes = (np.empty((len(chosen), height, width), dtype=np.uint8) for _ in range(3))
    for index, year in enumerate(chosen):
        truth[index] = mines.footprint(year)
        images[index], classes[index] = painter.paint(year, partial(_stream, seed, name))
        labels[index] = _annotate(_stream(seed, name, "label", year), truth[index], waver)
    step = _DEGREES_PER_PIXEL
    return SimulatedSite(
        name, images, labels, truth, classes, chosen, CRS, (step, 0.0, longitude, 0.0, -step, latitude)
    )


def _stream(seed: int, name: str, *purpose: str | int) -> np.random.Generator:
    """Random numbers for one purpose of one site, independent of all other draws."""
    key = hashlib.sha256(repr((VERSION, seed, name, *purpose)).encode()).digest()
    return np.random.default_rng(np.frombuffer(key, dtype=np.uint32))


def _annotate(rng: np.random.Generator, truth: NDArray[np.uint8], waver: Float) -> NDArray[np.uint8]:
    """The footprint as drawn by an annotator: rounder than the truth, its border off by a pixel.

    Most of the border is kept from year to year (`waver`); parts of it are redrawn. A pixel whose
    neighbourhood of `LABEL_REACH` pixels is all mine or all not is always labelled right.
    """
    near = ndimage.gaussian_filter(truth.astype(np.float32), _LABEL_SIGMA, radius=LABEL_REACH, mode="nearest")
    redrawn = np.clip(moved(rng, waver) - 1.3, 0, 1)
    strayed = np.float32(0.16) * waver + np.float32(0.35) * redrawn * moved(rng, waver)
    return (near + np.clip(strayed, -0.4, 0.4) > 0.5).astype(np.uint8)


def _region(name: str) -> Region:
    """The country of a site by its name; the release spells Portugal `Portuga`."""
    country = name.rpartition("_")[0]
    return REGIONS.get("Portugal" if country == "Portuga" else country, REGIONS["Germany"])


def checked_years(years: Iterable[int]) -> tuple[int, ...]:
    """The years as a tuple.

    Raises:
        ArgumentError: They are not ascending, or cannot be simulated.
    """
    chosen = tuple(int(year) for year in years)
    if not chosen:
        raise ArgumentError(f"years: found none; expected ascending years from {FIRST_YEAR} on.")
    if any(later <= earlier for earlier, later in pairwise(chosen)):
        raise ArgumentError(f"years: found {listed(chosen)}; expected ascending years, such as 2015-2024.")
    if chosen[0] < FIRST_YEAR or chosen[-1] > _LAST_YEAR:
        raise ArgumentError(
            f"years: found {chosen[0]} to {chosen[-1]}; expected years from {FIRST_YEAR}, "
            f"Sentinel-2's first, to {_LAST_YEAR}."
        )
    return chosen


def check_name(name: str) -> None:
    """Raise `ArgumentError` if this is not the name of a site."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*_[0-9]+", name):
        raise ArgumentError(f"name: found {name!r}; expected the name of a site, such as Germany_12.")


def check_size(height: int, width: int) -> None:
    """Raise `ArgumentError` if a scene has no pixels."""
    if min(height, width) < 1:
        raise ArgumentError(f"size: found {height} x {width} pixels; expected at least 1 x 1.")


def check_seed(seed: int) -> None:
    """Raise `ArgumentError` if a seed is negative."""
    if seed < 0:
        raise ArgumentError(f"seed: found {seed}; expected 0 or more.")


def listed(values: Sequence[object]) -> str:
    """The first dozen values, with commas."""
    return ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "")
