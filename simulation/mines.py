"""A simulated mine: pits in benches, dumps, tailings ponds and yards, and how they move over the years."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .landscape import Grid, noise, polygons, superellipse
from .spectra import Float, LandCover

FIRST_YEAR = 2015
"""Footprints are anchored in this year, Sentinel-2's first; later years follow from it one by one."""

MINE_KINDS = ("metals", "coal", "minerals", "quarry")
"""What is mined, in the order of the paper's Table 1."""

# Means over sites and years. The paper's Tables 2 and 3 give 19 % of the pixels, of which a year adds 2.8 %
# and takes 1.9 %, as drawn by annotators, whose wavering borders add and take a little themselves; a part of
# the loss is pits that are reclaimed as a whole.
_FOOTPRINT_SHARE, _FOOTPRINT_CONCENTRATION = 0.187, 30.0
_YEARLY_GAIN, _YEARLY_LOSS = 0.0250, 0.0143
# Land reclaimed before the first year, as a share of the footprint, over so many years.
_RECLAIMED_BEFORE, _YEARS_BEFORE = 0.12, 12
# A footprint never grows beyond this share of its scene.
_LARGEST_SHARE = 0.65
# One mine is about this large (in units of 100 m2) before a second one is likelier.
_MINE_AREA, _MOST_MINES = 35_000, 4
_LONG_AGO, _NEVER = 1900, np.iinfo(np.int16).max


class Part(IntEnum):
    """What a component of a mine is for."""

    PIT = 0
    DUMP = 1
    TAILINGS = 2
    PLANT = 3


class Component(NamedTuple):
    """One part of one mine; lengths in steps of 10 m.

    `half` are the half axes across and along `angle`, `power` squares the outline; `bench` is the width of a
    bench, `depth` how many there are; `flooded` is the share of a pit's radius that water covers; `closes` is
    the year in which the whole component is reclaimed.
    """

    part: Part
    mine: int
    centre: tuple[float, float]
    angle: float
    half: tuple[float, float]
    power: float
    bench: float
    depth: float
    flooded: float = 0.0
    closes: int = _NEVER


class Advance(NamedTuple):
    """The centre of a mine (y, x) and the direction in which it moves (from east to south)."""

    centre: tuple[float, float]
    angle: float


class Cover(NamedTuple):
    """What a mine shows in one year (height, width), valid inside the footprint.

    `cover` are `LandCover` values; `tone` is brightness in standard deviations (strata of the rock);
    `relief` is height in steps of 10 m; `regrowth` is added to the share of plants.
    """

    cover: NDArray[np.uint8]
    tone: Float
    relief: Float
    regrowth: Float


