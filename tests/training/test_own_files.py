"""The folder of a run: its own files are replaced and deleted, others never."""

import json
from pathlib import Path

import pytest

from euromine.support.errors import ArgumentError
from euromine.support.records import read_record, write_record
from euromine.support.run_records import RunRecord
from euromine.training import own_files


def record(*files: str) -> RunRecord:
    return RunRecord("segmentation", "digest", {}, files=list(files))


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "run.json",
        "layers.py",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
        "checkpoint-7",
        "_incomplete",
        "_deleted-checkpoint-7",
    ],
)
def test_what_a_run_would_replace_is_refused_where_no_record_lists_it(name, tmp_path):
    (tmp_path / name).mkdir()
    said = f"found {name}, which no run of these scripts wrote; expected a folder without"
    with pytest.raises(ArgumentError, match=said):
        own_files.check_foreign(tmp_path, None)
    if "-" in name or name.startswith("_"):
        if "safetensors" not in name:
            own_files.check_foreign(tmp_path, record("README.md"))
    else:
        with pytest.raises(ArgumentError, match=said):
            own_files.check_foreign(tmp_path, record("metrics.json"))
    own_files.check_foreign(tmp_path, record(name))
    own_files.check_foreign(tmp_path, record())  # of an earlier version, which listed no files


@pytest.mark.parametrize("name", ["notes.md", "train.py", "_incomplete_thoughts.txt", "log.txt", "model.pt"])
def test_other_files_are_no_matter(name, tmp_path):
    (tmp_path / name).touch()
    own_files.check_foreign(tmp_path, None)
    own_files.check_foreign(tmp_path / "missing", None)


def staged_files(folder: Path, *names: str) -> Path:
    staged = folder / "_incomplete"
    staged.mkdir()
    for name in names:
        (staged / name).write_text("new")
    return staged


def test_files_are_listed_before_they_are_placed(tmp_path):
    write_record(tmp_path / "run.json", record("config.json", "run.json"))
    (tmp_path / "config.json").write_text("old")
    own_files.place(staged_files(tmp_path, "config.json", "layers.py"), tmp_path)
    assert (tmp_path / "config.json").read_text() == (tmp_path / "layers.py").read_text() == "new"
    assert read_record(RunRecord, tmp_path / "run.json").files == ["config.json", "layers.py", "run.json"]


def test_a_file_that_somebody_put_there_since_is_not_replaced(tmp_path):
    write_record(tmp_path / "run.json", record("config.json", "run.json"))
    (tmp_path / "layers.py").write_text("mine")
    with pytest.raises(ArgumentError, match=r"found layers\.py, which no run"):
        own_files.place(staged_files(tmp_path, "config.json", "layers.py"), tmp_path)
    assert (tmp_path / "layers.py").read_text() == "mine"
    assert not (tmp_path / "config.json").exists()
    assert json.loads((tmp_path / "run.json").read_text())["files"] == ["config.json", "run.json"]


def test_unfinished_files_of_the_run_are_cleaned_and_no_others(tmp_path):
    for name in ("_metrics.json.part", "_notes.part", "_thesis.md.part"):
        (tmp_path / name).touch()
    (tmp_path / "_incomplete").mkdir()
    own_files.clean(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_notes.part", "_thesis.md.part"]
