"""Files are whole or absent, and a full disk is one sentence."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch

from euromine.support import files


def test_a_file_takes_its_name_when_the_block_ends(tmp_path):
    path = tmp_path / "map.tif"
    path.write_bytes(b"old")
    with files.atomic_file(path) as part:
        part.write_bytes(b"new")
        assert part.parent == tmp_path
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "map.tif"
    path.write_bytes(b"old")

    def write_half():
        with files.atomic_file(path) as part:
            part.write_bytes(b"ne")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_names_the_file_and_not_its_temporary_sibling(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path, error in (
        (tmp_path / "absent" / "map.tif", FileNotFoundError),
        (tmp_path / "file" / "map.tif", NotADirectoryError),
        (tmp_path / "folder", IsADirectoryError),
    ):
        with pytest.raises(error) as caught:
            files.write_bytes(path, b"map")
        assert (caught.value.filename, caught.value.filename2) == (str(path), None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_link_shares_the_file_and_a_file_system_without_links_gets_a_copy(tmp_path, monkeypatch):
    source = tmp_path / "a"
    source.write_bytes(b"shard")
    files.link_or_copy(source, tmp_path / "b")
    assert (tmp_path / "b").samefile(source)

    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    files.link_or_copy(source, tmp_path / "c")
    assert not (tmp_path / "c").samefile(source)
    assert (tmp_path / "c").read_bytes() == b"shard"


def test_no_copy_is_made_on_a_full_disk(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space left"):
        files.link_or_copy(tmp_path / "a", tmp_path / "b")


def test_too_little_space_names_what_is_free_and_needed(tmp_path):
    error = files.full_disk_error(tmp_path / "missing", "the map", needed=30 * 2**20)
    assert error.errno == errno.ENOSPC
    assert error.strerror.startswith(f"no space left for the map in {tmp_path / 'missing'} (")
    assert error.strerror.endswith(
        "B free, at least 30 MB needed). Free some space and start again; what was complete is kept."
    )


def test_json_holds_null_where_there_is_no_number(tmp_path):
    files.write_json(tmp_path / "a.json", {"a": float("nan"), 2015: [1.5, float("inf")], "b": {"c": 1}})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "2015": [1.5, None], "b": {"c": 1}}


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    files.write_text(path, "old")

    def fail(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        files.write_text(path, "new")
    assert path.read_text() == "old"


def test_a_full_disk_is_one_sentence_whichever_library_met_it(tmp_path):
    def by_python():
        raise OSError(errno.ENOSPC, "No space left on device")

    def by_torch():
        # What torch really says where /dev/full stands for a full disk.
        torch.save({"a": torch.zeros(100_000)}, "/dev/full")

    def by_safetensors():
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    for write in (by_python, by_torch, by_safetensors):
        with (
            pytest.raises(OSError, match="no space left for checkpoint-3") as raised,
            files.explain_full_disk(tmp_path, "checkpoint-3"),
        ):
            write()
        assert raised.value.errno == errno.ENOSPC


def test_other_errors_pass_unchanged(tmp_path):
    with pytest.raises(RuntimeError, match="shapes differ"), files.explain_full_disk(tmp_path, "a"):
        raise RuntimeError("shapes differ")
