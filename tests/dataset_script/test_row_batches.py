"""Batches of annual rows are the rows themselves, stacked."""

import io
import pickle
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from euromine.dataset_script import pixel_references, row_batches
from euromine.dataset_script.cells import CellColumn, LazyColumn
from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.row_batches import StackedRows
from euromine.dataset_script.row_views import stack_cells
from euromine.support.errors import ArgumentError, DatasetError

pytestmark = pytest.mark.usefixtures("own_cache")


def test_batches_refuse_pixels_that_map_has_written(built: Path) -> None:
    mapped = read_dataset(built, "annual", "test").map(lambda row: {"image": row["image"] + 1})
    with pytest.raises(ValueError, match="dataset: found image written by map; expected pixels as they were"):
        next(row_batches.read_batches(mapped))


def test_batches_are_the_rows_stacked(built: Path) -> None:
    read = read_dataset(built, "annual", "train").filter(lambda year: year != 2016, input_columns=["year"])
    rows = list(read)
    batches = list(row_batches.read_batches(read, 6))
    assert [len(batch["image"]) for batch in batches] == [6, 6, 4]
    for name in rows[0]:
        joined = np.concatenate([batch[name] for batch in batches])
        np.testing.assert_array_equal(joined, np.array([row[name] for row in rows]))
    assert batches[0]["image"].flags.writeable
    assert batches[0]["label"].flags.writeable


def test_batches_are_shuffled_by_their_seed(built: Path) -> None:
    read = read_dataset(built, "annual", "train", columns=("image", "patch_id", "year"))
    by_seed = [
        [
            key
            for batch in row_batches.read_batches(read, 8, seed=seed)
            for key in zip(batch["patch_id"], batch["year"], strict=True)
        ]
        for seed in (1, 1, 2)
    ]
    assert by_seed[0] == by_seed[1] != by_seed[2]
    assert sorted(by_seed[0]) == sorted(by_seed[2]) == [(row["patch_id"], row["year"]) for row in read]
    assert [len(batch["year"]) for batch in row_batches.read_batches(read, 8, drop_last=True)] == [8, 8]


def test_batches_of_anything_else_are_refused(built: Path) -> None:
    for dataset in (read_dataset(built, "series", "train"), datasets.Dataset.from_dict({"year": [2015]})):
        with pytest.raises(ValueError, match="dataset: found other rows than annual ones and pairs"):
            next(row_batches.read_batches(dataset))
    with pytest.raises(ValueError, match="batch_size: found 0"):
        next(row_batches.read_batches(read_dataset(built, "annual", "train"), 0))


def test_a_data_loader_gets_the_rows_stacked(built: Path) -> None:
    read = read_dataset(built, "annual", "train").shuffle(seed=0).select(range(3, 20))
    rows = list(read)
    loader = DataLoader(StackedRows(read), batch_size=5, collate_fn=dict)
    batches = list(loader)
    assert [len(batch["year"]) for batch in batches] == [5, 5, 5, 2]
    for name in rows[0]:
        np.testing.assert_array_equal(
            np.concatenate([batch[name] for batch in batches]), np.array([row[name] for row in rows])
        )
    row = StackedRows(read)[4]
    assert all(np.array_equal(row[name], rows[4][name]) for name in rows[4])


def test_a_data_loader_gets_pairs_stacked(built: Path) -> None:
    read = read_dataset(built, "pairs", "train").shuffle(seed=0)
    rows = list(read)
    batches = list(DataLoader(StackedRows(read), batch_size=5, collate_fn=dict))
    assert sum(len(batch["year_1"]) for batch in batches) == len(rows)
    for name in rows[0]:
        np.testing.assert_array_equal(
            np.concatenate([batch[name] for batch in batches]), np.array([row[name] for row in rows])
        )
    change = StackedRows(read, ("change",))[3]["change"]
    np.testing.assert_array_equal(change, rows[3]["change"])


