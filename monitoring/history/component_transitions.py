"""Transitions between components: hectares that turned from one class to another between two years.

Each group has a table of its own. Components of different groups overlap, so that excavation turning into a
dumping ground shows in no single group; one more table therefore follows the visible component of each pixel,
the one of the last group that has any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from euromine.dataset_script.label_groups import UNKNOWN, LabelGroups
from euromine.support.errors import ArgumentError
from euromine.support.ground_areas import HECTARE

from .area_series import ground_areas, known_hectares
from .component_areas import NO_COMPONENT
from .transition_errors import TransitionCounts, adjusted_transitions

if TYPE_CHECKING:
    from euromine.monitoring.scenes.grids import Grid

Maps = NDArray[np.uint8]

VISIBLE = "visible component"
"""The table of the visible components, named as no group can be."""

# Bytes of maps that are compared at once.
_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class ComponentTransition:
    """Ground that changed from one component to another, or stayed: a row of `component_transitions.csv`.

    Attributes:
        site: The site's name.
        year_1: The earlier year.
        year_2: The later year.
        group: The group of labels, or "visible component" for all groups but the total.
        from_component: The component in the earlier year, "none" without one.
        to_component: The component in the later year.
        pixels: Their number.
        area_ha: Their area on the ground in hectares.
        adjusted_ha: The error-adjusted estimate; None without known errors of the model on this transition.
        low_ha: Lower end of its 95 % interval; None where there is none.
        high_ha: Upper end.
    """

    site: str
    year_1: int
    year_2: int
    group: str
    from_component: str
    to_component: str
    pixels: int
    area_ha: float
    adjusted_ha: float | None = None
    low_ha: float | None = None
    high_ha: float | None = None


def component_transitions(
    maps: NDArray[Any] | Iterable[Maps],
    years: Sequence[int],
    groups: LabelGroups,
    grid: Grid,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    annotated: Iterable[str] | None = None,
    site: str = "",
    errors: Mapping[str, Mapping[int, TransitionCounts]] | None = None,
) -> list[ComponentTransition]:
    """The ground that turned from one component to another between any two years.

    Args:
        maps: Class maps uint8 (years, groups, height, width) in the order of `groups.names`, as
            `LabelGroups.maps` makes them for each year; or their blocks of rows from the top; or class bits
            uint16 (years, height, width), as in an archive's `components/Year*.tif`.
        years: The years, ascending.
        groups: The groups of the maps, or the groups to make of the bits.
        grid: The maps' grid: areas are those on the ellipsoid.
        pairs: The pairs of years, the earlier first; all by default.
        annotated: With bits, the classes that were annotated; all by default.
        site: The site's name.
        errors: By group and interval in years, the errors of the model that made the maps.

    Returns:
        Rows by pair, group, earlier and later component, for transitions that occur. In a group they add up
        to the ground that is known in both years. Ground that stayed as it was is a row of its own.

    Raises:
        ArgumentError: The years do not ascend, or a pair is not of them.
        GridError: The grid has no coordinate system, or is in degrees and rotated.
        ValueError: The maps do not fit the years, the groups or the grid, or hold other values.
    """
    chosen = list(combinations(years, 2)) if pairs is None else [(int(a), int(b)) for a, b in pairs]
    places = _places(years, chosen)
    names = _class_names(groups)
    tables = [
        {group: np.zeros((2, len(classes), len(classes))) for group, classes in names.items()} for _ in places
    ]
    ground, top = ground_areas(grid), 0
    for block in _blocks(maps, groups, annotated):
        _check(block, len(years), groups, grid, top)
        areas = ground.pixels(top, block.shape[2])
        stacks = _stacks(block, groups, names)
        for table, (first, second) in zip(tables, places, strict=True):
            for group, stack in stacks.items():
                table[group] += _flows(stack[first], stack[second], areas, len(names[group]))
        top += block.shape[2]
    if top != grid.height:
        raise ValueError(f"maps: found {top} rows; expected {grid.height} like the grid.")
    return [
        ComponentTransition(site, *pair, group, *row)
        for pair, table in zip(chosen, tables, strict=True)
        for group, flows in table.items()
        for row in _rows(flows, names[group], (errors or {}).get(group, {}).get(pair[1] - pair[0]))
    ]


def visible_components(maps: Maps, groups: LabelGroups) -> Maps:
    """The visible component of each pixel: that of the last group with one, as a map shows it.

    Args:
        maps: (groups, ..., height, width), as `LabelGroups.maps` makes them.
        groups: The groups; the total is left out.

    Returns:
        (..., height, width) uint8: 0 none; n the n-th class of all groups one after another; 255 where a
        group is unknown and no later one has a class.
    """
    visible = np.zeros(maps.shape[1:], np.uint8)
    before = 0
    for name, values in zip(groups.names, maps, strict=True):
        if name == groups.total:
            continue
        table = np.zeros(UNKNOWN + 1, np.uint8)
        classes = len(groups.groups[name])
        table[1 : classes + 1] = np.arange(before + 1, before + classes + 1)
        table[UNKNOWN] = UNKNOWN
        np.copyto(visible, table[values], where=values > 0)
        before += classes
    return visible


def visible_names(groups: LabelGroups) -> list[str]:
    """The classes of `visible_components` in the order of their values, the first "none"."""
    return [NO_COMPONENT, *(each for classes in groups.groups.values() for each in classes)]


def _class_names(groups: LabelGroups) -> dict[str, list[str]]:
    """The classes of each table by value."""
    names = {group: [NO_COMPONENT, *classes] for group, classes in groups.classes.items()}
    return {**names, VISIBLE: visible_names(groups)} if groups.groups else names


def _places(years: Sequence[int], pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pairs of years as pairs of places among the years."""
    if list(years) != sorted(set(years)):
        raise ArgumentError(f"years: found {list(years)}; expected ascending ones without repetition.")
    for first, second in pairs:
        if first not in years or second not in years or first >= second:
            raise ArgumentError(
                f"pairs: found {first} and {second}; expected two of {', '.join(map(str, years))}, the "
                "earlier first."
            )
    places = {year: place for place, year in enumerate(years)}
    return [(places[first], places[second]) for first, second in pairs]


