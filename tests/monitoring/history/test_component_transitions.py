"""Transitions between components against a table written by hand and a loop over pixels."""

from collections import Counter

import numpy as np
import pytest

from euromine.dataset_script.label_groups import COMPONENT_CLASSES, NOT_ANNOTATED, LabelGroups
from euromine.monitoring.history.component_areas import component_areas
from euromine.monitoring.history.component_transitions import (
    VISIBLE,
    component_transitions,
    visible_components,
    visible_names,
)
from euromine.support.errors import ArgumentError
from euromine.support.ground_areas import PixelAreas

GROUPS = LabelGroups(
    {"ground": ("excavation",), "deposits": ("dumping_ground", "stockpile"), "water": ("settling_pond",)},
    "transformed_area",
)
BIT = {name: 1 << place for place, name in enumerate(COMPONENT_CLASSES)}
PIT, DUMP, HEAP, POND = (BIT[name] for name in ("excavation", "dumping_ground", "stockpile", "settling_pond"))
LOST = 1 << NOT_ANNOTATED


@pytest.fixture
def hectare_pixels(monkeypatch):
    """Pixels of a hectare each, so that areas are counts."""
    monkeypatch.setattr(
        "euromine.monitoring.history.component_transitions.ground_areas",
        lambda grid: PixelAreas.constant(10_000.0, grid.height, grid.width),
    )


def flows(rows, group):
    return {(row.from_component, row.to_component): row.area_ha for row in rows if row.group == group}


def test_the_table_of_a_small_mine_is_as_written_by_hand(grid, hectare_pixels) -> None:
    # A pit of four pixels: two are filled, one of them by a dump inside that remains a pit; one becomes a
    # pond, one stays. A dump of two pixels turns to a heap and to nothing; one pixel is lost to clouds.
    first = np.array([[PIT, PIT, PIT, PIT], [DUMP, DUMP, 0, PIT]], np.uint16)
    second = np.array([[DUMP, PIT | DUMP, POND, PIT], [HEAP, 0, 0, LOST]], np.uint16)
    rows = component_transitions(np.stack([first, second]), [2019, 2021], GROUPS, grid(2, 4), site="Pit 1")
    assert {(row.site, row.year_1, row.year_2) for row in rows} == {("Pit 1", 2019, 2021)}
    assert flows(rows, "ground") == {
        ("excavation", "excavation"): 2,
        ("excavation", "none"): 2,
        ("none", "none"): 3,
    }
    assert flows(rows, "deposits") == {
        ("none", "dumping_ground"): 2,
        ("none", "none"): 3,
        ("dumping_ground", "stockpile"): 1,
        ("dumping_ground", "none"): 1,
    }
    assert flows(rows, "water") == {("none", "settling_pond"): 1, ("none", "none"): 6}
    assert flows(rows, "transformed_area") == {
        ("any component", "any component"): 5,
        ("any component", "none"): 1,
        ("none", "none"): 1,
    }
    assert flows(rows, VISIBLE) == {
        ("excavation", "dumping_ground"): 2,
        ("excavation", "settling_pond"): 1,
        ("excavation", "excavation"): 1,
        ("dumping_ground", "stockpile"): 1,
        ("dumping_ground", "none"): 1,
        ("none", "none"): 1,
    }


@pytest.fixture
def years_of_bits():
    """Random bits (3, 23, 31), with overlaps and unknown ground; no stockpile in the first year."""
    random = np.random.default_rng(4)
    shape = (3, 23, 31)
    bits = np.zeros(shape, np.uint16)
    for bit in (PIT, DUMP, HEAP, POND):
        bits[random.random(shape) < 0.4] |= bit
    bits[0] &= ~np.uint16(HEAP)
    bits[random.random(shape) < 0.1] = LOST
    return bits


