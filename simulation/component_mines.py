"""The components of a site's mines by year: MineCam's twelve classes, which overlap, and their cover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from euromine.dataset_script.label_groups import COMPONENT_CLASSES
from euromine.dataset_script.site_facts import MATERIALS, MINE_TYPES

from .landscape import Grid, noise
from .mine_growth import mines_and_layout
from .mine_layout import Layout
from .mines import FIRST_YEAR, Cover, Mines, Part
from .spectra import Float, LandCover

_BITS = {name: np.uint16(1 << place) for place, name in enumerate(COMPONENT_CLASSES)}

# The component that each part of a mine is.
_CLASS_OF_PART = {
    Part.PIT: "excavation",
    Part.DUMP: "dumping_ground",
    Part.TAILINGS: "tailings_storage_facility",
    Part.PLANT: "infrastructure",
    Part.POND: "settling_pond",
    Part.OVERBURDEN: "overburden",
}

# How often each material is mined in a mine of each type, in the order of MINE_TYPES.
_TYPE_WEIGHTS = {"coal": (0.2, 0.55, 0.25), "rock": (0.65, 0.15, 0.2), "metal": (0.7, 0.15, 0.15)}

# Dumpers of 100 t need roads of some 25 m.
_ROAD_WIDTHS = (2.0, 3.0)
_ROAD_ON_FRONT = 0.5
"""How far down the front of a strip mine its road lies, as a share of its depth."""

_DAM_WIDTHS = {Part.TAILINGS: 3, Part.POND: 1}
"""How wide the dams around ponds are, in pixels."""

_INTERNAL_DUMP = 2.0
"""How many benches behind the foot of the last slope a strip mine begins to fill its pit."""

# How likely a pit that is no strip mine is partly filled.
_BACKFILLED = 0.5


def draw_facts(rng: np.random.Generator, weights: tuple[int, int, int, int]) -> tuple[str, str]:
    """The type of a site's mine and its material.

    Args:
        rng: The site's own stream.
        weights: Of metals, coal, other minerals and quarries in its region.
    """
    metals, coal, minerals, quarries = weights
    shares = np.array([coal, minerals + quarries, metals]) + 0.5
    material = str(rng.choice(MATERIALS, p=shares / shares.sum()))
    return str(rng.choice(MINE_TYPES, p=_TYPE_WEIGHTS[material])), material


@dataclass(frozen=True)
class ComponentMines:
    """The mines of a site with their components; a `MineYears` for the painter.

    Attributes:
        mines: Their growth and parts.
        mine_type: One of `MINE_TYPES`.
        roads: Haul roads two to three pixels wide, down the pits, up the dumps and between them (height,
            width).
        steepness: Benches a pixel, of a strip mine's front (height, width).
        road_width: Of the road along the front, in pixels.
        exposed: A random surface; rock is exposed where it is high (height, width).
        outcrop_limit: Above which value of it.
        fill_limit: Above which value of `mines.patches` the floor of a pit is filled.
    """

    mines: Mines
    mine_type: str
    roads: NDArray[np.bool_]
    steepness: Float
    road_width: float
    exposed: Float
    outcrop_limit: float
    fill_limit: float

    def footprint(self, year: int) -> NDArray[np.bool_]:
        """Where the mine is in a year (height, width)."""
        return self.mines.footprint(year)

    def years_reclaimed(self, year: int) -> Float:
        """For how many years each pixel has been closed (height, width); negative while it has not."""
        return self.mines.years_reclaimed(year)

    def cover(self, rng: np.random.Generator, year: int) -> Cover:
        """The cover of every pixel of the footprint; `rng` is the year's own."""
        return self._year(rng, year)[0]

    def components(self, rng: np.random.Generator, year: int) -> NDArray[np.uint16]:
        """The bits of `COMPONENT_CLASSES` (height, width), with the same `rng` as `cover`.

        Every pixel of the footprint has a class, and no other pixel.
        """
        return np.where(self.footprint(year), self._year(rng, year)[1], np.uint16(0))

    def _year(self, rng: np.random.Generator, year: int) -> tuple[Cover, NDArray[np.uint16]]:
        """The cover and the components of a year, valid inside the footprint."""
        drawn = _Drawing(self, year, self.mines.cover(rng, year))
        for draw in (
            drawn.dumps,
            drawn.stockpiles,
            drawn.slopes,
            drawn.internal_dumps,
            drawn.overburden,
            drawn.ponds,
            drawn.outcrops,
            drawn.roads,
            drawn.preparatory_works,
        ):
            draw()
        return Cover(drawn.cover, drawn.tone, drawn.relief, drawn.regrowth), drawn.bits