def _blocks(
    maps: NDArray[Any] | Iterable[Maps], groups: LabelGroups, annotated: Iterable[str] | None
) -> Iterator[Maps]:
    """Blocks of rows (years, groups, rows, width)."""
    if not isinstance(maps, np.ndarray):
        yield from maps
        return
    known = None if annotated is None else tuple(annotated)
    if maps.ndim == 3 and maps.dtype != np.uint8:
        for rows in _row_slices(maps, len(groups.names)):
            yield np.moveaxis(groups.maps(maps[:, rows], known), 0, 1)
        return
    if maps.ndim != 4:
        raise ValueError(
            f"maps: found {maps.dtype} {maps.shape}; expected class maps uint8 (years, groups, height, "
            "width), or bits uint16 (years, height, width)."
        )
    for rows in _row_slices(maps, 1):
        yield maps[:, :, rows]


def _row_slices(maps: NDArray[Any], factor: int) -> list[slice]:
    height = maps.shape[-2]
    per_row = max(1, maps.size // max(height, 1) * factor)
    step = max(1, _BLOCK_BYTES // per_row)
    return [slice(top, top + step) for top in range(0, height, step)]


def _check(block: Maps, years: int, groups: LabelGroups, grid: Grid, top: int) -> None:
    number = len(groups.names)
    if block.dtype != np.uint8 or block.ndim != 4 or block.shape[:2] != (years, number):
        raise ValueError(
            f"maps: found {block.dtype} {block.shape}; expected uint8 ({years}, {number}, height, width) for "
            f"the groups {', '.join(groups.names)}."
        )
    if block.shape[3] != grid.width or top + block.shape[2] > grid.height:
        raise ValueError(
            f"maps: found {top + block.shape[2]} x {block.shape[3]} pixels or more; expected {grid.height} x "
            f"{grid.width} like the grid."
        )
    for place, (group, classes) in enumerate(groups.classes.items()):
        values = block[:, place]
        if (beyond := values[(values > len(classes)) & (values != UNKNOWN)]).size:
            raise ValueError(
                f"maps: found the value {beyond[0]} in {group}; expected 0 to {len(classes)}, or {UNKNOWN}."
            )


def _stacks(block: Maps, groups: LabelGroups, names: dict[str, list[str]]) -> dict[str, Maps]:
    """The maps (years, rows, width) of each table."""
    stacks = {group: block[:, place] for place, group in enumerate(groups.names)}
    if VISIBLE in names:
        stacks[VISIBLE] = visible_components(np.moveaxis(block, 1, 0), groups)
    return stacks


def _flows(first: Maps, second: Maps, areas: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    """Pixels and m2 from each class to each, (2, classes, classes)."""
    known = (first != UNKNOWN) & (second != UNKNOWN)
    codes = first[known].astype(np.intp) * classes + second[known]
    pixels = np.bincount(codes, minlength=classes**2).astype(np.float64)
    ground = np.bincount(codes, weights=areas[known], minlength=classes**2)
    return np.stack([pixels, ground]).reshape(2, classes, classes)


def _rows(
    flows: NDArray[np.float64], names: Sequence[str], errors: TransitionCounts | None
) -> Iterator[tuple[Any, ...]]:
    """The fields of each transition that occurs, from its earlier component on."""
    if errors is not None and errors.classes != tuple(names):
        raise ValueError(
            f"errors: found the classes {', '.join(errors.classes)}; expected {', '.join(names)}."
        )
    estimate = None if errors is None else adjusted_transitions(flows[1].ravel(), errors)
    for place, name in enumerate(names):
        for other, target in enumerate(names):
            pixels, area = flows[:, place, other]
            if pixels:
                code = place * len(names) + other
                found = [] if estimate is None else [estimate.area, estimate.low, estimate.high]
                limits = [known_hectares(values[code]) for values in found]
                yield name, target, int(pixels), float(area) / HECTARE, *limits
