"""`euromine tables`, as a person types it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import typer.testing

from euromine.commands import app
from euromine.dataset_script.archive_writing import write_site
from euromine.support.errors import ArgumentError, BusyError
from euromine.support.locks import lock_folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sites of two years: a square of 400 pixels that grows to 500, and one that stays."""
    root = tmp_path_factory.mktemp("archive") / "EuroMineNet"
    for name, heights in (("Spain_1", (20, 25)), ("Italy_1", (20, 20))):
        labels = np.zeros((2, 40, 50), np.uint8)
        for label, height in zip(labels, heights, strict=True):
            label[:height, :20] = 1
        write_site(
            root,
            name,
            images=np.full((2, 10, 40, 50), 900, np.int16),
            labels=labels,
            years=(2015, 2020),
            crs="EPSG:32633",
            transform=(10.0, 0.0, 5e5, 0.0, -10.0, 5e6),
        )
    return root


def run(*arguments: object) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, ["tables", *map(str, arguments)])


def test_tables_are_shown_and_written(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "sites.csv").write_text("site,production\nSpain_1,coal\nItaly_1,quarry\n")
    result = run(
        archive, "--out", tmp_path / "tables", "--production", tmp_path / "sites.csv", "--workers", 1
    )
    assert result.exit_code == 0, result.output
    assert "# Mine areas of EuroMineNet\n" in result.output
    assert "true ground areas" in result.output
    page = (tmp_path / "tables" / "tables.md").read_text()
    assert page in result.output
    with (tmp_path / "tables" / "table3_intervals.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    # 100 pixels of 100 m2 on the map, whose scale is 0.9996 at the zone's central meridian.
    assert (row["interval_years"], row["expanded_km2"], row["decreased_km2"]) == ("5", "0.010008", "0.000000")
    with (tmp_path / "tables" / "table1_production.csv").open(newline="") as file:
        coal = next(row for row in csv.DictReader(file) if row["production"] == "coal")
    assert (coal["area_2015_km2"], coal["area_2020_km2"]) == ("0.040032", "0.050040")


def test_the_papers_convention_is_named(archive: Path) -> None:
    result = run(archive, "--areas", "paper", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert "100 m2 per pixel" in result.output


def test_a_simulated_archive_is_called_one(archive: Path) -> None:
    note = archive.parent / "simulation.json"
    note.write_text(json.dumps({}))
    try:
        assert "(simulated)" in run(archive, "--workers", 1).output
    finally:
        note.unlink()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("{archive}", "--areas", "acres"), "expected one of true, paper"),
        (("{archive}", "--production", "missing.csv"), "missing.csv"),
        (("missing",), "missing: found nothing there"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: tuple[str, ...], sentence: str, archive: Path) -> None:
    result = run(*(part.format(archive=archive) for part in arguments))
    assert isinstance(result.exception, ValueError | OSError)
    assert sentence in str(result.exception)


def test_files_that_are_no_earlier_tables_are_kept_unless_told_otherwise(
    archive: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "table3_intervals.csv"
    mine.write_text("mine")
    result = run(archive, "--out", tmp_path, "--workers", 1)
    assert isinstance(result.exception, ArgumentError)
    assert "table3_intervals.csv: found a file of another kind" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["table3_intervals.csv"]
    assert mine.read_text() == "mine"
    assert run(archive, "--out", tmp_path, "--workers", 1, "--overwrite").exit_code == 0
    assert run(archive, "--out", tmp_path, "--workers", 1).exit_code == 0, "its own tables are replaced"
    (tmp_path / "tables.md").write_text("# Notes")
    result = run(archive, "--out", tmp_path, "--workers", 1)
    assert "tables.md: found a file of another kind" in str(result.exception)
    with lock_folder(tmp_path):
        assert isinstance(run(archive, "--out", tmp_path, "--workers", 1).exception, BusyError)
