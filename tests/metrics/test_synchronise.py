"""The copies of the files that the metrics share."""

import shutil

import pytest

from euromine.metrics import synchronise


def test_every_copy_equals_what_is_edited():
    assert synchronise.outdated_copies() == []
    for metric in synchronise.METRICS:
        for name in synchronise.SHARED_FILES:
            edited = (synchronise.FOLDER / name).read_bytes()
            assert (synchronise.FOLDER / metric / name).read_bytes() == edited


@pytest.fixture
def folder(tmp_path, monkeypatch):
    copy = tmp_path / "metrics"
    shutil.copytree(synchronise.FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(synchronise, "FOLDER", copy)
    return copy


def test_a_check_finds_an_outdated_copy_and_changes_nothing(folder):
    outdated = folder / "ca_tiou" / "counts.py"
    outdated.write_text("edited in the wrong place")
    (folder / "annual_f1" / "app.py").unlink()
    assert [copy for _, copy in synchronise.outdated_copies(folder)] == [
        folder / "annual_f1" / "app.py",
        outdated,
    ]
    assert outdated.read_text() == "edited in the wrong place"


def test_synchronising_updates_only_outdated_copies(folder):
    (folder / "counts.py").write_text("edited in the right place")
    updated = synchronise.synchronise(folder)
    assert updated == [folder / metric / "counts.py" for metric in synchronise.METRICS]
    assert synchronise.synchronise(folder) == []
    assert not list(folder.glob("*/.*"))


def test_the_command_says_whether_the_copies_are_equal():
    assert synchronise.main(["--check"]) == 0