@dataclass(frozen=True)
class Mines:
    """All mines of a scene: when each pixel opens and closes, and what it shows meanwhile.

    Arrays are (height, width) unless said otherwise. `opened` and `closed` are years: a pixel belongs to the
    footprint from the year it opens up to the year before it closes. `part`, `radius` (0 in the middle, 1 on
    the border) and `phase` (benches, counted from the border inwards) tell of the component that owns the
    pixel; so do `depth` and `flooded`. `patches` and `rough` are random surfaces, wide and narrow; `strata`
    (levels,) is how bright the rock of each bench is.
    """

    opened: NDArray[np.int16]
    closed: NDArray[np.int16]
    part: NDArray[np.uint8]
    radius: Float
    phase: Float
    depth: Float
    flooded: Float
    ramp: NDArray[np.bool_]
    lots: NDArray[np.uint8]
    patches: Float
    rough: Float
    strata: Float
    ridges: float
    vegetated: float
    bench_height: float

    def footprint(self, year: int) -> NDArray[np.bool_]:
        """Where the mine is in a year (height, width)."""
        return (self.opened <= year) & (year < self.closed)

    def years_reclaimed(self, year: int) -> Float:
        """For how many years each pixel has been closed (height, width); negative while it has not."""
        return (year - self.closed).astype(np.float32)

    def cover(self, rng: np.random.Generator, year: int) -> Cover:
        """What every pixel of the footprint shows; `rng` is the year's own."""
        pit_cover, pit_tone, pit_relief = self._pit(rng, year)
        dump_cover, dump_relief = self._dump(year)
        parts = [self.part == part for part in (Part.PIT, Part.DUMP, Part.TAILINGS)]
        cover = np.select(parts, [pit_cover, dump_cover, self._tailings(rng)], self.lots)
        tone = np.select(parts[:2], [pit_tone, 0.5 * self.rough])
        relief = np.select(parts[:2], [pit_relief, dump_relief])

        # Ground that nobody has driven over for years turns green: rims, corners, old dumps.
        idle = (self.patches > self._idle_limit(year)) & (year - self.opened > 2)
        cover[idle & (self.part != Part.TAILINGS) & (cover != LandCover.PIT_WATER)] = LandCover.VEGETATED_DUMP
        regrowth = np.where(cover == LandCover.VEGETATED_DUMP, 0.2 * self.rough, 0)
        return Cover(cover, tone.astype(np.float32), relief.astype(np.float32), regrowth)

    def _idle_limit(self, year: int) -> Float:
        """Above which value of `patches` a pixel is green: lower on dumps, towards the border, with time."""
        on_dump = np.where(self.part == Part.DUMP, np.float32(1.7), np.float32(0))
        at_rim = 0.8 * np.clip((self.radius - 0.8) / 0.3, 0, 1)
        return 2.1 - self.vegetated - on_dump - at_rim - 0.03 * (year - FIRST_YEAR)

    def _pit(self, rng: np.random.Generator, year: int) -> tuple[NDArray[np.uint8], Float, Float]:
        """Benches down to a floor, a ramp that winds along them, water at the bottom."""
        # Benches move as they are worked.
        working = self.phase + 0.35 * (year - FIRST_YEAR)
        level = np.floor(working)
        floor = working > self.depth
        cover = np.where(floor, LandCover.PIT_FLOOR, LandCover.BENCH).astype(np.uint8)
        cover[self.ramp & ~floor] = LandCover.HAUL_ROAD
        cover[floor & (self.patches < -1.5)] = LandCover.STOCKPILE
        cover[self.radius + 0.015 * self.rough < self.flooded * rng.uniform(0.85, 1.15)] = LandCover.PIT_WATER

        ridges = self.ridges * np.sin(np.float32(np.pi) * working)
        strata = self.strata[level.astype(np.int32) % len(self.strata)]
        tone = np.where(floor, 0.4 * self.rough + ridges, strata)
        depth = np.where(floor, self.depth - 0.6 * ridges, _stairs(working))
        return cover, tone, -self.bench_height * depth

    def _dump(self, year: int) -> tuple[NDArray[np.uint8], Float]:
        """Terraces up to a flat top, with heaps on it; other rock where it was tipped."""
        terrace = 0.45 * self.phase
        cover = np.full(self.part.shape, LandCover.DUMP, dtype=np.uint8)
        cover[(self.rough > 1.1) & (year - self.opened > 1)] = LandCover.STOCKPILE
        cover[(terrace % 1 < 0.12) & (terrace < 3) & (self.patches > 0)] = LandCover.HAUL_ROAD
        return cover, self.bench_height * (1.5 * np.clip(_stairs(terrace), 0, 5) + 0.35 * self.rough)

    def _tailings(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A dam around a pale beach that slopes into wet mud and a pond."""
        wetness = self.patches + 0.25 * self.rough - 1.2 * self.radius + rng.normal(0, 0.25)
        cover = np.full(self.part.shape, LandCover.TAILINGS, dtype=np.uint8)
        cover[wetness > 0.0] = LandCover.WET_TAILINGS
        cover[wetness > 0.7] = LandCover.PIT_WATER
        cover[(self.radius > 0.92) & (self.radius < 1.02)] = LandCover.HAUL_ROAD
        return cover


def _stairs(phase: Float) -> Float:
    """Height of a flight of benches, each flat for two thirds of its width and then one step up."""
    level = np.floor(phase)
    return level + np.clip((phase - level - 0.62) / 0.38, 0, 1)


def make_mines(
    rng: np.random.Generator,
    grid: Grid,
    kind: str,
    last_year: int,
    year_stream: Callable[[int], np.random.Generator],
) -> Mines:
    """Lay out the mines of one site and their growth up to `last_year`.

    Args:
        rng: The site's own stream.
        grid: The scene.
        kind: One of `MINE_KINDS`.
        last_year: Footprints are known from `FIRST_YEAR` to this year.
        year_stream: Gives each year a stream of its own, so that a year's change depends on no later year.
    """
    concentration = _FOOTPRINT_CONCENTRATION
    share = rng.beta(_FOOTPRINT_SHARE * concentration, (1 - _FOOTPRINT_SHARE) * concentration)
    size = float(np.sqrt(share * grid.area / np.pi)) + 1.0
    plan, distance = _lay_out(rng, grid, kind, share, size)

    started = round(share * grid.height * grid.width)
    before = round(_RECLAIMED_BEFORE * rng.uniform(0, 2) * started)
    order = distance + 0.05 * noise(rng, grid, 0.4 * size, 4.4)
    old = _first(order, started + before)
    opened, closed = _history(rng, plan, old, before, size, _pace(rng, grid, started, last_year, year_stream))

    # 1 is where the footprint ends; counted from there, benches follow the components' outlines.
    border = float(np.max(order, where=old, initial=1e-3))
    radius = distance / border
    bench = plan.of_pixel(component.bench for component in plan.components)
    depth = plan.of_pixel(component.depth for component in plan.components)
    half = plan.of_pixel(min(component.half) for component in plan.components)
    phase: Float = (1 - radius) * half * border / bench
    if kind == "coal":
        phase = _strips(rng, plan, bench, phase)
    return Mines(
        opened=opened,
        closed=closed,
        part=plan.part,
        radius=radius,
        phase=phase,
        depth=depth,
        flooded=plan.of_pixel(component.flooded for component in plan.components),
        ramp=_ramp(plan, phase, depth),
        lots=_plant_lots(rng, grid),
        patches=noise(rng, grid, 0.4 * size, 4.2),
        rough=noise(rng, grid, 9, 3.4),
        strata=0.9 * rng.standard_normal(24, dtype=np.float32),
        ridges=0.8 if kind == "coal" else 0.0,
        vegetated=float(rng.uniform(-0.1, 0.7)),
        bench_height=float(rng.uniform(0.6, 1.5)),
    )


@dataclass(frozen=True)
class _Plan:
    """The components of a site's mines, and which of them owns each pixel (height, width)."""

    grid: Grid
    components: list[Component]
    advances: list[Advance]
    owner: NDArray[np.intp]

    def of_pixel(self, values: Iterable[float]) -> Float:
        """One value per component -> the value of each pixel's owner (height, width)."""
        return np.array(list(values), dtype=np.float32)[self.owner]

    @property
    def part(self) -> NDArray[np.uint8]:
        """The `Part` of each pixel's owner (height, width)."""
        return np.array([component.part for component in self.components], dtype=np.uint8)[self.owner]

    @property
    def mine(self) -> NDArray[np.intp]:
        """The mine of each pixel (height, width)."""
        return np.array([component.mine for component in self.components])[self.owner]

    def from_centre(self) -> tuple[Float, Float]:
        """How far south and east each pixel lies of the middle of its owner (height, width)."""
        row = self.of_pixel(component.centre[0] for component in self.components)
        column = self.of_pixel(component.centre[1] for component in self.components)
        return self.grid.y - row, self.grid.x - column


# Components by kind of mine: part, how far from the centre (in radii of the mine), in which direction from
# the advance (turns), half axes (radii), power of the outline, probability.
_LAYOUTS: dict[str, list[tuple[Part, float, float, tuple[float, float], float, float]]] = {
    "coal": [
        (Part.PIT, 0.25, 0.0, (0.95, 0.55), 3.0, 1.0),
        (Part.DUMP, 0.65, 0.5, (0.85, 0.6), 3.0, 1.0),
        (Part.DUMP, 1.15, 0.27, (0.4, 0.55), 2.5, 0.6),
        (Part.PLANT, 1.1, -0.25, (0.2, 0.3), 8.0, 0.9),
    ],
    "metals": [
        (Part.PIT, 0.1, 0.0, (0.5, 0.62), 2.0, 1.0),
        (Part.DUMP, 0.95, 0.22, (0.38, 0.55), 2.5, 1.0),
        (Part.DUMP, 0.95, 0.55, (0.35, 0.45), 2.5, 0.7),
        (Part.TAILINGS, 1.15, -0.25, (0.45, 0.6), 5.0, 0.75),
        (Part.PLANT, 0.75, -0.08, (0.16, 0.24), 8.0, 1.0),
    ],
    "minerals": [
        (Part.PIT, 0.5, 0.0, (0.5, 0.6), 2.5, 1.0),
        (Part.PIT, 0.65, 0.4, (0.4, 0.5), 2.5, 0.9),
        (Part.DUMP, 0.8, -0.3, (0.3, 0.4), 2.5, 0.9),
        (Part.TAILINGS, 1.0, 0.2, (0.28, 0.36), 5.0, 0.4),
        (Part.PLANT, 0.4, -0.2, (0.18, 0.24), 8.0, 1.0),
    ],
    "quarry": [
        (Part.PIT, 0.15, 0.0, (0.7, 0.85), 2.4, 1.0),
        (Part.PIT, 1.0, 0.4, (0.35, 0.5), 2.4, 0.4),
        (Part.DUMP, 0.9, 0.6, (0.32, 0.45), 2.5, 0.9),
        (Part.PLANT, 0.85, -0.2, (0.2, 0.28), 8.0, 1.0),
    ],
}
# How often a pit holds a lake, and how many benches it has at most.
_FLOODED = {"coal": 0.2, "metals": 0.35, "minerals": 0.8, "quarry": 0.3}
_BENCHES = {"coal": (5, 9), "metals": (6, 12), "minerals": (3, 6), "quarry": (4, 9)}
# Benches narrower than this (in steps of 10 m) are lost to the instrument.
_NARROWEST_BENCH, _WIDEST_BENCH = 2.6, 10.0


def _lay_out(
    rng: np.random.Generator, grid: Grid, kind: str, share: float, size: float
) -> tuple[_Plan, Float]:
    """Place mines that cover about `share` of the scene; also each pixel's radius in its owner."""
    area = share * grid.area
    many = int(np.clip(round(area / _MINE_AREA + rng.uniform(-0.3, 0.6)), 1, _MOST_MINES))
    margin = 0.3 if many == 1 else 0.15
    components: list[Component] = []
    advances: list[Advance] = []
    for mine, part in enumerate(rng.dirichlet(np.full(many, 6.0)) * area):
        row, column = rng.uniform(margin, 1 - margin, 2) * grid.extent
        advance = Advance((row, column), rng.uniform(0, 2 * np.pi))
        radius = float(np.sqrt(part / np.pi)) + 0.1
        advances.append(advance)
        components += _components(rng, kind, mine, advance, radius)
        if rng.random() < 0.4:
            components.append(_satellite(rng, grid, mine, advance, radius))

    south, east = (0.16 * size * noise(rng, grid, size, 5.0) for _ in range(2))
    nearest = np.full(grid.shape, np.inf, dtype=np.float32)
    owner = np.zeros(grid.shape, dtype=np.intp)
    for number, component in enumerate(components):
        # Dams and yards are built straight; pits and dumps follow the ground.
        warp = 0.25 if component.part in (Part.TAILINGS, Part.PLANT) else 1.0
        y, x = grid.y + warp * south, grid.x + warp * east
        radius_here = superellipse(y, x, component.centre, component.angle, component.half, component.power)
        closer = radius_here < nearest
        nearest = np.where(closer, radius_here, nearest)
        owner[closer] = number
    return _Plan(grid, components, advances, owner), nearest


def _components(
    rng: np.random.Generator, kind: str, mine: int, advance: Advance, size: float
) -> list[Component]:
    """One mine laid out after its kind, with every length and angle moved a little."""
    components = []
    for part, away, turn, half, power, probability in _LAYOUTS[kind]:
        if rng.random() > probability:
            continue
        bearing = advance.angle + 2 * np.pi * (turn + 0.05 * rng.normal())
        far = size * away * rng.uniform(0.85, 1.2)
        across, along = np.array(half) * size * np.exp(0.18 * rng.normal(size=2))
        # Benches fill a pit but for its floor.
        slope = min(half) * size * rng.uniform(0.6, 0.85)
        bench = float(np.clip(slope / rng.uniform(*_BENCHES[kind]), _NARROWEST_BENCH, _WIDEST_BENCH))
        components.append(
            Component(
                part=part,
                mine=mine,
                centre=(
                    advance.centre[0] + far * np.sin(bearing),
                    advance.centre[1] + far * np.cos(bearing),
                ),
                angle=advance.angle + 0.2 * rng.normal(),
                half=(across, along),
                power=power,
                bench=bench,
                depth=slope / bench,
                flooded=rng.uniform(0.25, 0.6) if rng.random() < _FLOODED[kind] else 0.0,
            )
        )
    return components


def _satellite(rng: np.random.Generator, grid: Grid, mine: int, advance: Advance, size: float) -> Component:
    """A small pit some way off; about half of them are given up and reclaimed as a whole."""
    bearing, far = rng.uniform(0, 2 * np.pi), size * rng.uniform(1.6, 2.4)
    place = np.array(advance.centre) + far * np.array([np.sin(bearing), np.cos(bearing)])
    row, column = np.clip(place, 0.05 * np.array(grid.extent), 0.95 * np.array(grid.extent))
    across, along = size * rng.uniform(0.18, 0.32, 2)
    bench = float(np.clip(size / 18, _NARROWEST_BENCH, 6.0))
    return Component(
        part=Part.PIT,
        mine=mine,
        centre=(row, column),
        angle=rng.uniform(0, np.pi),
        half=(across, along),
        power=2.4,
        bench=bench,
        depth=rng.uniform(1, 4),
        flooded=rng.uniform(0.3, 0.7) if rng.random() < 0.3 else 0.0,
        closes=int(rng.integers(FIRST_YEAR + 1, FIRST_YEAR + 10)) if rng.random() < 0.5 else _NEVER,
    )


def _first(order: Float, count: int) -> NDArray[np.bool_]:
    """The `count` pixels of the smallest `order`."""
    chosen = np.zeros(order.size, dtype=bool)
    count = min(count, order.size)
    if count > 0:
        chosen[np.argpartition(order.ravel(), count - 1)[:count]] = True
    return chosen.reshape(order.shape)


def _pace(
    rng: np.random.Generator,
    grid: Grid,
    started: int,
    last_year: int,
    year_stream: Callable[[int], np.random.Generator],
) -> tuple[list[int], list[int]]:
    """Pixels that open and that close in each year after the first.

    Sites differ in how fast they move, and no site moves at the same pace every year.
    """
    quick_gain, quick_loss = np.exp(rng.normal(-0.5 * 0.4**2, 0.4, 2))
    # What closes makes no room: reclaimed land is not dug up again.
    room = max(0, int(_LARGEST_SHARE * grid.height * grid.width) - started)
    area = started
    gains, losses = [], []
    for year in range(FIRST_YEAR + 1, last_year + 1):
        this_gain, this_loss = year_stream(year).gamma(2.5, 1 / 2.5, 2)
        gains.append(min(round(area * _YEARLY_GAIN * quick_gain * this_gain), room))
        losses.append(round(area * _YEARLY_LOSS * quick_loss * this_loss))
        area += gains[-1] - losses[-1]
        room -= gains[-1]
    return gains, losses


def _history(
    rng: np.random.Generator,
    plan: _Plan,
    old: NDArray[np.bool_],
    before: int,
    size: float,
    pace: tuple[list[int], list[int]],
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """The years in which each pixel opens and closes (height, width).

    Args:
        rng: The site's own stream.
        plan: Its mines.
        old: Open before the first year, including what closed by then.
        before: How many pixels closed by then.
        size: Radius of a circle of the footprint's area.
        pace: Pixels that open and that close in each year after the first.
    """
    gains, losses = pace
    closes = np.array([component.closes for component in plan.components], dtype=np.int16)[plan.owner]
    given_up = closes != _NEVER

    opened = np.full(old.shape, _NEVER, dtype=np.int16)
    opened[old] = _LONG_AGO
    opening = np.where(old | given_up, np.inf, _opening_order(rng, plan, old, size))
    _spread(opened, opening, FIRST_YEAR + 1, gains)

    closed = np.full(old.shape, _NEVER, dtype=np.int16)
    closing = np.where(~old | given_up, np.inf, _closing_order(rng, plan, size))
    earlier = np.diff(np.linspace(0, before, _YEARS_BEFORE + 1).round().astype(int)).tolist()
    _spread(closed, closing, FIRST_YEAR + 1 - _YEARS_BEFORE, earlier + losses)
    return opened, np.where(old, np.minimum(closed, closes), closed)


def _opening_order(rng: np.random.Generator, plan: _Plan, old: NDArray[np.bool_], size: float) -> Float:
    """New ground opens along the fronts: the nearest first, and before others in the advance's direction."""
    grid = plan.grid
    advance = np.array([(*advance.centre, advance.angle) for advance in plan.advances], dtype=np.float32)
    row, column, angle = np.moveaxis(advance[plan.mine], -1, 0)
    south, east = grid.y - row, grid.x - column
    forward = (east * np.cos(angle) + south * np.sin(angle)) / (np.hypot(south, east) + 1)
    # The head start of some fronts changes slowly enough along the ground that hardly any island opens
    # before the land between it and the mine.
    head_start = size * (0.2 * forward + 0.11 * noise(rng, grid, size, 5.0))
    distance = ndimage.distance_transform_edt(~old, sampling=(1.0, grid.aspect)).astype(np.float32)
    return distance - head_start


def _closing_order(rng: np.random.Generator, plan: _Plan, size: float) -> Float:
    """Closed ground spreads from two places at the back of each mine; yards and ponds close last."""
    grid, mine = plan.grid, plan.mine
    distance = np.full(grid.shape, np.inf, dtype=np.float32)
    for number, advance in enumerate(plan.advances):
        for _ in range(2):
            bearing = advance.angle + np.pi + rng.normal(0, 0.9)
            far = size / np.sqrt(len(plan.advances)) * rng.uniform(0.7, 1.2)
            south = grid.y - np.float32(advance.centre[0] + far * np.sin(bearing))
            east = grid.x - np.float32(advance.centre[1] + far * np.cos(bearing))
            distance = np.where(mine == number, np.minimum(distance, np.hypot(south, east)), distance)
    late = (plan.part == Part.PLANT) | (plan.part == Part.TAILINGS)
    return distance * np.exp(0.35 * noise(rng, grid, 0.5 * size, 4.4)) * np.where(late, np.float32(4), 1)


def _spread(years: NDArray[np.int16], order: Float, first_year: int, counts: list[int]) -> None:
    """Write years into `years`: the `counts[0]` pixels of least finite `order` get the first, and so on."""
    flat = order.ravel()
    total = min(sum(counts), int(np.isfinite(flat).sum()))
    if total == 0:
        return
    # All that could be chosen is sorted, not only what is: with more years the first ones stay as they were.
    nearest = np.argsort(flat, kind="stable")[:total]
    when = np.repeat(np.arange(first_year, first_year + len(counts)), counts)[:total]
    years.reshape(-1)[nearest] = when


def _strips(rng: np.random.Generator, plan: _Plan, bench: Float, phase: Float) -> Float:
    """Benches of a strip mine: along its front, with ridges of spoil behind the deepest cut."""
    grid = plan.grid
    angles = [plan.advances[component.mine].angle for component in plan.components]
    angle = plan.of_pixel(angles)
    front = plan.of_pixel(
        component.centre[1] * np.cos(angle) + component.centre[0] * np.sin(angle) + component.half[1]
        for component, angle in zip(plan.components, angles, strict=True)
    )
    behind = front - (grid.x * np.cos(angle) + grid.y * np.sin(angle))
    bent = behind / bench + 2.0 * noise(rng, grid, 60, 5.0)
    return np.where(plan.part == Part.PIT, bent, phase)


def _ramp(plan: _Plan, phase: Float, depth: Float) -> NDArray[np.bool_]:
    """The haul road that winds down each pit, a turn or so from rim to floor."""
    south, east = plan.from_centre()
    circumference = np.float32(2 * np.pi) * np.maximum(np.hypot(south, east), 1)
    turn = np.arctan2(south, east) / np.float32(2 * np.pi)
    place = (turn + 1.2 * phase / np.maximum(depth, 1)) % 1
    return (place * circumference < 1.3) & (phase > 0)


def _plant_lots(rng: np.random.Generator, grid: Grid) -> NDArray[np.uint8]:
    """What stands where a mine has its plant: yards, halls, stockpiles, some green (height, width)."""
    kinds = (LandCover.YARD, LandCover.MINE_BUILDING, LandCover.STOCKPILE, LandCover.VEGETATED_DUMP)
    lots = rng.choice(np.array(kinds, dtype=np.uint8), 256, p=[0.55, 0.17, 0.13, 0.15])
    return lots[polygons(rng, grid, 4.5)[0] * 7919 % 256]
