"""Decoded rows are the archive's own pixels, whichever way they are asked for."""

import pickle
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
import rasterio
from datasets.distributed import split_dataset_by_node
from PIL import Image
from torch.utils.data import ChainDataset, DataLoader

from euromine.dataset_script import cells, row_views
from euromine.dataset_script.reading import read_dataset
from euromine.support.errors import ArgumentError, DatasetError

# As in the published archive, labels have no georeferencing.
pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.usefixtures("own_cache"),
]

CONFIGS = ("annual", "series", "pairs")
# What names a row.
KEYS = {
    "annual": ("patch_id", "year"),
    "series": ("patch_id",),
    "pairs": ("patch_id", "year_1", "year_2"),
}
PIXELS = {
    "annual": {"image", "label"},
    "series": {"images", "labels"},
    "pairs": {"images", "labels", "change"},
}


class Scenes:
    """The archive as rasterio reads it."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive / "EuroMineNet"

    def cut(self, kind: str, row: dict[str, Any], year: int) -> Any:
        path = self._archive / row["site"] / kind / f"Year{year}.tif"
        with rasterio.open(path) as dataset:
            scene = dataset.read()
        window = scene[:, row["top"] : row["top"] + 160, row["left"] : row["left"] + 160]
        missing = ((0, 0), (0, 160 - window.shape[1]), (0, 160 - window.shape[2]))
        return np.pad(window, missing, mode="wrap")

    def image(self, row: dict[str, Any], year: int) -> Any:
        return self.cut("image", row, year)

    def label(self, row: dict[str, Any], year: int) -> Any:
        return self.cut("label", row, year)[0] // 255


@pytest.fixture(scope="module")
def scenes(small_archive: Path) -> Scenes:
    return Scenes(small_archive)


def same(row: dict[str, Any], other: dict[str, Any]) -> bool:
    return row.keys() == other.keys() and all(np.array_equal(row[name], other[name]) for name in row)


def test_annual_rows_are_the_pixels_of_the_archive(built: Path, scenes: Scenes) -> None:
    read = read_dataset(built)
    assert isinstance(read, datasets.DatasetDict)
    assert {split: len(rows) for split, rows in read.items()} == {"train": 22, "test": 3}
    for rows in read.values():
        for row in rows:
            assert (row["image"].dtype, row["label"].dtype) == (np.int16, np.uint8)
            np.testing.assert_array_equal(row["image"], scenes.image(row, row["year"]))
            np.testing.assert_array_equal(row["label"], scenes.label(row, row["year"]))


def test_series_are_the_years_of_a_patch(built: Path, scenes: Scenes) -> None:
    rows = read_dataset(built, "series", "train")
    assert [row["years"] for row in rows] == [[2015, 2016, 2017]] * 6 + [[2015, 2017]] * 2
    for row in rows:
        expected = [scenes.image(row, year) for year in row["years"]]
        np.testing.assert_array_equal(row["images"], expected)
        np.testing.assert_array_equal(row["labels"], [scenes.label(row, year) for year in row["years"]])
        assert (row["images"].dtype, row["labels"].dtype) == (np.int16, np.uint8)


def test_pairs_are_two_years_and_what_changes_between_them(built: Path, scenes: Scenes) -> None:
    rows = read_dataset(built, "pairs", "train")
    expected = list(combinations((2015, 2016, 2017), 2)) * 6 + [(2015, 2017)] * 2
    assert [(row["year_1"], row["year_2"]) for row in rows] == expected
    for row in rows:
        years = (row["year_1"], row["year_2"])
        np.testing.assert_array_equal(row["images"], [scenes.image(row, year) for year in years])
        labels = [scenes.label(row, year) for year in years]
        np.testing.assert_array_equal(row["labels"], labels)
        np.testing.assert_array_equal(row["change"], labels[0] ^ labels[1])
        top, left, bottom, right = row["own"]
        owned = row["change"][top:bottom, left:right]
        assert row["gained_pixels"] + row["lost_pixels"] == np.count_nonzero(owned)


@pytest.mark.parametrize("config", CONFIGS)
def test_streaming_gives_the_same_rows(built: Path, config: str) -> None:
    for years in (None, (2015, 2017)):
        read = read_dataset(built, config, "train", years=years)
        streamed = list(read_dataset(built, config, "train", years=years, streaming=True))
        assert len(streamed) == len(read)
        assert all(same(row, other) for row, other in zip(read, streamed, strict=True))


def test_streaming_every_split_and_some_columns(built: Path) -> None:
    streams = read_dataset(built, "series", columns=("years", "labels"), streaming=True)
    assert isinstance(streams, datasets.IterableDatasetDict)
    assert set(streams) == {"train", "test"}
    (row,) = streams["test"]
    assert row.keys() == {"years", "labels"}
    assert streams["train"].num_shards == 2  # one file a site: what DataLoader workers share out


def test_years_restrict_rows_series_and_pairs(built: Path) -> None:
    annual = read_dataset(built, "annual", "train", years=[2016])
    assert set(annual["year"]) == {2016}
    assert len(annual) == 6  # Czechia_2 has no 2016
    series = read_dataset(built, "series", "train", years=[2016, 2017])
    assert [row["years"] for row in series] == [[2016, 2017]] * 6 + [[2017]] * 2
    assert [len(row["images"]) for row in series] == [2] * 6 + [1] * 2
    whole = read_dataset(built, "series", "train")
    np.testing.assert_array_equal(series[3]["images"], whole[3]["images"][1:])
    pairs = read_dataset(built, "pairs", "train", years=[2015, 2016])
    assert {(row["year_1"], row["year_2"]) for row in pairs} == {(2015, 2016)}
    assert len(read_dataset(built, "series", "train", years=[2016])) == 6


@pytest.mark.parametrize("config", CONFIGS)
def test_it_stays_an_ordinary_dataset(built: Path, config: str) -> None:
    read = read_dataset(built, config, "train")
    rows = list(read)
    shuffled = read.shuffle(seed=1)
    assert len(shuffled) == len(rows)
    assert sorted(row["patch_id"] for row in shuffled) == sorted(row["patch_id"] for row in rows)
    assert all(same(row, rows[index]) for row, index in zip(read.select([3, 0, 3]), (3, 0, 3), strict=True))
    right = read.filter(lambda left: left > 0, input_columns=["left"])
    assert [row["patch_id"] for row in right] == [row["patch_id"] for row in rows if row["left"] > 0]
    assert same(right[1], [row for row in rows if row["left"] > 0][1])
    assert same(pickle.loads(pickle.dumps(read))[2], rows[2])
    assert same(datasets.concatenate_datasets([read.select([1]), read.select([2])])[1], rows[2])
    mapped = read.map(lambda row: {"double": 2 * row["top"]})
    assert mapped[2]["double"] == 2 * rows[2]["top"]
    assert PIXELS[config] <= mapped[2].keys()
    batch = read[:2]
    assert all(np.array_equal(batch[name][1], rows[1][name]) for name in rows[1])
    assert same(read[-1], rows[-1])


def test_a_filter_may_look_at_pixels(built: Path) -> None:
    read = read_dataset(built, "series", "train")
    changed = read.filter(lambda row: (row["labels"][0] != row["labels"][-1]).any())
    expected = [row["patch_id"] for row in read if (row["labels"][0] != row["labels"][-1]).any()]
    assert [row["patch_id"] for row in changed] == expected


@pytest.mark.parametrize("config", CONFIGS)
def test_a_filter_that_looks_at_no_pixels_decodes_none(
    built: Path, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = read_dataset(built, config, "train")

    def decode(*_: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(cells.CellColumn, "__getitem__", decode)
    assert len(read.filter(lambda left: left > 0, input_columns=["left"])) > 0


def test_columns_choose_the_entries_of_a_row(built: Path) -> None:
    read = read_dataset(built, "annual", "train", columns=("image", "year"))
    assert read[0].keys() == {"image", "year"}
    assert read_dataset(built, "pairs", "train", columns=["change"])[0].keys() == {"change"}
    assert read_dataset(built, "annual", "train")[0].keys() == {
        *("patch_id", "site", "country", "year", "top", "left", "own", "scene_height", "scene_width"),
        *("crs", "transform", "mine_pixels", "image", "label"),
    }


@pytest.mark.parametrize("context", [None, "spawn"])
def test_a_data_loader_reads_it(built: Path, context: str | None) -> None:
    read = read_dataset(built, "annual", "train", columns=("image", "label"))
    workers = 0 if context is None else 1
    loader: Any = DataLoader(
        read, batch_size=8, num_workers=workers, multiprocessing_context=context, collate_fn=stack_images
    )
    batches = list(loader)
    assert [batch.shape for batch in batches] == [(8, 10, 160, 160)] * 2 + [(6, 10, 160, 160)]
    np.testing.assert_array_equal(np.concatenate(batches), np.stack([row["image"] for row in read]))


def stack_images(rows: list[dict[str, Any]]) -> Any:
    return np.stack([row["image"] for row in rows])


@pytest.mark.parametrize("config", CONFIGS)
def test_forked_workers_share_a_stream_and_lose_no_row(built: Path, config: str) -> None:
    stream = read_dataset(built, config, "train", columns=KEYS[config], streaming=True)
    assert_rows_of(built, config, list(loaded_by_workers(stream, "fork")))


def test_spawned_workers_share_streams_and_lose_no_row(built: Path) -> None:
    """One after the other in the same two workers, whose start takes seconds."""
    streams = [
        read_dataset(built, config, "train", columns=KEYS[config], streaming=True) for config in CONFIGS
    ]
    rows = list(loaded_by_workers(ChainDataset(streams), "spawn"))
    for config in CONFIGS:
        assert_rows_of(built, config, [row for row in rows if row.keys() == set(KEYS[config])])


def loaded_by_workers(stream: Any, context: str) -> Any:
    return DataLoader(
        stream, batch_size=None, num_workers=2, multiprocessing_context=context, collate_fn=as_it_is
    )


def assert_rows_of(built: Path, config: str, rows: list[dict[str, Any]]) -> None:
    """Each row of the configuration once, in any order."""
    columns = KEYS[config]
    found = sorted(tuple(row[name] for name in columns) for row in rows)
    # 6 patches of three years and 2 of two.
    assert len(found) == {"annual": 22, "series": 8, "pairs": 20}[config]
    assert found == sorted(
        tuple(row[name] for name in columns) for row in read_dataset(built, config, "train", columns=columns)
    )


def as_it_is(row: dict[str, Any]) -> dict[str, Any]:
    return row


def test_processes_share_a_stream_and_lose_no_row(built: Path) -> None:
    stream = read_dataset(built, "annual", "train", columns=("patch_id", "year"), streaming=True)
    found = [
        (row["patch_id"], row["year"])
        for rank in range(2)
        for row in split_dataset_by_node(stream, rank=rank, world_size=2)
    ]
    assert len(found) == len(set(found)) == 22


@pytest.mark.parametrize(
    ("config", "name", "dtype"),
    [
        ("annual", "image", np.int16),
        ("annual", "label", np.uint8),
        ("series", "labels", np.uint8),
        ("pairs", "images", np.int16),
        ("pairs", "change", np.uint8),
    ],
)
def test_what_map_writes_is_read_back(built: Path, config: str, name: str, dtype: Any) -> None:
    read = read_dataset(built, config, "test").select([0])
    mapped = read.map(lambda row: {name: np.full_like(row[name], 7)})
    assert mapped[0][name].dtype == dtype
    assert np.unique(mapped[0][name]).tolist() == [7]
    assert mapped[0][name].shape == read[0][name].shape
    for other in PIXELS[config] - {name}:
        np.testing.assert_array_equal(mapped[0][other], read[0][other])
    halves = read.map(lambda row: {name: row[name] / 2})
    np.testing.assert_array_equal(halves[0][name], read[0][name] / 2)


def test_a_part_of_a_split_keeps_its_pixels(built: Path) -> None:
    for config in CONFIGS:
        whole, part = read_dataset(built, config, "train"), read_dataset(built, config, "train[5:8]")
        assert len(part) == 3
        assert same(part[1], whole[6])


def test_the_bare_name_is_the_folder_here(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(built.parent)
    assert same(read_dataset("euromine", split="test")[0], read_dataset(built, split="test")[0])


def test_labels_of_other_writers_are_decoded_from_a_dataset(
    built: Path, scenes: Scenes, tmp_path: Path
) -> None:
    """As when a person writes the shards again with `datasets`, whose PNG are compressed."""
    annual = datasets.load_dataset(str(built), "annual", split="train")
    again = annual.map(lambda row: {"label": Image.fromarray(np.asarray(row["label"]))})
    assert len(again.data.column("label")[0]["bytes"].as_py()) < 10_000
    (tmp_path / "data" / "annual").mkdir(parents=True)
    again.to_parquet(tmp_path / "data" / "annual" / "train-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text(
        (built / "README.md")
        .read_text()
        .replace("  - split: test\n    path: data/annual/test-*.parquet\n", "")
    )
    read = read_dataset(tmp_path, split="train")
    for row in read:
        np.testing.assert_array_equal(row["label"], scenes.label(row, row["year"]))


def test_cells_are_views_of_the_file_whatever_the_chunks(built: Path) -> None:
    annual = datasets.load_dataset(str(built), "annual", split="train")
    values = [bytes([number]) * (3 + number % 2) for number in range(9)]
    table = pa.table({"x": pa.array(values, pa.binary())})
    chunks = [table.column("x").chunk(0).slice(1, 4), table.column("x").chunk(0).slice(5, 1)]
    assert [bytes(cell) for chunk in chunks for cell in cells._cells_of(chunk)] == values[1:6]
    image = row_views.Pixels(annual).image([4])[0]
    assert not image.flags.owndata
    assert not image.flags.writeable


def test_configs_of_two_builds_are_not_mixed(built: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(built, mixed)
    series = mixed / "data" / "series"
    shutil.copy(series / "train-00000-of-00001.parquet", series / "test-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="found row numbers of other patches in split"):
        read_dataset(mixed, "series", "test")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": "monthly"}, "config: found 'monthly'; expected one of annual, series, pairs"),
        ({"columns": ["image", "colour"]}, "columns: found 'colour'; expected some of those of annual"),
        ({"split": "train", "years": [1999]}, "years: found 1999"),
        ({"config": "series", "split": "train+test"}, r"split: found 'train\+test'"),
        ({"config": "pairs", "split": "train[:2]", "streaming": True}, "expected the name of a whole split"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    built: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_dataset(built, **arguments)


def test_a_folder_that_is_no_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"found no README\.md and data/annual; expected the folder that `euromine build` wrote",
    ):
        read_dataset(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        read_dataset("./nowhere")
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        read_dataset(tmp_path / "nowhere")


def test_reading_imports_neither_rasterio_nor_torch() -> None:
    code = "import sys, euromine.dataset_script.reading; print({'torch', 'rasterio'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "set()"


@pytest.mark.parametrize("config", ["annual", "series"])
@pytest.mark.parametrize("streaming", [False, True])
def test_an_unknown_split_is_the_users_mistake(built: Path, config: str, streaming: bool) -> None:
    with pytest.raises(ArgumentError, match=r"^split: found 'trian' \(.*'test'\]\); expected a split of "):
        read_dataset(built, config, "trian", streaming=streaming)


def test_a_card_of_something_else_is_no_dataset(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "data", tmp_path / "data")
    (tmp_path / "README.md").write_text("# A model\n")
    with pytest.raises(DatasetError, match=r"found no config 'annual' in README\.md; expected the card"):
        read_dataset(tmp_path, "annual", "train")
