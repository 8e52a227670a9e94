"""How a site's mines grow and are reclaimed from year to year."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .landscape import Grid, noise, polygons
from .mine_layout import LONG_AGO, NEVER, STRIP_MINES, Layout, lay_out
from .mines import FIRST_YEAR, Mines, Part
from .spectra import Float, LandCover

# Means over sites and years. The paper's Tables 2 and 3 give 19 % of the pixels, of which a year adds 2.8 %
# and takes 1.9 %, as drawn by annotators, whose wavering borders add and take a little themselves; a part of
# the loss is pits that are reclaimed as a whole.
_FOOTPRINT_SHARE, _FOOTPRINT_CONCENTRATION = 0.187, 30.0

_YEARLY_GAIN, _YEARLY_LOSS = 0.0250, 0.0143

# Land reclaimed before the first year, as a share of the footprint, over so many years.
_RECLAIMED_BEFORE, _YEARS_BEFORE = 0.12, 12

# A footprint never grows beyond this share of its scene.
_LARGEST_SHARE = 0.65


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
    return mines_and_layout(rng, grid, kind, last_year, year_stream)[0]


def mines_and_layout(
    rng: np.random.Generator,
    grid: Grid,
    kind: str,
    last_year: int,
    year_stream: Callable[[int], np.random.Generator],
) -> tuple[Mines, Layout]:
    """As `make_mines`, with the layout; `kind` may also be a type and a material, such as "open-pit coal"."""
    concentration = _FOOTPRINT_CONCENTRATION
    share = rng.beta(_FOOTPRINT_SHARE * concentration, (1 - _FOOTPRINT_SHARE) * concentration)
    size = float(np.sqrt(share * grid.area / np.pi)) + 1.0
    plan, distance = lay_out(rng, grid, kind, share, size)

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
    if kind in STRIP_MINES:
        phase = _strips(rng, plan, bench, phase)
    mines = Mines(
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
        ridges=0.8 if kind in STRIP_MINES else 0.0,
        vegetated=float(rng.uniform(-0.1, 0.7)),
        bench_height=float(rng.uniform(0.6, 1.5)),
    )
    return mines, plan


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
    # Closing makes no room: reclaimed land is not dug up again.
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
    plan: Layout,
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
    given_up = closes != NEVER

    opened = np.full(old.shape, NEVER, dtype=np.int16)
    opened[old] = LONG_AGO
    opening = np.where(old | given_up, np.inf, _opening_order(rng, plan, old, size))
    _spread(opened, opening, FIRST_YEAR + 1, gains)

    closed = np.full(old.shape, NEVER, dtype=np.int16)
    closing = np.where(~old | given_up, np.inf, _closing_order(rng, plan, size))
    earlier = np.diff(np.linspace(0, before, _YEARS_BEFORE + 1).round().astype(int)).tolist()
    _spread(closed, closing, FIRST_YEAR + 1 - _YEARS_BEFORE, earlier + losses)
    return opened, np.where(old, np.minimum(closed, closes), closed)


def _opening_order(rng: np.random.Generator, plan: Layout, old: NDArray[np.bool_], size: float) -> Float:
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


def _closing_order(rng: np.random.Generator, plan: Layout, size: float) -> Float:
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
    # All candidates are sorted, not only the chosen ones: with more years the first ones stay the same.
    nearest = np.argsort(flat, kind="stable")[:total]
    when = np.repeat(np.arange(first_year, first_year + len(counts)), counts)[:total]
    years.reshape(-1)[nearest] = when


def _strips(rng: np.random.Generator, plan: Layout, bench: Float, phase: Float) -> Float:
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


def _ramp(plan: Layout, phase: Float, depth: Float) -> NDArray[np.bool_]:
    """The haul road that winds down each pit, a turn or so from rim to floor."""
    south, east = plan.from_centre()
    circumference = np.float32(2 * np.pi) * np.maximum(np.hypot(south, east), 1)
    turn = np.arctan2(south, east) / np.float32(2 * np.pi)
    place = (turn + 1.2 * phase / np.maximum(depth, 1)) % 1
    return (place * circumference < 1.3) & (phase > 0)


def _plant_lots(rng: np.random.Generator, grid: Grid) -> NDArray[np.uint8]:
    """The cover of a mine's plant: yards, halls, stockpiles, some green (height, width)."""
    kinds = (LandCover.YARD, LandCover.MINE_BUILDING, LandCover.STOCKPILE, LandCover.VEGETATED_DUMP)
    lots = rng.choice(np.array(kinds, dtype=np.uint8), 256, p=[0.55, 0.17, 0.13, 0.15])
    return lots[polygons(rng, grid, 4.5)[0] * 7919 % 256]