def test_another_process_opens_the_splits_by_itself(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = read_dataset(built, "annual", "train")
    rows = StackedRows(read, ("label", "year"))
    expected = rows[21]
    assert expected.keys() == {"label", "year"}
    sent = pickle.dumps(rows)
    monkeypatch.setattr(pixel_references, "_open_splits", {})  # as in a process that has read nothing yet
    with pytest.raises(DatasetError, match="found rows of a dataset that is not open"):
        rows.__getitems__([21])
    again = pickle.loads(sent)
    assert (len(again), again[21]["year"]) == (len(read), expected["year"])
    np.testing.assert_array_equal(again[21]["label"], expected["label"])


def test_joined_splits_are_read_from_their_own_files(built: Path) -> None:
    train, test = (read_dataset(built, "annual", split) for split in ("train", "test"))
    joined = datasets.concatenate_datasets([train.select([7, 2]), test.select([1])])
    batch = StackedRows(joined).__getitems__([2, 0])
    np.testing.assert_array_equal(batch["image"], [test[1]["image"], train[7]["image"]])
    np.testing.assert_array_equal(batch["label"], [test[1]["label"], train[7]["label"]])


def test_labels_are_those_that_pillow_decodes(built: Path) -> None:
    stored = datasets.load_dataset(str(built), "annual", split="train")
    stored = stored.cast_column("label", datasets.Image(decode=False))
    expected = [np.asarray(Image.open(io.BytesIO(row["label"]["bytes"]))) for row in stored]
    order = np.random.default_rng(0).permutation(len(stored)).tolist()
    # Twice: a chunk is decoded at the first look, and remembered.
    for _ in range(2):
        batch = StackedRows(read_dataset(built, "annual", "train")).__getitems__(order)
        np.testing.assert_array_equal(batch["label"], [expected[row] for row in order])


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.uint8])
def test_cells_are_stacked_bit_by_bit_from_any_address(dtype: type[np.integer]) -> None:
    limits = np.iinfo(dtype)
    memory = np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8)
    size = 30 * dtype().nbytes
    cells = [memory[start : start + size].view(dtype).reshape(2, 3, 5) for start in (0, 8, 1002, 36, 3000)]
    cells.append(np.full((2, 3, 5), limits.min, dtype))
    cells.append(np.full((2, 3, 5), limits.max, dtype))
    for each in (cells, [cell[:, :, 1:] for cell in cells], [cells[5], cells[0][:, ::-1]]):
        stacked = stack_cells(each)
        assert stacked.dtype == dtype
        assert stacked.flags.writeable
        np.testing.assert_array_equal(stacked, np.stack(each))


def test_images_and_labels_of_different_rows_are_read_from_their_own(built: Path) -> None:
    train = read_dataset(built, "annual", "train")
    halves = [
        train.select_columns(["image"]).select(range(10)),
        train.select_columns(["label"]).select(range(5, 15)),
    ]
    joined = datasets.concatenate_datasets(halves, axis=1)
    joined.set_transform(train.format["format_kwargs"]["transform"])
    batch = StackedRows(joined).__getitems__([3, 0])
    np.testing.assert_array_equal(batch["image"], [train[3]["image"], train[0]["image"]])
    np.testing.assert_array_equal(batch["label"], [train[8]["label"], train[5]["label"]])


def test_no_decoded_picture_is_kept() -> None:
    """Labels that another program compressed would fill the memory one by one."""
    chunks = [["a", "b"], ["c", "d", "e"]]
    reads = []
    column = CellColumn(
        chunks, lambda chunk: LazyColumn(lambda name: reads.append(name) or np.array([name]), chunk)
    )
    assert [cell[0] for cell in column[[4, 0, 4]]] == ["e", "a", "e"]
    assert reads == ["e", "a", "e"]


def test_unknown_columns_are_refused(built: Path) -> None:
    with pytest.raises(ArgumentError, match=r"columns: found 'labels'; expected some of those of the datas"):
        StackedRows(read_dataset(built, "annual", "train"), ("image", "labels"))
