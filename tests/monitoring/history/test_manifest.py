"""series.json: it comes back as it was written, and anything else is refused in one sentence."""

import json

import pytest

from euromine.monitoring.history.manifest import Manifest, ModelRecord, SceneRecord, read_manifest
from euromine.monitoring.result import SeriesResult
from euromine.support.errors import RecordError

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
    with pytest.raises(
        RecordError, match=r"found no series\.json; expected a folder that `euromine series` made\."
    ):
        SeriesResult(tmp_path)


def test_a_stopped_series_says_how_to_go_on(tmp_path):
    manifest(complete=False).write(tmp_path)
    with pytest.raises(
        RecordError, match=r"found an unfinished series; expected .* Run the same `euromine series`"
    ):
        SeriesResult(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "{",
            r"series\.json: found text that is not JSON \(.*\); expected a JSON object\. Run `eurom",
        ),
        ("[]", r"series\.json: found a list; expected an object\."),
        ('{"format": "other"}', "found the format 'other'; expected 'euromine-series'"),
        ('{"format": "euromine-series", "version": 99}', "found version 99; expected 1"),
        ('{"format": "euromine-series", "version": 1}', "found no site; expected a string"),
    ],
)
def test_a_manifest_that_is_none_is_named(tmp_path, text, sentence):
    (tmp_path / "series.json").write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=sentence):
        read_manifest(tmp_path)


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    manifest(complete=True).write(tmp_path)
    assert read_manifest(tmp_path) == manifest(complete=True)
    assert json.loads((tmp_path / "series.json").read_text(encoding="utf-8"))["version"] == 1
