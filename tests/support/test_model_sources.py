from pathlib import Path

import pytest

from euromine.support.errors import ModelError
from euromine.support.model_sources import check_checkpoint, check_model_source, names_folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "runs" / "unet").mkdir(parents=True)
    (tmp_path / "runs" / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("source", ["runs/unet", "runs", "mines/segformer-b5", "gpt2"])
def test_folders_and_names_of_repositories_pass(here, source):
    check_model_source(source)


@pytest.mark.parametrize(
    "source", ["runs/typo", "./typo", "../typo", "/no/typo", "~/typo", "a/b/typo", "runs\\typo"]
)
def test_a_missing_folder_is_not_taken_for_a_repository(here, source):
    with pytest.raises(ModelError, match="found no such folder; expected the folder of a checkpoint"):
        check_model_source(source)


def test_the_way_to_a_repository_named_like_a_folder_is_told(here):
    with pytest.raises(ModelError, match=r"^runs/typo: .*, as there is a folder runs\. For a repository"):
        check_model_source("runs/typo")


def test_a_file_is_refused(here):
    with pytest.raises(ModelError, match=r"^runs/notes\.txt: found a file;"):
        check_model_source("runs/notes.txt")


def test_relative_names_begin_in_the_folder_given(here, monkeypatch):
    monkeypatch.chdir(Path("/"))
    assert not names_folder("runs/typo")
    assert names_folder("runs/typo", here)


def test_a_folder_without_a_checkpoint_is_refused(here):
    with pytest.raises(ModelError, match=r"^runs/unet: found no config\.json; expected a checkpoint with"):
        check_checkpoint("runs/unet")
    (here / "runs" / "unet" / "config.json").touch()
    check_checkpoint("runs/unet")
    check_checkpoint("mines/segformer-b5")
