"""`euromine watch check`: mistakes in places, folders, models and permits, found without network."""

import json
import socket
from datetime import UTC, datetime
from pathlib import Path

import geopandas
import pytest
import rasterio
import shapely
import yaml
from typer.testing import CliRunner

from euromine.commands import app
from euromine.modeling import EuroMineImageProcessor, create_model
from euromine.monitoring.mapping import engine_choice, engines, precision_losses
from euromine.watch.config_checks import check_config
from euromine.watch.config_reading import read_config
from euromine.watch.site_checks import SiteTask, check_site

PIT = (slice(10, 30), slice(10, 30))


@pytest.fixture
def write(tmp_path: Path, checkpoint, write_year, write_permits, monkeypatch):
    """Writes a configuration of one right site, changed by fields, and lets nothing reach the network."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for year in (2019, 2020):
        write_year(year, [PIT])
    write_permits(PIT)

    def of(*sites: dict, **fields: object) -> Path:
        right = {"name": "pit", "images": "pit", "permits": "permits.gpkg"}
        path = tmp_path / "watch.yaml"
        path.write_text(yaml.safe_dump({"model": str(checkpoint), "sites": [right, *sites], **fields}))
        return path

    return of


def test_a_right_configuration_has_no_mistakes(write, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("TRACKER_KEY", raising=False)
    tracker = {"name": "tracker", "webhook": {"url": "https://example.org", "secret_env": "TRACKER_KEY"}}
    path = write(recipients=[tracker])
    result = CliRunner().invoke(app, ["watch", "check", str(path)])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "note: tracker: the environment variable TRACKER_KEY is not set here.",
        f"{path}: 1 site, 1 recipient. No mistakes found.",
    ]
    assert not (tmp_path / "watch").exists()


def test_each_mistake_is_found(write, tmp_path, checkpoint) -> None:
    geopandas.GeoDataFrame(geometry=[shapely.box(-7.2, 37.5, -7.1, 37.6)], crs="EPSG:4326").to_file(
        tmp_path / "elsewhere.gpkg", engine="pyogrio"
    )
    four = tmp_path / "four" / "Year2020.tif"
    four.parent.mkdir()
    with rasterio.open(tmp_path / "pit" / "image" / "Year2020.tif") as source:
        profile = {**source.profile, "count": 4}
        with rasterio.open(four, "w", **profile) as target:
            target.write(source.read([1, 2, 3, 7]))
            target.descriptions = ("B02", "B03", "B04", "B08")
    path = write(
        {"name": "gone", "images": "nowhere"},
        {"name": "box", "acquire": {"bbox": [9, 50, 8, 51], "since": 2020}},
        {"name": "outline", "acquire": {"geometry": "nowhere.gpkg", "since": 2020}},
        {"name": "far", "images": "pit", "permits": "elsewhere.gpkg"},
        {
            "name": "far box",
            "acquire": {"bbox": [8, 50, 8.1, 51], "since": 2020},
            "permits": "elsewhere.gpkg",
        },
        {"name": "bands", "images": "four"},
        {"name": "model", "images": "pit", "model": "/no/such/model"},
        {"name": "hub", "images": "pit", "model": "organisation/model"},
        {"name": "empty", "images": "pit", "model": "pit"},
    )
    found = check_config(read_config(path))
    assert found.notes == ["organisation/model: no folder of this name here; a run takes it from the Hub."]
    begun = [
        "/no/such/model: found no such folder; expected the folder of a checkpoint",
        f"{tmp_path}/pit: found no config.json",
        f"gone: {tmp_path}/nowhere: found no such folder",
        "box: bbox: found a box without area from 9 to 8 degrees east",
        f"outline: {tmp_path}/nowhere.gpkg: there is no such file",
        f"far: {tmp_path}/elsewhere.gpkg: found outlines around longitude -7.15, latitude 37.55",
        f"far box: {tmp_path}/elsewhere.gpkg: found outlines around longitude -7.15, latitude 37.55",
        f"bands: {four}: found no band B11; expected B03, B11 for the rule water_growth. Turn the rule off",
    ]
    assert [mistake[: len(start)] for mistake, start in zip(found.mistakes, begun, strict=True)] == begun
    result = CliRunner().invoke(app, ["watch", "check", str(path)])
    assert (result.exit_code, str(result.exception)) == (
        1,
        f"{path}: found 8 mistakes, listed above; expected none.",
    )
    assert [f"mistake: {each}" for each in found.mistakes] == result.stdout.splitlines()[1:]


def test_a_change_detector_in_the_place_of_a_mapper_and_a_file_as_folder_are_mistakes(
    write, tmp_path
) -> None:
    detector = tmp_path / "detector"
    create_model("siamunet-diff", bands=("B03", "B04"), widths=(2, 2, 2, 2)).save_pretrained(detector)
    EuroMineImageProcessor(bands=("B03", "B04"), do_normalize=False).save_pretrained(detector)
    (tmp_path / "watch").write_text("notes")
    config = read_config(write(model=str(detector)))
    found = check_config(config)
    assert [mistake.split(";")[0] for mistake in found.mistakes] == [
        f"folder: found {tmp_path}/watch, a file",
        f"pit: model: found {detector}, a change detector",
    ]
    task = SiteTask(config.sites[0], str(tmp_path / "other"), datetime(2021, 1, 1, tzinfo=UTC))
    assert check_site(task).failure.startswith(
        f"model: found {detector}, a change detector; expected a model"
    )


def test_a_missing_engine_and_a_refused_precision_are_mistakes(write, monkeypatch) -> None:
    monkeypatch.setattr(engine_choice.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(engines, "_check_bfloat16", lambda *_: None)
    monkeypatch.setitem(precision_losses.MEASURED_LOSSES, ("euromine_unet", "bfloat16"), 0.7)
    site = {"images": "pit", "engine": "eager", "precision": "bfloat16"}
    hub = {"name": "hub", "images": "pit", "model": "organisation/model", "engine": "onnxruntime"}
    path = write(
        hub,
        {"name": "lossy", **site},
        {"name": "as lossy", **site},
        {"name": "forced", **site, "force_precision": True},
        {"name": "exported", "images": "pit", "engine": "auto", "precision": "float32"},
        engine="openvino",
    )
    found = check_config(read_config(path))
    begun = [
        "engine: found no openvino on this machine; expected the extra `openvino`.",
        "engine: found no onnxruntime on this machine; expected the extra `onnxruntime`.",
        "precision: found bfloat16 with ",
    ]
    assert [mistake[: len(start)] for mistake, start in zip(found.mistakes, begun, strict=True)] == begun
    assert found.mistakes[2].endswith("Use float32, or insist with force_precision.")


def test_a_precision_that_a_model_lacks_is_a_mistake(write) -> None:
    (mistake,) = check_config(read_config(write(precision="int8"))).mistakes
    assert "found no int8 export; expected one in" in mistake


def test_a_missing_engine_fails_a_site_before_images_are_acquired(write, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(engine_choice.importlib.util, "find_spec", lambda name: None)
    place = {"name": "box", "acquire": {"bbox": [8, 50, 8.1, 51], "since": 2020}}
    site = read_config(write(place, engine="openvino")).sites[1]
    failure = check_site(SiteTask(site, str(tmp_path / "watch"), datetime(2021, 1, 1, tzinfo=UTC))).failure
    assert failure.startswith("engine: found no openvino on this machine")
    assert not (tmp_path / "watch").exists()


def test_a_site_is_mapped_in_its_precision_and_anew_in_another(write, write_year, monkeypatch, tmp_path):
    monkeypatch.setattr(engines, "_check_bfloat16", lambda *_: None)

    def run(**fields: object) -> dict:
        site = read_config(write(engine="eager", **fields)).sites[0]
        outcome = check_site(SiteTask(site, str(tmp_path / "watch"), datetime(2021, 1, 1, tzinfo=UTC)))
        assert outcome.failure == ""
        return json.loads((tmp_path / "watch" / "maps" / "pit" / "series.json").read_text())

    map_2019 = tmp_path / "watch" / "maps" / "pit" / "probability_2019.tif"
    inexact = run(precision="bfloat16")
    assert inexact["settings"]["engines"] == {"segmentation": {"engine": "eager", "precision": "bfloat16"}}
    before = map_2019.stat().st_mtime_ns
    assert run(precision="bfloat16") == inexact
    assert map_2019.stat().st_mtime_ns == before
    assert "engines" not in run()["settings"]
    assert map_2019.stat().st_mtime_ns > before
