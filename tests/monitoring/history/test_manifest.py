"""series.json: it comes back as it was written, and what is none is refused in one sentence."""

import json

import pytest

from euromine.monitoring.history.manifest import Manifest, ModelRecord, SceneRecord, read_manifest
from euromine.monitoring.result import SeriesResult

YEARS = [2015, 2016]


def manifest(**fields) -> Manifest:
    model = ModelRecord("footprints", "runs/segformer-b0", "segformer", 3_725_634, ["B04"], "0123abcd")
    scenes = [
        SceneRecord(year, f"Year{year}.tif", 1, 1, ["B04"], ["Offset 0."], "EPSG:32631", "") for year in YEARS
    ]
    transform = (10.0, 0.0, 356040.0, 0.0, -10.0, 4835680.0)
    return Manifest(
        "Mine",
        YEARS,
        [(2015, 2016)],
        "EPSG:32631",
        transform,
        60,
        40,
        [model],
        scenes,
        {"smoothing": "none"},
        **fields,
    )


def test_a_folder_without_a_series_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"holds no series.json, a folder that `euromine series` made was"):
        SeriesResult(tmp_path)


def test_a_stopped_series_says_how_to_go_on(tmp_path):
    manifest(complete=False).write(tmp_path)
    with pytest.raises(ValueError, match="a series that was stopped; run the same `euromine series` again"):
        SeriesResult(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is no JSON"),
        ("[]", "has no format 'euromine-series'"),
        ('{"format": "euromine-series", "version": 99}', "is of the version 99, 1 was expected"),
        ('{"format": "euromine-series", "version": 1}', "lacks or has other fields than a manifest"),
    ],
)
def test_a_manifest_that_is_none_is_named(tmp_path, text, sentence):
    (tmp_path / "series.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=sentence):
        read_manifest(tmp_path)


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    manifest(complete=True).write(tmp_path)
    assert read_manifest(tmp_path) == manifest(complete=True)
    assert json.loads((tmp_path / "series.json").read_text(encoding="utf-8"))["version"] == 1
