"""`euromine build`, as a person types it."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import pytest
import typer.testing

from euromine.commands import app
from euromine.dataset_script.archive_writing import write_site
from euromine.dataset_script.reading import read_dataset

SITES = ("Austria_1", "Bulgaria_1", "Germany_13", "Greece_3", "Spain_4")


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sites that the published lists treat differently, a few pixels each."""
    root = tmp_path_factory.mktemp("archive")
    noise = np.random.default_rng(0)
    for site in SITES:
        write_site(
            root,
            site,
            images=noise.integers(1, 4000, (2, 10, 30, 40), dtype=np.int16),
            labels=noise.integers(0, 2, (2, 30, 40), dtype=np.uint8),
            years=(2015, 2016),
            crs="EPSG:4326",
            transform=(1e-4, 0.0, 12.0, 0.0, -1e-4, 50.0),
        )
    return root


def run(*arguments: object) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, ["build", *map(str, arguments)])


def sites(folder: Path) -> dict[str, list[str]]:
    return {split: sorted(set(rows["site"])) for split, rows in datasets.load_dataset(str(folder)).items()}


def test_the_corrected_lists_are_the_default(
    archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    result = run(archive, tmp_path / "euromine", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert f'load_dataset("{tmp_path / "euromine"}", "annual")' in result.output
    # No validation site is in the archive, and Spain_4 is one that the release leaves out.
    assert sites(tmp_path / "euromine") == {
        "train": ["Austria_1", "Germany_13", "Greece_3"],
        "test": ["Bulgaria_1"],
    }
    assert "Spain_4" in caplog.text


def test_the_official_lists_forget_a_site(archive: Path, tmp_path: Path) -> None:
    result = run(archive, tmp_path / "euromine", "--splits", "official", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert "Greece_3" not in sites(tmp_path / "euromine")["train"]
    assert "Germany_13" in sites(tmp_path / "euromine")["train"]


def test_a_json_file_gives_lists_of_ones_own(archive: Path, tmp_path: Path) -> None:
    own = {"train": ["Spain_4"], "validation": [], "test": [site for site in SITES if site != "Spain_4"]}
    (tmp_path / "own.json").write_text(json.dumps(own))
    result = run(archive, tmp_path / "euromine", "--splits", tmp_path / "own.json", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert sites(tmp_path / "euromine") == {"train": ["Spain_4"], "test": own["test"]}


def test_a_second_run_says_that_all_is_there(
    archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        result = run(archive, tmp_path / "euromine", "--workers", 1)
        assert result.exit_code == 0, result.output
    assert "is built already" in caplog.text


def test_what_is_wrong_is_said_in_one_sentence(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    for arguments, message in (
        ((archive, tmp_path / "taken"), "found something else than a dataset of `euromine build`"),
        ((tmp_path / "nowhere", tmp_path / "out"), "nowhere"),
        ((archive, tmp_path / "out", "--splits", "none.json"), "none.json"),
    ):
        result = run(*arguments)
        assert isinstance(result.exception, ValueError | OSError), result.exception
        assert message in str(result.exception)
        assert "\n" not in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_real_imagery_is_built_and_read(real_data: Path, tmp_path: Path) -> None:
    splits = {"train": ["France_1"], "validation": [], "test": ["Slovenia_1"]}
    (tmp_path / "splits.json").write_text(json.dumps(splits))
    archive = real_data / "real_archive" / "EuroMineNet"
    result = run(archive, tmp_path / "euromine", "--splits", tmp_path / "splits.json", "--workers", 1)
    assert result.exit_code == 0, result.output
    read = read_dataset(tmp_path / "euromine", "series")
    # France_1 is 246 x 227: four patches of seven years; Slovenia_1, 101 x 100, is less than one patch.
    assert [row["images"].shape for row in read["train"]] == [(7, 10, 160, 160)] * 4
    assert [row["images"].shape for row in read["test"]] == [(3, 10, 160, 160)]
    assert (
        sum((row["own"][2] - row["own"][0]) * (row["own"][3] - row["own"][1]) for row in read["train"])
        == 246 * 227
    )
