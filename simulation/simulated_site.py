"""A simulated site with known truth.

Each site is a piece of land (`landscape.py`) with mines in it that move over the years (`mines.py`), painted
with measured spectra (`spectra.py`) and seen through a year's air by an instrument like Sentinel-2's. It may
have the components of its mines (`component_mines.py`) and backscatter (`backscatter_drawing.py`).
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

from euromine.dataset_script.site_facts import SiteFacts
from euromine.support.errors import ArgumentError

from .backscatter_drawing import RadarPainter
from .component_mines import ComponentMines, draw_facts, make_component_mines
from .landscape import REGIONS, Grid, Landscape, Region, make_landscape, moved, noise
from .mine_growth import make_mines
from .mine_layout import MINE_KINDS
from .mines import FIRST_YEAR, Mines
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

# Versions of the components and of the radar.
COMPONENTS_VERSION, RADAR_VERSION = 1, 1


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
        components: Component classes as drawn by an annotator, uint16 (years, height, width), a bit for each
            of `COMPONENT_CLASSES`; they cover the labels. None without components.
        facts: Type of the mine and its material, None without components.
        radar: Backscatter in dB x 100, int16 (years, 2, height, width), VV and VH; None without radar.
    """

    name: str
    images: NDArray[np.int16]
    labels: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    years: tuple[int, ...]
    crs: str
    transform: tuple[float, float, float, float, float, float]
    components: NDArray[np.uint16] | None = None
    facts: SiteFacts | None = None
    radar: NDArray[np.int16] | None = None


def simulate_site(
    name: str,
    *,
    years: Iterable[int] = range(2015, 2025),
    height: int,
    width: int,
    seed: int,
    components: bool = False,
    radar: bool = False,
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
        components: Whether to draw mines with all component classes: another site than without.
        radar: Whether to draw backscatter, too; images stay as they are without.

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
    if components:
        facts = draw_facts(_stream(seed, name, "facts", COMPONENTS_VERSION), region.mines)
        kind = " ".join(facts)
    else:
        facts = None
        kind = str(rng.choice(MINE_KINDS, p=np.array(region.mines) / sum(region.mines)))
    mines = _mines(seed, name, grid, kind, chosen[-1], facts)
    land = make_landscape(_stream(seed, name, "land"), grid, region)
    painter = Painter(_stream(seed, name, "look"), grid, region.soils, kind, land, mines)
    waver = noise(_stream(seed, name, "annotator"), grid, 14, 3.0)

    images = np.empty((len(chosen), 10, height, width), dtype=np.int16)
    labels, truth, classes = (np.empty((len(chosen), height, width), dtype=np.uint8) for _ in range(3))
    for index, year in enumerate(chosen):
        truth[index] = mines.footprint(year)
        images[index], classes[index] = painter.paint(year, partial(_stream, seed, name))
        labels[index] = _annotate(_stream(seed, name, "label", year), truth[index], waver)
    bits = None
    if isinstance(mines, ComponentMines):
        drawn = (
            _drawn_components(mines.components(_stream(seed, name, "mine", year), year), label)
            for year, label in zip(chosen, labels, strict=True)
        )
        bits = np.stack(list(drawn))
    step = _DEGREES_PER_PIXEL
    return SimulatedSite(
        name=name,
        images=images,
        labels=labels,
        truth=truth,
        classes=classes,
        years=chosen,
        crs=CRS,
        transform=(step, 0.0, longitude, 0.0, -step, latitude),
        components=bits,
        facts=None if facts is None else SiteFacts(mine_type=facts[0], material=facts[1]),
        radar=_radar(seed, name, grid, land, chosen, classes) if radar else None,
    )


def _mines(
    seed: int, name: str, grid: Grid, kind: str, last_year: int, facts: tuple[str, str] | None
) -> Mines | ComponentMines:
    """The mines of a site; with components where the facts of the site are given."""

    def year_stream(year: int) -> np.random.Generator:
        return _stream(seed, name, "pace", year)

    if facts is None:
        return make_mines(_stream(seed, name, "mines"), grid, kind, last_year, year_stream)
    rng = _stream(seed, name, "components", COMPONENTS_VERSION)
    return make_component_mines(rng, grid, facts, last_year, year_stream)


def _radar(
    seed: int,
    name: str,
    grid: Grid,
    land: Landscape,
    years: Sequence[int],
    classes: NDArray[np.uint8],
) -> NDArray[np.int16]:
    """The backscatter of all years (years, 2, height, width)."""
    painter = RadarPainter(_stream(seed, name, "radar", RADAR_VERSION), grid, land.units)
    return np.stack(
        [
            painter.paint(_stream(seed, name, "radar", RADAR_VERSION, year), covers)
            for year, covers in zip(years, classes, strict=True)
        ]
    )


def _drawn_components(truth: NDArray[np.uint16], label: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Components inside the outline that an annotator drew: those of the nearest ground of the mine."""
    outside = truth == 0
    if outside.all():
        return truth
    rows, columns = ndimage.distance_transform_edt(outside, return_distances=False, return_indices=True)
    return np.where(label == 1, truth[rows, columns], np.uint16(0))


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
