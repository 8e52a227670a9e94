"""Rows keep their pixels when datasets are joined, formatted, transformed, batched and pickled."""

import multiprocessing
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from euromine.dataset_script.pixel_references import PixelFeature, PixelReference
from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.row_batches import read_batches
from euromine.support.errors import DatasetError

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.usefixtures("own_cache"),
]

CONFIGS = {"annual": "image", "series": "images", "pairs": "change"}


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site in each split of the built dataset."""
    path = tmp_path_factory.mktemp("splits") / "splits.json"
    path.write_text('{"train": ["Austria_1"], "validation": ["Czechia_2"], "test": ["Bulgaria_1"]}')
    return path


def pixels_of(rows: Any, name: str) -> list[Any]:
    return [np.asarray(row[name]) for row in rows]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("config", "name"), CONFIGS.items())
def test_joined_splits_keep_their_pixels(built: Path, config: str, name: str, streaming: bool) -> None:
    first, second = (read_dataset(built, config, split, streaming=streaming) for split in ("test", "train"))
    expected = pixels_of(first, name), pixels_of(second, name)
    joined = pixels_of(datasets.concatenate_datasets([first, second]), name)
    assert len(joined) == len(expected[0]) + len(expected[1])
    for found, row in zip(joined, expected[0] + expected[1], strict=True):
        assert found.dtype == row.dtype
        np.testing.assert_array_equal(found, row)
    turns = pixels_of(datasets.interleave_datasets([first, second]), name)
    for number, found in enumerate(turns):
        np.testing.assert_array_equal(found, expected[number % 2][number // 2])


def test_joined_rows_are_batched_shuffled_and_loaded_by_other_processes(built: Path) -> None:
    columns = ("image", "patch_id", "year")
    parts = [read_dataset(built, "annual", split, columns=columns) for split in ("test", "validation")]
    joined = datasets.concatenate_datasets(parts)
    expected = {(row["patch_id"], row["year"]): row["image"] for part in parts for row in part}
    batches = list(read_batches(joined, 2, seed=3))
    assert sum(len(batch["year"]) for batch in batches) == len(expected)
    loader: Any = DataLoader(
        joined.shuffle(seed=1),
        batch_size=None,
        num_workers=1,
        multiprocessing_context=multiprocessing.get_context("spawn"),
        collate_fn=as_it_is,
    )
    rows = [
        *loader,
        *({key: values[place] for key, values in batch.items()} for batch in batches for place in (0, -1)),
    ]
    assert {(row["patch_id"], int(row["year"])) for row in rows} == set(expected)
    for row in rows:
        np.testing.assert_array_equal(row["image"], expected[row["patch_id"], int(row["year"])])


def as_it_is(row: dict[str, Any]) -> dict[str, Any]:
    return row


@pytest.mark.parametrize(("config", "name"), CONFIGS.items())
def test_other_formats_and_transforms_see_the_pixels(built: Path, config: str, name: str) -> None:
    rows = read_dataset(built, config, "train")
    expected = rows[1][name]
    tensor = rows.with_format("torch", dtype=torch.int32)[1][name]
    assert tensor.dtype == torch.int32
    np.testing.assert_array_equal(tensor.numpy(), expected)
    np.testing.assert_array_equal(rows.with_format("numpy")[1][name], expected)
    # Trailing zeros too, which NumPy's strings of bytes lose.
    assert rows.with_format("numpy")[:2][name].shape == (2, *expected.shape)

    def largest(batch: dict[str, Any]) -> dict[str, Any]:
        return {"largest": [pixels.max() for pixels in batch[name]], "own": [np.asarray(batch[name][0])]}

    found = rows.with_transform(largest)[1]
    assert found["largest"] == expected.max()
    np.testing.assert_array_equal(found["own"], expected)
    np.testing.assert_array_equal(rows.select_columns([name])[1][name], expected)
    np.testing.assert_array_equal(rows[name][1], expected)
    assert name not in rows.remove_columns(name)[1]
    (batch,) = list(rows.select([1, 2]).batch(2))
    np.testing.assert_array_equal(batch[name][0], expected)
    np.testing.assert_array_equal(batch[name][1], rows[2][name])


def test_a_stream_is_formatted_and_batched(built: Path) -> None:
    stream = read_dataset(built, "annual", "test", streaming=True)
    expected = pixels_of(stream, "image")
    for found, row in zip(stream.with_format("torch"), expected, strict=True):
        np.testing.assert_array_equal(found["image"].numpy(), row)
    np.testing.assert_array_equal(np.stack(next(iter(stream.batch(3)))["image"]), expected)
    table = next(iter(stream.with_format("arrow")))
    np.testing.assert_array_equal(table["image"].to_pylist()[0], expected[0])


def test_references_are_not_written_to_files_without_their_pixels(built: Path, tmp_path: Path) -> None:
    rows = read_dataset(built, "annual", "test")
    with pytest.raises(DatasetError, match="image: found references to the rows of a built dataset; exp"):
        rows.with_format(None).save_to_disk(tmp_path / "rows")
    copies = rows.map(lambda row: {"image": row["image"], "label": row["label"]}).with_format(None)
    copies.save_to_disk(tmp_path / "copies")
    stored = datasets.load_from_disk(tmp_path / "copies").with_format("numpy")
    np.testing.assert_array_equal(stored[2]["image"], rows[2]["image"])


def test_references_are_followed_only_where_their_dataset_is_open() -> None:
    with pytest.raises(TypeError, match=r"found list<.+>; expected references"):
        PixelFeature("image").cast_storage(datasets.Dataset.from_dict({"x": [[1]]}).data.column("x").chunk(0))
    with pytest.raises(DatasetError, match="that is not open"):
        PixelReference("label", 5, 0).read()
