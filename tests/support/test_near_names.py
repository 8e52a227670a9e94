"""Suggestions for misspelt names."""

import pytest

from euromine.support.near_names import nearest_name

CLASSES = ["excavation", "dumping-ground", "dam", "reclaimed-land"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("damm", "dam"),
        ("excavatoin", "excavation"),
        ("dumping", "dumping-ground"),
        ("moat", None),
        ("", None),
    ],
)
def test_only_a_name_that_is_like_the_given_one_is_suggested(name: str, near: str | None) -> None:
    assert nearest_name(name, CLASSES) == near
