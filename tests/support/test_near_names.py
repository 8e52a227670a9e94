"""Suggestions for misspelt names."""

import pytest

from euromine.support.near_names import nearest_hint, nearest_name, nearest_names

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


def test_several_names_are_given_the_most_similar_first() -> None:
    networks = ["segformer-b5", "unet", "segformer-b0", "upernet"]
    assert nearest_names("segformer-b0x", networks) == ["segformer-b0", "segformer-b5"]
    assert nearest_names("segformer-b0x", networks, most=1) == ["segformer-b0"]
    assert nearest_names("x", networks) == []


def test_a_hint_ends_a_list_of_names() -> None:
    assert nearest_hint("damm", CLASSES) == ", of which dam is the nearest"
    assert nearest_hint("moat", CLASSES) == ""


def test_where_more_depends_on_it_the_likeness_is_given() -> None:
    assert nearest_name("dumping", CLASSES, likeness=0.75) is None
