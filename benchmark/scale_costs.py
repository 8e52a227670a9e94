"""Lines through the measured costs of tiles, and the cost of whole continents by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from .scale_records import CellRecord

Term = Callable[[CellRecord], float]

YEARS = 10
BLOCK = 1024
"""The side of a block of the scenes' files in pixels."""

TILE = 10_980
"""The side of a Sentinel-2 tile in pixels."""

EU_SQUARE_KILOMETRES = 4_225_134
"""The area of the EU's 27 members (Eurostat, "Area by NUTS 3 region", 2023)."""


@dataclass(frozen=True)
class Line:
    """A cost as a sum of terms, fitted by least squares without negative coefficients.

    Attributes:
        name: Of the cost.
        unit: Such as "s".
        terms: The names of the terms.
        coefficients: The cost of one of each.
        measured: The measured costs.
        fitted: The line's.
    """

    name: str
    unit: str
    terms: tuple[str, ...]
    coefficients: tuple[float, ...]
    measured: tuple[float, ...]
    fitted: tuple[float, ...]

    @property
    def residuals(self) -> tuple[float, ...]:
        """Measured less fitted."""
        return tuple(found - line for found, line in zip(self.measured, self.fitted, strict=True))

    @property
    def determination(self) -> float:
        """The share of the variance that the line explains, R squared."""
        spread = np.var(self.measured)
        return float(1 - np.mean(np.square(self.residuals)) / spread) if spread else 1.0

    def at(self, values: Sequence[float]) -> float:
        """The cost of so many of each term."""
        return float(np.dot(self.coefficients, values))


def fitted_line(
    name: str,
    unit: str,
    terms: Mapping[str, Term],
    cost: Term,
    cells: Sequence[CellRecord],
) -> Line:
    """Fit a line through the costs of tiles.

    Args:
        name: Of the cost.
        unit: Such as "s".
        terms: The value of each term for a tile.
        cost: The cost of a tile.
        cells: The tiles, more than there are terms.
    """
    matrix = np.array([[term(cell) for term in terms.values()] for cell in cells], float)
    measured = np.array([cost(cell) for cell in cells], float)
    coefficients, _ = nnls(matrix, measured)
    return Line(
        name,
        unit,
        tuple(terms),
        tuple(map(float, coefficients)),
        tuple(map(float, measured)),
        tuple(map(float, matrix @ coefficients)),
    )


def blocks_at_corner(side: int) -> float:
    """The blocks of 10 m bands that a tile reads whose corner is that of a scene."""
    return math.ceil(side / BLOCK) ** 2


def blocks_anywhere(side: int) -> float:
    """The mean number of blocks that a tile at a random place reads."""
    return (1 + (side - 1) / BLOCK) ** 2


def lines(cells: Sequence[CellRecord]) -> dict[str, Line]:
    """The lines of all costs: processor seconds of the three steps, and megabytes read and stored."""
    tile: dict[str, Term] = {"tile": lambda cell: 1.0}
    block: dict[str, Term] = {"block and year": lambda cell: blocks_at_corner(cell.side) * cell.years}
    yearly: dict[str, Term] = {"megapixel and year": lambda cell: cell.megapixels * cell.years}
    paired: dict[str, Term] = {"megapixel and pair": lambda cell: cell.megapixels * cell.pair_count}
    once: dict[str, Term] = {"megapixel": lambda cell: cell.megapixels}
    plans: dict[str, tuple[str, dict[str, Term], Term]] = {
        "compose": ("s", {**block, **yearly}, lambda cell: cell.cost.compose.processor),
        "predict": ("s", {**tile, **once}, lambda cell: cell.cost.predict.processor),
        "series": ("s", {**tile, **yearly, **paired}, lambda cell: cell.cost.series.processor),
        "read": ("MB", block, lambda cell: cell.read_bytes / 1e6),
        "images": ("MB", {**tile, **yearly}, lambda cell: cell.cost.image_bytes / 1e6),
        "maps": ("MB", {**tile, **yearly, **paired}, lambda cell: cell.cost.map_bytes / 1e6),
    }
    return {name: fitted_line(name, unit, terms, cost, cells) for name, (unit, terms, cost) in plans.items()}


@dataclass(frozen=True)
class Scenario:
    """A plan.

    Attributes:
        name: In words.
        areas: The number of tiles.
        side: Of each in pixels of 10 m.
        pairs: The number of pairs of its ten years.
        blocks: The number of blocks that each reads of a 10 m band.
    """

    name: str
    areas: int
    side: int
    pairs: int
    blocks: float


@dataclass(frozen=True)
class ScenarioCost:
    """The cost of a plan.

    Attributes:
        scenario: The plan.
        compose: Core hours.
        series: Core hours.
        read: Gigabytes.
        images: Gigabytes stored.
        maps: Gigabytes stored.
    """

    scenario: Scenario
    compose: float
    series: float
    read: float
    images: float
    maps: float


def scenarios() -> list[Scenario]:
    """The EU, as 4,000 areas that cover it and as 4,000 whole tiles, and all known mines."""
    side = 2 * round((EU_SQUARE_KILOMETRES / 4000) ** 0.5 * 100 / 2)
    eu = f"EU, 4,000 areas of {side / 100:.1f} km that cover its {EU_SQUARE_KILOMETRES:,} km²"
    plans = [
        (eu, 4000, side, blocks_anywhere(side)),
        ("4,000 whole Sentinel-2 tiles of 109.8 km, eleven times the EU", 4000, TILE, blocks_at_corner(TILE)),
        ("45,000 known mines, a box of 5.12 km each", 45_000, 512, blocks_anywhere(512)),
    ]
    return [
        Scenario(name, areas, size, pairs, blocks)
        for name, areas, size, blocks in plans
        for pairs in (YEARS - 1, YEARS * (YEARS - 1) // 2)
    ]


def scenario_cost(scenario: Scenario, found: dict[str, Line]) -> ScenarioCost:
    """The cost of a plan over ten years, by the lines."""
    megapixels = scenario.side**2 / 1e6
    block, yearly = scenario.blocks * YEARS, megapixels * YEARS
    paired = (1.0, yearly, megapixels * scenario.pairs)
    hours, gigabytes = scenario.areas / 3600, scenario.areas / 1000
    return ScenarioCost(
        scenario,
        compose=hours * found["compose"].at((block, yearly)),
        series=hours * found["series"].at(paired),
        read=gigabytes * found["read"].at((block,)),
        images=gigabytes * found["images"].at((1.0, yearly)),
        maps=gigabytes * found["maps"].at(paired),
    )