def test_tables_of_all_pairs_equal_a_loop_over_pixels(grid, years_of_bits, hectare_pixels) -> None:
    rows = component_transitions(years_of_bits, [2015, 2016, 2020], GROUPS, grid(23, 31))

    def of(bits, group):
        if bits == LOST:
            return None
        members = {**GROUPS.groups, "transformed_area": ()}.get(group)
        if group == "transformed_area":
            return "any component" if bits else "none"
        order = [name for names in GROUPS.groups.values() for name in names] if members is None else members
        return ([name for name in order if bits & BIT[name]] or ["none"])[-1]

    expected = Counter()
    for first, second in ((0, 1), (0, 2), (1, 2)):
        years = [2015, 2016, 2020]
        for before, after in zip(years_of_bits[first].flat, years_of_bits[second].flat, strict=True):
            for group in (*GROUPS.names, VISIBLE):
                old, new = of(int(before), group), of(int(after), group)
                if old is not None and new is not None:
                    expected[years[first], years[second], group, old, new] += 1
    found = {
        (row.year_1, row.year_2, row.group, row.from_component, row.to_component): row.pixels for row in rows
    }
    assert found == expected
    assert all(row.area_ha == pytest.approx(row.pixels) for row in rows)
    assert not any(row.from_component == "stockpile" for row in rows if row.year_1 == 2015)


def test_class_maps_blocks_and_bits_give_the_same_rows(grid, years_of_bits) -> None:
    years, here = [2015, 2016, 2020], grid(23, 31)
    maps = np.moveaxis(GROUPS.maps(years_of_bits), 0, 1)
    pairs = [(2015, 2020)]
    from_bits = component_transitions(years_of_bits, years, GROUPS, here, pairs=pairs)
    assert component_transitions(maps, years, GROUPS, here, pairs=pairs) == from_bits
    blocks = component_transitions(
        (maps[:, :, top : top + 5] for top in range(0, 23, 5)), years, GROUPS, here, pairs=pairs
    )
    assert [(row.pixels, row.group) for row in blocks] == [(row.pixels, row.group) for row in from_bits]
    assert [row.area_ha for row in blocks] == pytest.approx([row.area_ha for row in from_bits])


def test_rows_of_a_group_add_up_to_the_areas_of_its_years(grid, years_of_bits) -> None:
    years_of_bits[years_of_bits == LOST] = 0
    years, here = [2015, 2016, 2020], grid(23, 31)
    maps = GROUPS.maps(years_of_bits)
    areas = component_areas(dict(zip(GROUPS.names, maps, strict=True)), years, GROUPS, here)
    rows = component_transitions(years_of_bits, years, GROUPS, here, pairs=[(2016, 2020)])
    for row in areas:
        side = {2016: "from_component", 2020: "to_component"}.get(row.year)
        if side:
            moved = [
                each.area_ha
                for each in rows
                if each.group == row.group and getattr(each, side) == row.component
            ]
            assert sum(moved) == pytest.approx(row.area_ha)


def test_a_class_that_was_not_annotated_leaves_its_group_and_the_visible_component_unknown(grid) -> None:
    bits = np.full((2, 4, 4), PIT, np.uint16)
    rows = component_transitions(bits, [1, 2], GROUPS, grid(4, 4), annotated=["excavation", "settling_pond"])
    assert {row.group for row in rows} == {"ground", "water", "transformed_area"}


def test_the_visible_component_is_that_of_the_last_group_and_unknown_below_an_unknown_one() -> None:
    maps = np.array(
        [[[1, 1, 0, 1, 255]], [[0, 2, 0, 255, 1]], [[0, 0, 1, 0, 0]], [[1, 1, 1, 1, 1]]], np.uint8
    )
    assert visible_names(GROUPS) == ["none", "excavation", "dumping_ground", "stockpile", "settling_pond"]
    assert visible_components(maps, GROUPS).tolist() == [[1, 3, 4, 255, 2]]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"years": [2016, 2015]}, ArgumentError, "years: found"),
        ({"pairs": [(2016, 2015)]}, ArgumentError, "pairs: found 2016 and 2015"),
        ({"pairs": [(2015, 2030)]}, ArgumentError, "pairs: found 2015 and 2030"),
        ({"groups": LabelGroups({"water": ("settling_pond",)})}, ValueError, "for the groups water"),
    ],
)
def test_what_does_not_fit_is_refused(grid, change, error, words) -> None:
    values = {"years": [2015, 2016], "groups": GROUPS, "pairs": None, **change}
    maps = np.zeros((2, 4, 5, 6), np.uint8)
    with pytest.raises(error, match=words):
        component_transitions(maps, values["years"], values["groups"], grid(5, 6), pairs=values["pairs"])


def test_values_without_a_class_are_refused(grid) -> None:
    maps = np.zeros((2, 4, 5, 6), np.uint8)
    maps[1, 2, 3, 3] = 2
    with pytest.raises(ValueError, match="found the value 2 in water; expected 0 to 1, or 255"):
        component_transitions(maps, [2015, 2016], GROUPS, grid(5, 6))
