"""Scale and offset from metadata and options."""

import math
import re
from typing import Any

import numpy as np
import pytest

from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import SceneError

from .scene_files import NO_BASELINE, WriteScene, numbers, read


def test_integers_of_unknown_offset_are_refused(write_scene: WriteScene) -> None:
    path = write_scene("scene.tif", numbers())
    with pytest.raises(
        SceneError, match=NO_BASELINE + r".*Give --offset -1000 if 1000 was added, --offset 0 if not"
    ):
        read(path)


def test_floats_of_unknown_scale_are_refused(write_scene: WriteScene) -> None:
    path = write_scene("scene.tif", (numbers() / 10_000).astype("float32"))
    with pytest.raises(
        SceneError, match=r"found float32 numbers and no scale; expected .* Give --scale 1 for"
    ):
        read(path)
    values, _ = read(path, SceneOptions(scale=1))
    np.testing.assert_allclose(values, numbers(), rtol=1e-6)


def test_a_picture_of_eight_bits_is_refused(write_scene: WriteScene) -> None:
    path = write_scene("scene.tif", np.ones((3, 5, 5), np.uint8), names=("red", "green", "blue"))
    with pytest.raises(SceneError, match="found uint8 numbers and no scale"):
        read(path, bands=("B04",))


@pytest.mark.parametrize(
    ("what", "options", "dtype", "scale", "offset"),
    [
        ({}, SceneOptions(offset=0), "uint16", 1, 0),
        ({}, SceneOptions(offset=-1000), "int16", 1, -1000),
        ({}, SceneOptions(scale=0.0001, offset=-1000), "float32", 1, -1000),
        ({}, SceneOptions(scale=0.001, offset=0), "float64", 10, 0),
        ({}, SceneOptions(scale=0.0000275, offset=-7273), "uint16", 0.275, -7273 * 0.275),
        # GDAL's own: reflectance = number * scale + offset
        ({"scales": (0.0001, -0.1)}, None, "uint16", 1, -1000),
        ({"scales": (0.0001, 0)}, None, "uint16", 1, 0),
        ({"scales": (0.00005, -0.05)}, None, "uint16", 0.5, -500),
        ({"scales": (1, -1000)}, None, "uint16", 1, -1000),
        ({"scales": (0.0001, -0.1)}, SceneOptions(offset=0, override=True), "uint16", 1, 0),
        ({"tags": {"PROCESSING_BASELINE": "05.11"}}, None, "uint16", 1, -1000),
        ({"tags": {"PROCESSING_BASELINE": "04.00"}}, None, "uint16", 1, -1000),
        ({"tags": {"PROCESSING_BASELINE": "03.01"}}, None, "uint16", 1, 0),
        (
            {"tags": {"PROCESSING_BASELINE": "04.00", "QUANTIFICATION_VALUE": "5000"}},
            None,
            "uint16",
            2,
            -2000,
        ),
        (
            {"name": "S2B_MSIL2A_20220226T095029_N0400_R079_T33TWN_20220226T130213.tif"},
            None,
            "uint16",
            1,
            -1000,
        ),
        ({"name": "S2A_MSIL2A_20210629T100031_N0300_R122_T33TWN_20210629T122056.tif"}, None, "uint16", 1, 0),
        (
            {"name": "S2B_MSIL1C_20220226T095029_N0510_R079_T33TWN_20220226T130213.SAFE/stack.tif"},
            None,
            "uint16",
            1,
            -1000,
        ),
        ({"name": "Austria_1/image/Year2019.tif"}, None, "int16", 1, 0),
        ({"name": "Austria_1/image/Year2019.tif", "names": None}, None, "int16", 1, 0),
    ],
)
def test_numbers_become_digital_numbers_as_metadata_or_options_say(
    write_scene: WriteScene,
    what: dict[str, Any],
    options: SceneOptions | None,
    dtype: str,
    scale: float,
    offset: float,
) -> None:
    image = numbers(dtype)
    path = write_scene(**{"name": "scene.tif", **what, "bands": image})
    values, valid = read(path, options)
    np.testing.assert_allclose(values, image.astype(np.float64) * scale + offset, rtol=1e-6, atol=1e-3)
    assert values.dtype == np.float32
    assert valid.all()


