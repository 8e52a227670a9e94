"""The processing level of a scene, from its header, its STAC item, its product's name or the user."""

import json
from pathlib import Path

import pytest

from euromine.monitoring.scenes.scene import open_scene
from euromine.monitoring.scenes.scene_level import level_warning
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import ArgumentError, SceneError

from .scene_files import WriteScene, numbers

PRODUCT = "S2A_MSIL1C_20220226T095029_N0400_R079_T33TWN_20220226T130213"


def level_of(path: Path, **options: object) -> str | None:
    with open_scene(path, SceneOptions(**options)) as scene:
        return scene.level


def test_the_header_counts_before_the_item_and_the_item_before_the_name(
    real_data: Path, write_scene: WriteScene
) -> None:
    item = json.loads(next((real_data / "real" / "stac_items").glob("earthsearch*_L2A.json")).read_text())
    assert level_of(write_scene("plain.tif", numbers())) is None
    assert level_of(write_scene(f"{PRODUCT}.tif", numbers())) == "L1C"
    assert level_of(write_scene(f"{PRODUCT}.SAFE/IMG_DATA/all.tif", numbers())) == "L1C"
    assert level_of(write_scene(f"{PRODUCT}_2.tif", numbers(), item=item)) == "L2A"
    tags = {"PROCESSING_LEVEL": "Level-1C"}
    assert level_of(write_scene("tagged.tif", numbers(), item=item, tags=tags)) == "L1C"


def test_the_user_fills_a_gap_and_contradicts_only_with_override(write_scene: WriteScene) -> None:
    plain, product = write_scene("plain.tif", numbers()), write_scene(f"{PRODUCT}.tif", numbers())
    assert level_of(plain, level="l2a") == "L2A"
    assert level_of(product, level="L1C") == "L1C"
    with pytest.raises(SceneError, match=r"the level L1C in its metadata, against --level l2a; expected"):
        level_of(product, level="l2a")
    assert level_of(product, level="l2a", override=True) == "L2A"
    with pytest.raises(ArgumentError, match="level: found '2'; expected l1c or l2a"):
        SceneOptions(level="2")


@pytest.mark.parametrize(
    ("level", "trained_on", "is_warned"),
    [
        ("L2A", "L1C", True),
        ("L1C", "L2A", True),
        ("L2A", "L2A", False),
        ("L2A", "mixed", False),
        ("L2A", None, False),
        (None, "L1C", False),
    ],
)
def test_known_levels_that_differ_are_warned_of(level, trained_on, is_warned: bool) -> None:
    warning = level_warning(level, trained_on)
    assert (warning is not None) == is_warned
    if warning:
        assert f"image is {level}" in warning
        assert f"trained on {trained_on}" in warning
