"""The components of a site's mines: pits, dumps, tailings ponds and yards, and the ground that each owns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .landscape import Grid, noise, superellipse
from .mines import FIRST_YEAR, Part
from .spectra import Float

MINE_KINDS = ("metals", "coal", "minerals", "quarry")
"""What is mined, in the order of the paper's Table 1."""

# One mine is about this large (in units of 100 m2) before a second one is likelier.
_MINE_AREA, _MOST_MINES = 35_000, 4

LONG_AGO, NEVER = 1900, np.iinfo(np.int16).max

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

# Mines of archives with components: the parts of each type, and those that a material adds. A removed
# summit has lobes along its ridge, and fills the valleys on both sides.
_TYPE_LAYOUTS: dict[str, list[tuple[Part, float, float, tuple[float, float], float, float]]] = {
    "open-pit": [
        (Part.PIT, 0.1, 0.0, (0.55, 0.68), 2.2, 1.0),
        (Part.DUMP, 0.95, 0.3, (0.38, 0.52), 2.5, 1.0),
        (Part.DUMP, 0.95, 0.58, (0.3, 0.42), 2.5, 0.6),
        (Part.PLANT, 0.85, -0.1, (0.17, 0.25), 8.0, 1.0),
    ],
    "opencast": [
        (Part.PIT, 0.2, 0.0, (1.0, 0.62), 3.2, 1.0),
        (Part.DUMP, 0.85, 0.5, (0.8, 0.42), 3.0, 1.0),
        (Part.OVERBURDEN, 1.0, 0.24, (0.24, 0.5), 3.0, 1.0),
        (Part.PLANT, 1.05, -0.25, (0.17, 0.28), 8.0, 1.0),
    ],
    "mountain-top": [
        (Part.PIT, 0.35, 0.0, (0.3, 0.62), 2.0, 1.0),
        (Part.PIT, 0.5, 0.5, (0.28, 0.5), 2.0, 1.0),
        (Part.PIT, 0.6, 0.17, (0.2, 0.38), 2.0, 0.7),
        (Part.DUMP, 0.75, 0.3, (0.5, 0.2), 2.2, 1.0),
        (Part.DUMP, 0.8, -0.28, (0.48, 0.18), 2.2, 1.0),
        (Part.PLANT, 1.05, 0.45, (0.13, 0.2), 8.0, 0.9),
    ],
}

_MATERIAL_LAYOUTS: dict[str, list[tuple[Part, float, float, tuple[float, float], float, float]]] = {
    "coal": [
        (Part.OVERBURDEN, 1.05, -0.4, (0.2, 0.32), 2.5, 0.7),
        (Part.POND, 1.1, -0.17, (0.09, 0.14), 6.0, 1.0),
        (Part.POND, 1.28, -0.16, (0.08, 0.12), 6.0, 0.6),
    ],
    "rock": [
        (Part.OVERBURDEN, 0.95, -0.38, (0.15, 0.24), 2.5, 0.6),
        (Part.POND, 1.05, -0.2, (0.09, 0.13), 6.0, 0.7),
    ],
    "metal": [
        (Part.TAILINGS, 1.2, -0.27, (0.42, 0.55), 5.0, 0.9),
        (Part.POND, 1.05, 0.08, (0.09, 0.15), 6.0, 0.8),
        (Part.POND, 1.22, 0.09, (0.09, 0.13), 6.0, 0.5),
    ],
}

# How often a pit holds a lake, and how many benches it has at most.
_FLOODED = {"coal": 0.2, "metals": 0.35, "minerals": 0.8, "quarry": 0.3}

_BENCHES = {"coal": (5, 9), "metals": (6, 12), "minerals": (3, 6), "quarry": (4, 9)}

STRIP_MINES = frozenset({"coal", *(f"opencast {material}" for material in _MATERIAL_LAYOUTS)})
"""Kinds of mines that are dug strip by strip along a front."""

# How far outlines follow the ground, in radii of the mine.
_WARP, _WARP_ON_SUMMITS = 0.16, 0.3

for _material, _parts in _MATERIAL_LAYOUTS.items():
    for _type, (_flooded, _benches) in {
        "open-pit": (0.3, (6, 11)),
        "opencast": (0.2, (5, 9)),
        "mountain-top": (0.0, (1, 3)),
    }.items():
        _LAYOUTS[f"{_type} {_material}"] = _TYPE_LAYOUTS[_type] + _parts
        _FLOODED[f"{_type} {_material}"], _BENCHES[f"{_type} {_material}"] = _flooded, _benches

# Benches narrower than this (in steps of 10 m) are lost to the instrument.
_NARROWEST_BENCH, _WIDEST_BENCH = 2.6, 10.0


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
    closes: int = NEVER


class Advance(NamedTuple):
    """The centre of a mine (y, x) and the direction in which it moves (from east to south)."""

    centre: tuple[float, float]
    angle: float


@dataclass(frozen=True)
class Layout:
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


def lay_out(
    rng: np.random.Generator, grid: Grid, kind: str, share: float, size: float
) -> tuple[Layout, Float]:
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

    warp_of_kind = _WARP_ON_SUMMITS if kind.startswith("mountain-top") else _WARP
    south, east = (warp_of_kind * size * noise(rng, grid, size, 5.0) for _ in range(2))
    nearest = np.full(grid.shape, np.inf, dtype=np.float32)
    owner = np.zeros(grid.shape, dtype=np.intp)
    for number, component in enumerate(components):
        # Dams and yards are built straight; pits and dumps follow the ground.
        warp = 0.25 if component.part in (Part.TAILINGS, Part.PLANT, Part.POND) else 1.0
        y, x = grid.y + warp * south, grid.x + warp * east
        radius_here = superellipse(y, x, component.centre, component.angle, component.half, component.power)
        closer = radius_here < nearest
        nearest = np.where(closer, radius_here, nearest)
        owner[closer] = number
    return Layout(grid, components, advances, owner), nearest


def _components(
    rng: np.random.Generator, kind: str, mine: int, advance: Advance, size: float
) -> list[Component]:
    """One mine in the layout of its kind, with every length and angle varied a little."""
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
    """A small pit some way off; about half are abandoned and reclaimed as a whole."""
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
        closes=int(rng.integers(FIRST_YEAR + 1, FIRST_YEAR + 10)) if rng.random() < 0.5 else NEVER,
    )
