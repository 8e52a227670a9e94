"""The mines of a scene and their cover by year: benches, dumps, tailings, yards, reclaimed land."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .spectra import Float, LandCover

FIRST_YEAR = 2015
"""Footprints are anchored in this year, Sentinel-2's first; later years follow from it one by one."""


class Part(IntEnum):
    """The use of a component of a mine; ponds and heaps of overburden only in archives with components."""

    PIT = 0
    DUMP = 1
    TAILINGS = 2
    PLANT = 3
    POND = 4
    OVERBURDEN = 5


class Cover(NamedTuple):
    """The cover of a mine in one year (height, width), valid inside the footprint.

    `cover` are `LandCover` values; `tone` is brightness in standard deviations (strata of the rock);
    `relief` is height in steps of 10 m; `regrowth` is added to the share of plants.
    """

    cover: NDArray[np.uint8]
    tone: Float
    relief: Float
    regrowth: Float


class MineYears(Protocol):
    """Mines as a painter needs them: where they are in a year, and their cover."""

    def footprint(self, year: int) -> NDArray[np.bool_]:
        """Where the mine is in a year (height, width)."""

    def years_reclaimed(self, year: int) -> Float:
        """For how many years each pixel has been closed (height, width); negative while it has not."""

    def cover(self, rng: np.random.Generator, year: int) -> Cover:
        """The cover of every pixel of the footprint; `rng` is the year's own."""


@dataclass(frozen=True)
class Mines:
    """All mines of a scene: when each pixel opens and closes, and its cover in between.

    Arrays are (height, width) unless noted. `opened` and `closed` are years: a pixel belongs to the footprint
    from the year it opens up to the year before it closes. `part`, `radius` (0 in the middle, 1 on the
    border), `phase` (benches, counted from the border inwards), `depth` and `flooded` describe the component
    that owns the pixel. `patches` and `rough` are random surfaces, wide and narrow; `strata` (levels,) is the
    brightness of each bench's rock.
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
        """The cover of every pixel of the footprint; `rng` is the year's own."""
        pit_cover, pit_tone, pit_relief = self._pit(rng, year)
        dump_cover, dump_relief = self._dump(year)
        parts = [self.part == part for part in (Part.PIT, Part.DUMP, Part.TAILINGS)]
        cover = np.select(parts, [pit_cover, dump_cover, self._tailings(rng)], self.lots)
        tone = np.select(parts[:2], [pit_tone, 0.5 * self.rough])
        relief = np.select(parts[:2], [pit_relief, dump_relief])

        # Ground undisturbed for years turns green: rims, corners, old dumps.
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