class _Drawing:
    """One year of components over the cover of their parts; later ones lie on earlier ones."""

    def __init__(self, site: ComponentMines, year: int, base: Cover) -> None:
        self.site, self.mines, self.year = site, site.mines, year
        self.cover = base.cover.copy()
        self.tone, self.relief, self.regrowth = base.tone.copy(), base.relief.copy(), base.regrowth.copy()
        self.part = site.mines.part
        self.bits = np.zeros(self.part.shape, np.uint16)
        for part, name in _CLASS_OF_PART.items():
            self.bits[self.part == part] = _BITS[name]
        # As in `Mines`: benches move as they are worked.
        working = self.mines.phase + 0.35 * (year - FIRST_YEAR)
        self.pit = self.part == Part.PIT
        self.floor = self.pit & (working > self.mines.depth)
        self.working, self.behind = working, working - self.mines.depth

    def dumps(self) -> None:
        """Heaps on a dump are of it."""
        heaps = (self.part == Part.DUMP) & (self.cover == LandCover.STOCKPILE)
        self.cover[heaps] = LandCover.DUMP
        self.tone[heaps] += 0.8

    def stockpiles(self) -> None:
        """Heaps of the product in the yard and on the floor of the pit."""
        self._add("stockpile", (self.cover == LandCover.STOCKPILE) & (self.part == Part.PIT))
        self._replace("stockpile", (self.cover == LandCover.STOCKPILE) & (self.part == Part.PLANT))

    def slopes(self) -> None:
        """Benches between the rim and the floor."""
        thin = self.pit & ~self.floor & (self.cover == LandCover.HAUL_ROAD)
        self.cover[thin] = LandCover.BENCH
        self._add("production_slope", self.pit & ~self.floor & (self.cover != LandCover.PIT_WATER))

    def internal_dumps(self) -> None:
        """A strip mine fills its pit behind the floor; another pit sometimes fills a part of its floor."""
        if self.site.mine_type == "opencast":
            filled = self.floor & (self.behind > _INTERNAL_DUMP)
        else:
            filled = self.floor & (self.mines.patches > self.site.fill_limit)
        filled &= self.cover != LandCover.PIT_WATER
        self._add("dumping_ground", filled)
        self.bits[filled] &= ~_BITS["stockpile"]
        self.cover[filled & (self.cover != LandCover.VEGETATED_DUMP)] = LandCover.DUMP
        # Tipped from the side that was dug before: higher with the distance to the floor.
        rise = np.clip(self.behind - _INTERNAL_DUMP, 0, 4)
        self.relief[filled] += (self.mines.bench_height * rise)[filled]

    def overburden(self) -> None:
        """Heaps of soil and loose rock, and the uppermost cut of a strip mine."""
        heaps = self.part == Part.OVERBURDEN
        if self.site.mine_type == "opencast":
            cut = self.pit & (self.mines.phase > 0) & (self.mines.phase < 1)
            self._add("overburden", cut & ~self.floor)
            self.bits[cut & ~self.floor] &= ~_BITS["production_slope"]
            self.cover[cut & ~self.floor] = LandCover.BARE_FIELD
        green = heaps & (self.mines.patches > 0.9) & (self.year - self.mines.opened > 2)
        self.cover[heaps] = LandCover.BARE_FIELD
        self.cover[green] = LandCover.VEGETATED_DUMP
        dome = np.clip(1.2 - self.mines.radius, 0, 1)
        self.relief[heaps] = (self.mines.bench_height * (3 * dome + 0.2 * self.mines.rough))[heaps]
        self.tone[heaps] = (0.6 * self.mines.rough)[heaps]

    def ponds(self) -> None:
        """Basins of water and mud behind dams, and the dams."""
        basin = self.part == Part.POND
        muddy = basin & (self.mines.rough > 0.3)
        self.cover[basin] = LandCover.PIT_WATER
        self.cover[muddy] = LandCover.WET_TAILINGS
        self.tone[basin] = self.relief[basin] = 0
        self.cover[(self.part == Part.TAILINGS) & (self.cover == LandCover.HAUL_ROAD)] = LandCover.TAILINGS
        for part, width in _DAM_WIDTHS.items():
            # A dam is raised and moves outwards with its pond.
            pond = (self.part == part) & self.mines.footprint(self.year)
            dam = pond & ~ndimage.binary_erosion(pond, iterations=width, border_value=1)
            self._replace("dam", dam)
            self.cover[dam] = LandCover.HAUL_ROAD
            self.relief[dam] = self.mines.bench_height

    def outcrops(self) -> None:
        """Rock exposed along the rim of a pit, and on the slopes of a summit."""
        rim = self.pit & (self.mines.radius > 0.78) & ~self.floor
        self._replace("outcrop", rim & (self.site.exposed > self.site.outcrop_limit))
        bare = self.bits == _BITS["outcrop"]
        self.cover[bare] = LandCover.BARE_ROCK
        self.relief[bare] += (0.4 * self.mines.rough)[bare]

    def roads(self) -> None:
        """Haul roads, down slopes that are theirs alone."""
        level = self.floor | np.isin(self.part, (Part.TAILINGS, Part.POND))
        roads = self.site.roads
        if self.site.mine_type == "opencast":
            # It moves with the front, half-way down.
            away = np.abs(self.working - _ROAD_ON_FRONT * self.mines.depth) / self.site.steepness
            roads = roads | (self.pit & (away < 0.5 * self.site.road_width))
        roads = roads & ~level & (self.cover != LandCover.PIT_WATER)
        self.bits[roads & ~self.pit] = 0
        self.bits[roads] &= ~(_BITS["production_slope"] | _BITS["outcrop"] | _BITS["stockpile"])
        self._add("transport_slope", roads)
        self.bits[roads & self.pit] |= _BITS["excavation"]
        self.cover[roads] = LandCover.HAUL_ROAD
        self.tone[roads] = 0
        self.regrowth[roads] = 0

    def preparatory_works(self) -> None:
        """Ground that was opened this year: cleared and stripped, not yet dug."""
        opened = self.mines.opened == self.year
        self._replace("preparatory_works", opened)
        self.cover[opened] = LandCover.CONSTRUCTION_SITE
        self.relief[opened] = 0
        self.regrowth[opened] = 0

    def _add(self, name: str, where: NDArray[np.bool_]) -> None:
        self.bits[where] |= _BITS[name]

    def _replace(self, name: str, where: NDArray[np.bool_]) -> None:
        self.bits[where] = _BITS[name]


