"""Weights that are missing, cut off, listed wrongly or quantised, found by the headers of their files."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from euromine.support.errors import EuroMineError, ModelError
from euromine.support.weight_files import weight_files

TENSORS = {"a": torch.zeros(3), "b": torch.ones(2, 2), "c": torch.zeros(1, dtype=torch.int64)}
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def write_shards(folder: Path, **changes: str) -> Path:
    save_file({"a": TENSORS["a"]}, folder / FIRST, metadata={"format": "pt"})
    save_file({"b": TENSORS["b"], "c": TENSORS["c"]}, folder / SECOND, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {"a": FIRST, "b": SECOND, "c": SECOND, **changes}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_one_file_or_several_with_their_index_are_found(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    assert weight_files(write_shards(tmp_path)) == [index, tmp_path / FIRST, tmp_path / SECOND]
    save_file(TENSORS, tmp_path / "model.safetensors")
    assert weight_files(tmp_path) == [tmp_path / "model.safetensors"]  # transformers prefers it, too


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"d": SECOND}, r"-of-00002\.safetensors: found other tensors than .*index\.json lists \(d\)"),
        ({"c": FIRST}, r"00001-of-00002\.safetensors: found other tensors than .*index\.json lists \(c\)"),
        ({"d": "model-00003.safetensors"}, r"found no model-00003\.safetensors; expected the weights"),
        (
            {"d": "../model.safetensors"},
            r"found the file '\.\./model\.safetensors'; expected files in the same",
        ),
    ],
)
def test_an_index_that_does_not_fit_its_files_is_refused(
    tmp_path: Path, changes: dict[str, str], found: str
) -> None:
    with pytest.raises(ModelError, match=found):
        weight_files(write_shards(tmp_path, **changes))


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path)
    save_file(TENSORS, tmp_path / SECOND)
    with pytest.raises(ModelError, match=r"lists \(a\); expected each tensor in one file"):
        weight_files(tmp_path)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_quantised_weights_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    save_file({**TENSORS, "a": TENSORS["a"].to(dtype)}, tmp_path / "model.safetensors")
    with pytest.raises(
        ModelError, match=r"model\.safetensors: found quantised weights \(a as \w+\); expected"
    ):
        weight_files(tmp_path)


def test_files_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(ModelError, match=r"found no model\.safetensors; expected the weights as safetensors"):
        weight_files(tmp_path)
    save_file(TENSORS, path)
    whole = path.read_bytes()
    for data in (b"", whole[:4], whole[:20], whole[:-1], whole + b"0", (2**62).to_bytes(8, "little") + b"{}"):
        path.write_bytes(data)
        with pytest.raises(EuroMineError, match=r"model\.safetensors: found .*; expected"):
            weight_files(tmp_path)
    path.write_bytes((5).to_bytes(8, "little") + b"[[[[[")
    with pytest.raises(EuroMineError, match=r"model\.safetensors: found text that is not JSON"):
        weight_files(tmp_path)


def test_pickled_weights_are_named(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "pytorch_model.bin")
    with pytest.raises(
        ModelError, match=r"found pickled weights \(pytorch_model\.bin\), which can hold code"
    ):
        weight_files(tmp_path)