def test_radar_becomes_hundredths_of_decibels_and_terrain_keeps_its_units(write_scene: WriteScene) -> None:
    image = np.random.default_rng(0).normal(-12, 3, (3, 6, 7)).astype("float32")
    path = write_scene("scene.tif", image, names=("VV", "VH", "DEM"))
    values, _ = read(path, bands=("DEM", "VV"))
    np.testing.assert_allclose(values, image[[2, 0]] * [[[1]], [[100]]], rtol=1e-6)
    hundredths = (100 * image).astype("int16")
    for scales in (None, (0.01, 0)):
        path = write_scene("radar.tif", hundredths[:2], names=("VV", "VH"), scales=scales)
        values, _ = read(path, bands=("VH",))
        np.testing.assert_allclose(values, hundredths[[1]], rtol=1e-6)


PRODUCT = "S2A_MSIL2A_20180703T101021_N0208_R022_T33TWN_20180703T101041.tif"


@pytest.mark.parametrize(
    ("what", "options", "found"),
    [
        ({"name": PRODUCT}, {"offset": -1000}, "the offset 0 (processing baseline 02.08 in its name)"),
        ({"scales": (0.0001, -0.1)}, {"offset": 0}, "the offset -1000 (in the file)"),
        ({"scales": (0.0001, 0)}, {"scale": 1}, "the scale 0.0001 (in the file)"),
        ({"tags": {"QUANTIFICATION_VALUE": "10000"}}, {"scale": 1, "offset": 0}, "the scale 0.0001 (QUANT"),
        ({"tags": {"PROCESSING_BASELINE": "05.11"}}, {"offset": 0}, "the offset -1000 (processing baseline"),
    ],
)
def test_an_option_that_contradicts_the_file_is_refused_unless_the_user_insists(
    write_scene: WriteScene, what: dict[str, Any], options: dict[str, Any], found: str
) -> None:
    path = write_scene(what.pop("name", "scene.tif"), numbers(), **what)
    with pytest.raises(SceneError, match=re.escape(f"{path}: found {found}")) as caught:
        read(path, SceneOptions(**options))
    assert str(caught.value).endswith("or add --override to insist on it.")
    values, _ = read(path, SceneOptions(**{"offset": 0, **options}, override=True))
    scale, offset = options.get("scale", 0.0001), options.get("offset", 0)
    np.testing.assert_allclose(values, (numbers().astype(float) + offset) * scale * 10_000, rtol=1e-6)


@pytest.mark.parametrize(
    ("what", "offset"),
    [
        ({"name": PRODUCT}, 0),
        ({"scales": (0.0001, -0.1)}, -1000),
        ({"scales": (0.0001, 0)}, -1000),  # a scale alone: GDAL's offset of 0 says nothing
        ({"name": "composite_2023.tif"}, -1000),
    ],
)
def test_an_option_that_agrees_with_the_file_or_fills_a_gap_holds(
    write_scene: WriteScene, what: dict[str, Any], offset: float
) -> None:
    path = write_scene(what.pop("name", "scene.tif"), numbers(), **what)
    values, _ = read(path, SceneOptions(offset=offset))
    np.testing.assert_allclose(values, numbers().astype(float) + offset, rtol=1e-6)


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ({"scales": (0.0, 0)}, "the scale 0 for B02"),
        ({"scales": (math.nan, 0)}, "the scale nan for B02"),
        ({"scales": (math.inf, 0)}, "the scale inf for B02"),
        ({"scales": (-0.0001, 0)}, "the scale -0.0001 for B02"),
        ({"scales": (0.0001, math.nan)}, "the offset nan for B02"),
        ({"scales": (1e-320, 1.0)}, "the offset inf for B02"),
        ({"tags": {"QUANTIFICATION_VALUE": "-10000"}}, "the scale -0.0001 for B02"),
    ],
)
def test_a_scale_or_offset_that_makes_no_reflectance_is_refused(
    write_scene: WriteScene, what: dict[str, Any], found: str
) -> None:
    path = write_scene("S2A_MSIL2A_20180703T101021_N0208_R022_T33TWN_20180703T101041.tif", numbers(), **what)
    with pytest.raises(SceneError, match=re.escape(f"{path}: found {found} (")):
        read(path, SceneOptions())


def test_a_scale_of_0_of_radar_is_refused(write_scene: WriteScene) -> None:
    image = np.ones((2, 6, 7), "float32")
    path = write_scene("scene.tif", image, names=("VV", "VH"), scales=(0.0, 0))
    with pytest.raises(SceneError, match="found a scale of 0 for VV"):
        read(path, bands=("VV",))
