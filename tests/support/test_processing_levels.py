"""The names under which catalogues, products and users give a processing level."""

import pytest

from euromine.support.errors import ArgumentError
from euromine.support.image_headers import header_level
from euromine.support.processing_levels import common_level, level_in, parse_level


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("L2A", "L2A"),
        ("l1c", "L1C"),
        ("Level-2A", "L2A"),
        ("S2MSI1C", "L1C"),
        ("sentinel-2-c1-l2a", "L2A"),
        ("S2B_MSIL2A_20220226T095029_N0400_R079_T33TWN_20220226T130213.SAFE", "L2A"),
        ("L2", None),
        ("", None),
        ("small2a", None),
        ("L1C and L2A", None),
    ],
)
def test_a_level_is_read_from_the_names_of_catalogues_and_products(text: str, level: str | None) -> None:
    assert level_in(text) == level


def test_a_header_gives_its_level_by_its_own_tag_first() -> None:
    tags = {"Processing_Level": "L1C", "PRODUCT_URI": "S2B_MSIL2A_20220226T095029_N0400_R079_T33TWN_x.SAFE"}
    assert header_level(tags) == "L1C"
    assert header_level({"PRODUCT_TYPE": "S2MSI2A"}) == "L2A"
    assert header_level({"AREA_OR_POINT": "Area"}) is None


def test_another_level_is_refused() -> None:
    assert parse_level("l2a") == "L2A"
    with pytest.raises(ArgumentError, match=r"--level: found 'l2b'; expected l1c or l2a\."):
        parse_level("l2b", "--level")


def test_images_have_a_common_level_only_if_all_have_the_same() -> None:
    assert common_level(["L2A", "L2A"]) == "L2A"
    assert common_level(["L2A", None]) == common_level(["L2A", "L1C"]) == "mixed"
    assert common_level([None]) is common_level([]) is None
