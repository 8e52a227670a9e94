"""Stages are timed for themselves alone, and the table adds them up."""

from pathlib import Path

import pytest
import rasterio

from euromine.benchmark import series_stage_times, series_stages
from euromine.benchmark.series_stage_times import REST, StageTimes
from euromine.benchmark.series_stages import (
    STAGES,
    different_maps,
    markdown,
    run_line,
    shortest,
    write_images,
)
from euromine.modeling.bands import BANDS


def test_a_stage_counts_without_those_that_it_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 7.0, 15.0])
    monkeypatch.setattr(series_stage_times.time, "process_time", lambda: next(clock))
    times = StageTimes()
    with times.stage("polygons"), times.stage("files"):
        pass
    assert times.seconds == {REST: 1, "polygons": 2 + 8, "files": 4}


def test_all_stages_of_a_run_have_a_row_of_the_table() -> None:
    named = {stage for functions in series_stage_times.STAGES.values() for stage in functions.values()}
    assert named | {series_stage_times.NETWORK, REST} == {*STAGES}


def test_the_table_sets_both_checkouts_side_by_side() -> None:
    runs = [
        {"seconds": dict.fromkeys(STAGES, 2.0)},
        {"seconds": {**dict.fromkeys(STAGES, 3.0), "changes": 1.0}},
    ]
    before = shortest(runs)
    assert before == {**dict.fromkeys(STAGES, 2.0), "changes": 1.0}
    table = markdown(dict.fromkeys(STAGES, 0.5), before)
    assert "| changes | 1.00 | 0.50 | 0.50 |" in table
    assert "| all stages but the network | 19.00 | 5.00 | 0.26 |" in table


def test_a_run_is_a_line_of_the_stages_that_it_has() -> None:
    assert run_line(Path("before"), {"polygons": 1.234, "changes": 0.5}) == (
        "before: changes 0.50, polygons 1.23\n"
    )


def test_images_have_all_bands_and_a_gap(tmp_path: Path) -> None:
    write_images(tmp_path, 300, [2020])
    with rasterio.open(tmp_path / "Year2020.tif") as file:
        assert file.descriptions == BANDS
        image = file.read()
    assert (image[:, :20, :30] == 0).all()
    # A mine is brighter than 2,000, and some ground is one and some is not.
    assert 0.01 < (image[:, 20:].mean(axis=0) > 2000).mean() < 0.5


def test_maps_with_other_bytes_are_named(tmp_path: Path) -> None:
    for folder, content in (("a", b"1"), ("b", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.tif").write_bytes(b"0")
        (tmp_path / folder / "other.tif").write_bytes(content)
    (tmp_path / "a" / "alone.tif").write_bytes(b"0")
    assert different_maps(tmp_path / "a", tmp_path / "b") == ["alone.tif", "other.tif"]


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        series_stages.main(["--before", str(tmp_path)])
    assert "no checkout with a folder monitoring/" in capsys.readouterr().err