def make_component_mines(
    rng: np.random.Generator,
    grid: Grid,
    facts: tuple[str, str],
    last_year: int,
    year_stream: Callable[[int], np.random.Generator],
) -> ComponentMines:
    """Lay out the mines of one site with their components, and their growth up to `last_year`.

    Args:
        rng: The site's own stream.
        grid: The scene.
        facts: The type of the mine and its material.
        last_year: As for `make_mines`.
        year_stream: As for `make_mines`.
    """
    mine_type, material = facts
    mines, plan = mines_and_layout(rng, grid, f"{mine_type} {material}", last_year, year_stream)
    ramps = _ramps(rng, plan, mines)
    if mine_type == "opencast":
        ramps &= mines.part != Part.PIT
    roads = ramps | _connections(rng, plan, mines)
    exposed = noise(rng, grid, 14, 4.2)
    return ComponentMines(
        mines=mines,
        mine_type=mine_type,
        roads=roads,
        steepness=np.maximum(_slope(mines.phase, grid), 1e-3),
        road_width=float(rng.uniform(*_ROAD_WIDTHS)),
        exposed=exposed,
        outcrop_limit={"open-pit": 1.2, "opencast": 2.2, "mountain-top": 0.4}[mine_type],
        fill_limit=0.8 if rng.random() < _BACKFILLED else np.inf,
    )


