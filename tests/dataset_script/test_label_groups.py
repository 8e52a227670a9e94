"""Component classes regroup exactly, and a file of groups that cannot be used is refused in a sentence."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from euromine.dataset_script.label_groups import (
    ANY_COMPONENT,
    COMPONENT_CLASSES,
    COMPONENT_COLOURS,
    NOT_ANNOTATED,
    UNKNOWN_CLASSES,
    LabelGroups,
    annual_label,
)
from euromine.metrics.component_iou import component_iou
from euromine.support.errors import ArgumentError, DataError

GROUPS = LabelGroups({"b": ("dumping_ground", "excavation"), "a": ("dam", "stockpile", "outcrop")}, "total")


def test_classes_and_bits_are_those_of_the_metric():
    assert component_iou.CLASSES == COMPONENT_CLASSES == tuple(COMPONENT_COLOURS)
    assert component_iou.NOT_ANNOTATED == NOT_ANNOTATED
    assert component_iou.UNKNOWN_CLASSES == UNKNOWN_CLASSES


def value_by_hand(bits: int, classes: tuple[str, ...], annotated: set[str]) -> int:
    """The value of one pixel in the map of a group, from the rule in words."""
    unknown = {
        name
        for place, name in enumerate(COMPONENT_CLASSES)
        if name not in annotated or bits & (1 << (UNKNOWN_CLASSES + place))
    }
    there = [name for place, name in enumerate(COMPONENT_CLASSES) if bits & (1 << place)]
    if bits & (1 << NOT_ANNOTATED):
        return 255
    if classes == (ANY_COMPONENT,):
        return 1 if there else 255 if unknown else 0
    if unknown & set(classes):
        return 255
    value = 0
    for number, name in enumerate(classes, 1):
        if name in there:
            value = number
    return value


@pytest.mark.parametrize("groups", [GROUPS, LabelGroups.preset(), LabelGroups({"one": ("dam",)})])
@pytest.mark.parametrize("annotated", [None, ["excavation", "Dumping ground"], COMPONENT_CLASSES])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int64])
def test_regrouping_agrees_with_a_loop_over_pixels(groups, annotated, dtype):
    random = np.random.default_rng(0)
    bits = random.integers(0, 1 << 12, (2, 7, 9)) & random.integers(0, 1 << 12, (2, 7, 9))
    bits[0, 0] = 0
    bits[0, 1] |= 1 << NOT_ANNOTATED
    if dtype != np.uint16:
        unknown = random.integers(0, 1 << 12, (7, 9)) & random.integers(0, 1 << 12, (7, 9))
        bits[1] |= (unknown & random.integers(0, 1 << 12, (7, 9))) << UNKNOWN_CLASSES
        bits[1, :3] &= ~0xFFF
    known = set(COMPONENT_CLASSES)
    if annotated is not None:
        known = {name.lower().replace(" ", "_") for name in annotated}
    maps = groups.maps(bits.astype(dtype), annotated)
    assert (maps.shape, maps.dtype) == ((len(groups.names), 2, 7, 9), np.uint8)
    expected = [
        [value_by_hand(pixel, classes, known) for pixel in bits.ravel().tolist()]
        for classes in groups.classes.values()
    ]
    np.testing.assert_array_equal(maps.reshape(len(maps), -1), expected)


def test_maps_lead_back_to_the_classes_that_won():
    random = np.random.default_rng(1)
    groups = LabelGroups.preset()
    bits = np.uint16(1) << random.integers(0, 12, (5, 8)).astype(np.uint16)
    np.testing.assert_array_equal(groups.bits(groups.maps(bits)), bits)
    ignored = np.full((1, 1), 1 << NOT_ANNOTATED, np.uint16)
    np.testing.assert_array_equal(groups.bits(groups.maps(ignored)), ignored)
    overlapping = np.uint16([[1 << 1 | 1 << 2]])  # an excavation with a dump in it
    won = LabelGroups({"b": ("dumping_ground", "excavation")})
    assert won.bits(won.maps(overlapping)).tolist() == [[1 << 1]]


def test_the_annual_label_is_the_total_transformed_area():
    bits = np.uint16([[0, 1 << 8, 0b110, 1 << NOT_ANNOTATED]])
    assert annual_label(bits).tolist() == [[0, 1, 1, 255]]
    # Without a dam's drawings, ground without a component may still be one.
    assert annual_label(bits, set(COMPONENT_CLASSES) - {"dam"}).tolist() == [[255, 1, 1, 255]]


def test_the_preset_has_each_class_once_and_is_the_proposed_grouping(tmp_path):
    preset = LabelGroups.preset()
    assert sorted(name for classes in preset.groups.values() for name in classes) == sorted(COMPONENT_CLASSES)
    proposed = Path(__file__).parents[3] / "shared/data/fixtures/components/label_groups.json"
    if proposed.is_file():
        assert LabelGroups.from_file(proposed) == preset
    assert preset.names == ("ground", "rock", "deposits", "facilities", "transformed_area")


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"groups": {"a": ["Excavation", "dumping-ground"]}, "total": "all", "note": "ours"}),
        "groups:\n  a: [excavation, Dumping ground]\ntotal: all\n",
    ],
)
def test_a_file_may_be_json_or_yaml_and_goes_through_a_config(text, tmp_path):
    path = tmp_path / "groups"
    path.write_text(text)
    groups = LabelGroups.from_file(path)
    assert groups == LabelGroups({"a": ("excavation", "dumping_ground")}, "all")
    assert LabelGroups.from_dict(json.loads(json.dumps(groups.to_dict()))) == groups


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '{"groups": {"a": ["excavations"]}}',
            "found the class 'excavations'; expected .* excavation is the n",
        ),
        (
            '{"groups": {"a": ["dam", "Dam"]}}',
            "found the class dam twice in a; expected each class once",
        ),
        ('{"groups": {"a": ["dam"], "b": ["dam"]}}', "found the class dam twice, in a and in b"),
        ('{"groups": {"a": []}}', "found the group a empty; expected at least one class"),
        ('{"groups": {}}', "found no group; expected at least one"),
        ('{"total": "all"}', "found nothing as groups; expected names and lists"),
        ('{"group": {"a": ["dam"]}}', "found the key 'group'; expected groups, total or note, .* groups is"),
        ('{"groups": {"a": ["dam"], "a": ["outcrop"]}}', "found the key 'a' twice; expected it once"),
        ('{"groups": {"a": "dam"}}', "found 'dam' as the group a; expected a list"),
        ('{"groups": {"a": [1]}}', "found 1 in the group a; expected names"),
        ('{"groups": {"a": ["dam"]}, "total": "a"}', "found a as a group and the total; expected two names"),
        ('{"groups": {"../a": ["dam"]}}', "found '../a' as the name of a group"),
        ('{"groups": {"a": ["dam"]}, "total": 3}', "found 3 as the name of a group"),
        ('["dam"]', "found a list; expected a mapping such as"),
        ("dam", "found 'dam'; expected a mapping"),
        ("", "found nothing; expected a mapping"),
        ("groups: [", "neither JSON nor YAML"),
    ],
)
def test_groups_that_cannot_be_used_are_refused_in_a_sentence(text, words, tmp_path):
    path = tmp_path / "groups.json"
    path.write_text(text)
    with pytest.raises(DataError, match=words) as error:
        LabelGroups.from_file(path)
    assert str(error.value).startswith(f"{path}: found ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (np.zeros((2, 2)), "found the type float64"),
        (np.full((2, 2), 1 << 12, np.uint16), "found bit 12; expected bits 0 to 11"),
        (np.full((2, 2), -1, np.int8), "found negative numbers of the type int8; expected uint16"),
    ],
)
def test_bits_without_a_meaning_are_refused(bits, words):
    with pytest.raises(ArgumentError, match=words):
        GROUPS.maps(bits)
    with pytest.raises(DataError, match=r"annotated: found the class 'damm'; expected .* dam is the nearest"):
        GROUPS.maps(np.zeros((1, 1), np.uint16), ["damm"])


def test_maps_of_other_groups_are_refused():
    with pytest.raises(ArgumentError, match=r"found the shape \(2, 1, 1\); expected \(3, "):
        GROUPS.bits(np.zeros((2, 1, 1), np.uint8))
    with pytest.raises(ArgumentError, match="found the value 3 in b; expected 0 to 2"):
        GROUPS.bits(np.full((3, 1, 1), 3, np.uint8))


def test_colours_can_be_told_apart():
    colours = [bytes.fromhex(colour.lstrip("#")) for colour in COMPONENT_COLOURS.values()]
    assert all(first != second for first, second in pairwise(sorted(colours)))
