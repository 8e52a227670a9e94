"""`euromine map` from a catalogue on this machine to the report, and again."""

import math
from pathlib import Path

import geopandas
import pytest
import shapely
from rasterio.warp import transform_bounds
from typer.testing import CliRunner

from euromine.commands import app
from euromine.modeling import EuroMineImageProcessor, create_model
from euromine.monitoring import SeriesResult
from euromine.support.errors import DataError

from .small_world import box_of


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A tiny footprint mapper trained on L1C."""
    folder = tmp_path / "mapper"
    sizes = {"hidden_sizes": [8] * 4, "depths": [1] * 4, "num_attention_heads": [1] * 4}
    create_model("segformer-b0", decoder_hidden_size=8, **sizes).save_pretrained(folder)
    EuroMineImageProcessor(level="L1C").save_pretrained(folder)
    return folder


def test_a_place_in_a_catalogue_becomes_a_report(world, serve, checkpoint, tmp_path, caplog) -> None:
    for day in ("20190703", "20190713", "20210706"):
        world.add(day)
    out, catalogue = tmp_path / "out", serve(world.items)
    bounds = ",".join(f"{each:.7f}" for each in box_of(96, 96, 64, 48))
    arguments = ["map", "Pit_1", "--bbox", bounds, "--margin", "0", "--catalogue", catalogue.address]
    arguments += ["--years", "2019-2021", "--model", str(checkpoint), "--out", str(out)]

    dry = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert "3 scenes" in dry.stdout, dry.output
    assert not out.exists()

    first = CliRunner().invoke(app, arguments)
    assert "2019 and 2021 made; 2020 without scenes" in first.stdout, first.output
    assert (
        "images of 2019 and 2021 are L2A (surface reflectance), but mapper was trained on L1C" in caplog.text
    )
    series = SeriesResult(out / "maps" / "Pit_1")
    assert (series.years, series.manifest.missing_years) == ([2019, 2021], [2020])
    # Outwards to 20 m, in pixels of 10 m.
    left, bottom, right, top = transform_bounds("EPSG:4326", "EPSG:32633", *box_of(96, 96, 64, 48))
    assert series.manifest.width == 2 * (math.ceil(right / 20) - math.floor(left / 20))
    assert series.manifest.height == 2 * (math.ceil(top / 20) - math.floor(bottom / 20))
    assert [len(scene.composite.days) for scene in series.manifest.scenes] == [2, 1]
    page = (series.path / "report.html").read_text(encoding="utf-8")
    assert "2 days, 2019-07-03 to 2019-07-13" in page
    assert "modified Copernicus Sentinel data 2019\N{EN DASH}2021" in page

    files = {path: path.stat().st_mtime_ns for path in out.rglob("*.tif")}
    # Place and options are those of the record.
    again = CliRunner().invoke(app, ["map", "Pit_1", *arguments[-6:]])
    assert "2019 and 2021 kept from an earlier run; 2020 without scenes" in again.stdout, again.output
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.tif")} == files


def test_each_place_of_a_file_becomes_a_report_and_one_that_fails_stops_no_other(
    world, serve, checkpoint, tmp_path
) -> None:
    world.add("20190703")
    boxes = {"North_2": box_of(96, 96, 64, 48), "Elsewhere_1": (9.0, 50.0, 9.01, 50.01)}
    frame = geopandas.GeoDataFrame(
        {"name": list(boxes)}, geometry=[shapely.box(*box) for box in boxes.values()], crs=4326
    )
    frame.to_file(tmp_path / "sites.geojson")
    out, catalogue = tmp_path / "out", serve(world.items)
    arguments = ["map", "--sites", str(tmp_path / "sites.geojson"), "--margin", "0", "--workers", "1"]
    arguments += ["--catalogue", catalogue.address, "--years", "2019"]
    arguments += ["--model", str(checkpoint), "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, DataError), result.output
    assert "sites.geojson: found 1 of 2 sites that could not be mapped (Elsewhere_1); expected all." in str(
        result.exception
    )
    assert "North_2: 2019 made" in result.stdout
    assert [path.relative_to(out).as_posix() for path in out.rglob("report.html")] == [
        "maps/North_2/report.html"
    ]
    assert SeriesResult(out / "maps" / "North_2").manifest.site == "North_2"

    for words, message in (
        (["map", *arguments[3:]], "NAME: found neither of NAME and --sites"),
        (["map", "Pit_1", *arguments[1:]], "NAME: found both of NAME and --sites"),
        ([*arguments, "--bbox", "1,2,2,3"], "--sites: found --bbox or --geometry, too"),
    ):
        assert message in str(CliRunner().invoke(app, words).exception)