def _ramps(rng: np.random.Generator, plan: Layout, mines: Mines) -> NDArray[np.bool_]:
    """The road that winds down each pit or up each dump, a turn or so, as wide on the ground everywhere."""
    south, east = plan.from_centre()
    turn = np.arctan2(south, east) / np.float32(2 * np.pi)
    turns = np.where(mines.part == Part.DUMP, np.float32(0.4 / 6), 1.1 / np.maximum(mines.depth, 1))
    angle = np.float32(2 * np.pi) * (turn + turns * mines.phase)
    # Through sine and cosine, as the angle itself jumps by a turn.
    per_pixel = np.hypot(_slope(np.sin(angle), plan.grid), _slope(np.cos(angle), plan.grid))
    away = np.abs((angle + np.pi) % (2 * np.pi) - np.pi) / np.maximum(per_pixel, 1e-3)
    width = rng.uniform(*_ROAD_WIDTHS)
    on_slope = (mines.part == Part.PIT) | ((mines.part == Part.DUMP) & (mines.phase < 4))
    return (away < 0.5 * width) & on_slope & (mines.phase > 0)


def _slope(field: Float, grid: Grid) -> Float:
    """Steepness of a surface in units a step of 10 m (height, width)."""
    south, east = (
        np.gradient(field, axis=axis) if field.shape[axis] > 1 else np.zeros_like(field) for axis in (0, 1)
    )
    return np.hypot(south, east / np.float32(grid.aspect))


def _connections(rng: np.random.Generator, plan: Layout, mines: Mines) -> NDArray[np.bool_]:
    """Haul roads from each plant, or else the first pit, to the rims of the mine's other parts."""
    grid = plan.grid
    away = np.full(grid.shape, np.inf, np.float32)
    bent_south, bent_east = (1.5 * noise(rng, grid, 25, 5.0) for _ in range(2))
    y, x = grid.y + bent_south, grid.x + bent_east
    for number in range(len(plan.advances)):
        parts = [component for component in plan.components if component.mine == number]
        plants = [component for component in parts if component.part == Part.PLANT] or parts[:1]
        for component in parts:
            if component.part in (Part.TAILINGS, Part.POND):
                continue  # pipelines lead there
            np.minimum(away, _distance(y, x, plants[0].centre, component.centre), out=away)
    # Below the first bench of a pit, the ramp leads on.
    outside = (mines.part != Part.PIT) | (mines.phase < 1)
    return (away < 0.5 * rng.uniform(*_ROAD_WIDTHS)) & outside


def _distance(y: Float, x: Float, start: tuple[float, float], end: tuple[float, float]) -> Float:
    """Distance to the line between two places (height, width)."""
    row, column = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
    length = max(float(row**2 + column**2), 1e-6)
    along = np.clip(((y - start[0]) * row + (x - start[1]) * column) / length, 0, 1)
    return np.hypot(y - start[0] - along * row, x - start[1] - along * column).astype(np.float32)
