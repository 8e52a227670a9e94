"""Styles of maps: QGIS's own format, and whose file it is."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio

from euromine.dataset_script.label_groups import COMPONENT_COLOURS
from euromine.monitoring.mapping.band_statistics import BandStatistics
from euromine.monitoring.mapping.geotiffs import CogWriter
from euromine.monitoring.mapping.map_styles import (
    CHANGE,
    FOOTPRINT,
    PROBABILITY,
    component_style,
    is_own_style,
    write_style,
    years_style,
)


def test_the_classes_of_a_footprint_have_names_and_colours_in_the_file(tmp_path: Path, grid) -> None:
    values = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
    path = tmp_path / "footprint.tif"
    with CogWriter(path, grid(2, 3), np.uint8, 255, style=FOOTPRINT) as writer:
        writer.write(values)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)
        colours = dataset.colormap(1)
        assert len({colours[value] for value in (0, 1)}) == 2
        tags = dataset.tags(1)
    assert (tags["CLASS_0"], tags["CLASS_1"], tags["CLASS_255"]) == ("not mined", "mined", "no data")
    assert (float(tags["STATISTICS_MINIMUM"]), float(tags["STATISTICS_MAXIMUM"])) == (0, 1)
    assert float(tags["STATISTICS_MEAN"]) == 3 / 5
    assert [each.name for each in tmp_path.iterdir()] == ["footprint.tif"]


@pytest.mark.parametrize("nodata", [None, 7, np.nan])
def test_statistics_of_rows_are_those_of_the_whole(nodata: float | None) -> None:
    random = np.random.default_rng(2)
    values = random.normal(5, 300, (40, 30)).astype(np.float32)
    if nodata is not None:
        values[random.random(values.shape) < 0.3] = nodata
        values[:3] = nodata  # rows without data
    statistics = BandStatistics(nodata)
    for begin in range(0, 40, 3):
        statistics.add(values[begin : begin + 3])
    known = values[np.isfinite(values)].astype(np.float64)
    known = known[known != nodata] if nodata == 7 else known
    found = {key.removeprefix("STATISTICS_"): float(text) for key, text in statistics.tags.items()}
    assert found["MINIMUM"] == known.min()
    assert found["MAXIMUM"] == known.max()
    assert found["MEAN"] == pytest.approx(known.mean(), rel=1e-12)
    assert found["STDDEV"] == pytest.approx(known.std(), rel=1e-12)
    assert found["VALID_PERCENT"] == pytest.approx(100 * known.size / values.size, rel=1e-3)
    assert BandStatistics(None).tags == {}


def test_a_style_lists_every_value_with_its_name(tmp_path: Path) -> None:
    style = years_style([2020, 2015, 2018], never=0, unknown=65535)
    path = write_style(tmp_path / "first_year.tif", style)
    assert path == tmp_path / "first_year.qml"
    entries = ElementTree.parse(path).getroot().findall("./pipe/rasterrenderer/colorPalette/paletteEntry")
    assert {int(each.get("value")): each.get("label") for each in entries} == {
        0: "never mined",
        2015: "2015",
        2018: "2018",
        2020: "2020",
        65535: "no data",
    }
    assert {each.get("label"): each.get("alpha") for each in entries}["never mined"] == "0"
    colours = [each.get("color") for each in entries]
    assert len(set(colours)) == 5
    renderer = (
        ElementTree.parse(write_style(tmp_path / "p.tif", PROBABILITY)).getroot().find(".//rasterrenderer")
    )
    assert renderer.get("type") == "singlebandpseudocolor"
    items = [float(each.get("value")) for each in renderer.iter("item")]
    assert (items[0], items[-1]) == (0, 1)


def test_a_style_that_the_user_made_or_changed_is_left(tmp_path: Path) -> None:
    path = tmp_path / "change.qml"
    path.write_text("<qgis/>")
    assert write_style(tmp_path / "change.tif", CHANGE) is None
    assert path.read_text() == "<qgis/>"
    path.unlink()
    assert write_style(tmp_path / "change.tif", CHANGE) == path
    assert is_own_style(path)
    assert write_style(tmp_path / "change.tif", FOOTPRINT) == path
    changed = path.read_text().replace("mined", "quarry")
    path.write_text(changed)
    assert not is_own_style(path)
    assert write_style(tmp_path / "change.tif", CHANGE) is None
    assert path.read_text() == changed


def test_a_map_of_components_names_and_colours_them_in_the_file_and_beside_it(tmp_path: Path, grid) -> None:
    style = component_style(["dumping_ground", "stockpile"])
    path = tmp_path / "components_deposits_2020.tif"
    with CogWriter(path, grid(1, 4), np.uint8, 255, style=style) as writer:
        writer.write(np.array([[0, 1, 2, 255]], np.uint8))
    with rasterio.open(path) as dataset:
        names = {key: text for key, text in dataset.tags(1).items() if key.startswith("CLASS_")}
        table = dataset.colormap(1)
    assert names == {
        "CLASS_0": "none",
        "CLASS_1": "dumping_ground",
        "CLASS_2": "stockpile",
        "CLASS_255": "no data",
    }
    document = ElementTree.parse(write_style(path, style)).getroot()
    entries = {int(each.get("value")): each for each in document.iter("paletteEntry")}
    for value, name in ((1, "dumping_ground"), (2, "stockpile")):
        assert entries[value].get("label") == name
        assert entries[value].get("color") == COMPONENT_COLOURS[name]
        assert "#{:02x}{:02x}{:02x}".format(*table[value][:3]) == COMPONENT_COLOURS[name]
    assert entries[0].get("alpha") == entries[255].get("alpha") == "0"
