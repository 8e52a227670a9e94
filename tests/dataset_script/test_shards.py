"""Parquet shards: what is in the folder, the same bytes every time, and what happens if things go wrong."""

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import yaml
from PIL import Image

from euromine.dataset_script import shards
from euromine.dataset_script.shards import build_dataset
from euromine.support.errors import ArchiveError, BusyError

from .conftest import SPLITS

# As in the published archive, labels have no georeferencing.
pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.usefixtures("own_cache"),
]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def labels_of(archive: Path, site: str) -> dict[int, Any]:
    """Each year's label of a scene, 0/1, read by rasterio."""
    labels = {}
    for path in sorted((archive / "EuroMineNet" / site / "label").iterdir()):
        with rasterio.open(path) as dataset:
            labels[int(path.stem[-4:])] = dataset.read(1) // 255
    return labels


def run(code: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_folder_holds_what_the_card_names(built: Path) -> None:
    card = (built / "README.md").read_text()
    header = yaml.safe_load(card.split("---")[1])
    assert header["license"] == "cc-by-4.0"
    configs = {config["config_name"]: config for config in header["configs"]}
    assert list(configs) == ["annual", "series", "pairs"]
    assert [config.get("default", False) for config in configs.values()] == [True, False, False]
    for config in configs.values():
        assert [files["split"] for files in config["data_files"]] == ["train", "test"]
        for files in config["data_files"]:
            assert list(built.glob(files["path"]))
    assert "10.1016/j.isprsjprs.2026.04.046" in card
    assert "10.14278/rodare.4656" in card
    with Image.open(built / "years.png") as picture:
        assert picture.format == "PNG"
        assert len(picture.getcolors(2**20) or ()) > 100
    assert "](years.png)" in card


def test_the_code_in_the_card_runs(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(built.parent)  # where ./euromine is
    card = (built / "README.md").read_text()
    examples = [part.split("```")[0] for part in card.split("```python\n")[1:]]
    assert len(examples) == 2
    names: dict[str, Any] = {}
    for example in examples:
        exec(example, names)
    assert names["image"].shape == (10, 160, 160)
    assert names["label"].shape == (160, 160)
    assert names["series"][0]["images"].shape == (3, 10, 160, 160)


def test_datasets_alone_loads_streams_and_filters(built: Path) -> None:
    """In a process where nothing of this package can be imported."""
    code = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("euromine", "rasterio"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nothing())
try:
    import euromine.dataset_script
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("euromine is there")
import datasets, numpy as np
folder, datasets.config.HF_DATASETS_CACHE = sys.argv[1], sys.argv[2]
load = datasets.load_dataset
annual = load(folder)
assert set(annual) == {"train", "test"} and len(annual["train"]) == 18 + 4 and len(annual["test"]) == 3
features = annual["train"].features
assert features["image"] == datasets.Value("binary"), features
assert features["label"] == features["quicklook"] == datasets.Image()
row = annual["test"][0]
assert np.frombuffer(row["image"], "<i2").reshape(10, 160, 160).max() > 0
assert row["label"].size == row["quicklook"].size == (160, 160)
assert load(folder, "annual", split="train").num_rows == 22
assert load(folder, "series", split="train").num_rows == 6 + 2
assert load(folder, "pairs", split="train").num_rows == 6 * 3 + 2
streamed = list(load(folder, "annual", split="train", streaming=True))
assert [r["patch_id"] for r in streamed] == list(annual["train"]["patch_id"])
assert streamed[5]["image"] == annual["train"][5]["image"]
few = load(folder, "annual", split="train", columns=["year", "site"])
assert set(few.column_names) == {"year", "site"} and len(few) == 22
for streaming in (False, True):
    late = list(load(folder, "annual", split="train", filters=[("year", ">=", 2017)], streaming=streaming))
    assert len(late) == 6 + 2 and {r["year"] for r in late} == {2017}, len(late)
# Arrow's reading threads now and then abort an interpreter that ends right after a stream; by then all of
# the above has held.
import os
os._exit(0)
"""
    cache = built.parent / "other_cache"
    process = run(code, built, cache)
    assert process.returncode == 0, process.stderr


def test_shards_are_zstd_without_dictionaries_of_pixels_in_groups_of_16_rows(built: Path) -> None:
    file = pq.ParquetFile(built / "data" / "annual" / "train-00000-of-00002.parquet")
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [16, 2]
    columns = {groups[0].column(n).path_in_schema: groups[0].column(n) for n in range(groups[0].num_columns)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    for blob in ("image", "label.bytes", "quicklook.bytes"):
        assert "PLAIN_DICTIONARY" not in columns[blob].encodings
        assert "RLE_DICTIONARY" not in columns[blob].encodings
        assert columns[blob].statistics is None
    assert columns["year"].statistics.max == 2017  # by which filters skip row groups


def test_another_dataset_of_the_same_name_is_not_taken_from_the_cache(
    built: Path, small_archive: Path, tmp_path: Path
) -> None:
    again = build_dataset(small_archive, tmp_path / built.name, workers=1, progress=False)
    for folder, sites in ((built, {"Austria_1", "Czechia_2"}), (again, {"Austria_1"})):
        assert set(datasets.load_dataset(str(folder), split="train")["site"]) == sites


def test_pairs_count_gained_and_lost_pixels_as_the_scenes_do(built: Path, small_archive: Path) -> None:
    pairs = datasets.load_dataset(str(built), "pairs", split="train")
    annual = datasets.load_dataset(str(built), "annual", split="train")
    for site in SPLITS["train"]:
        labels = labels_of(small_archive, site)
        rows = [row for row in pairs if row["site"] == site]
        for year_1 in labels:
            for year_2 in labels:
                if year_1 >= year_2:
                    continue
                found = [row for row in rows if (row["year_1"], row["year_2"]) == (year_1, year_2)]
                gained = np.sum((labels[year_1] == 0) & (labels[year_2] == 1))
                lost = np.sum((labels[year_1] == 1) & (labels[year_2] == 0))
                assert sum(row["gained_pixels"] for row in found) == gained > 0
                assert sum(row["lost_pixels"] for row in found) == lost
                assert sum(row["owned_pixels"] for row in found) == labels[year_1].size
                assert {row["interval"] for row in found} == {year_2 - year_1}
        assert {(row["year_1"], row["year_2"]) for row in rows} == {
            (a, b) for a in labels for b in labels if a < b
        }
    for row in pairs:
        for number in ("1", "2"):
            of_year = annual[row[f"row_{number}"]]
            assert of_year["patch_id"] == row["patch_id"]
            assert of_year["year"] == row[f"year_{number}"]


def test_series_name_the_rows_of_their_patch(built: Path) -> None:
    for split in ("train", "test"):
        annual = datasets.load_dataset(str(built), "annual", split=split)
        named = []
        for row in datasets.load_dataset(str(built), "series", split=split):
            named += row["rows"]
            assert [annual[number]["patch_id"] for number in row["rows"]] == [row["patch_id"]] * len(
                row["rows"]
            )
            assert [annual[number]["year"] for number in row["rows"]] == row["years"]
        assert named == list(range(len(annual)))


def test_statistics_are_those_of_the_scenes(built: Path, small_archive: Path) -> None:
    statistics = json.loads((built / "statistics.json").read_text())
    labels = {site: labels_of(small_archive, site) for sites in SPLITS.values() for site in sites}
    for split in ("train", "test"):
        scenes = [label for site in SPLITS[split] for label in labels[site].values()]
        assert statistics["splits"][split]["pixels"] == sum(scene.size for scene in scenes)
        assert statistics["splits"][split]["mine_pixels"] == sum(int(scene.sum()) for scene in scenes)
    assert "validation" not in statistics["splits"]
    of_2016 = [years[2016] for years in labels.values() if 2016 in years]
    assert statistics["years"]["2016"]["sites"] == len(of_2016) == 2
    assert statistics["years"]["2016"]["mine_pixels"] == sum(int(scene.sum()) for scene in of_2016)
    assert statistics["countries"]["Czechia"]["images"] == 2 * 2
    images = []
    for site in SPLITS["train"]:
        for path in (small_archive / "EuroMineNet" / site / "image").iterdir():
            with rasterio.open(path) as dataset:
                images.append(dataset.read().reshape(10, -1).astype(float))
    values = np.concatenate(images, axis=1)
    np.testing.assert_allclose(statistics["band_statistics"]["mean"], values.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(statistics["band_statistics"]["std"], values.std(axis=1), rtol=1e-9)


def test_any_number_of_processes_gives_the_same_bytes(
    built: Path, small_archive: Path, splits: Path, tmp_path: Path
) -> None:
    again = build_dataset(small_archive, tmp_path / "euromine", splits=splits, workers=2, progress=False)
    assert contents(again) == contents(built)


def test_a_dask_cluster_gives_the_same_bytes(
    built: Path, small_archive: Path, splits: Path, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        again = build_dataset(
            small_archive, tmp_path / "euromine", splits=splits, dask=address, progress=False
        )
    assert contents(again) == contents(built)


def test_the_zip_gives_the_same_rows(
    built: Path, small_archive_zip: Path, splits: Path, tmp_path: Path
) -> None:
    again = build_dataset(small_archive_zip, tmp_path / "euromine", splits=splits, workers=1, progress=False)
    files, expected = contents(again), contents(built)
    for own in ("build.json",):  # says which files it was made from
        del files[own], expected[own]
    assert files == expected


KILLED = """
import os, signal, sys
from euromine.dataset_script import dataset_assembly, shards, site_shards
def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)
def after(function, calls):
    def counted(*arguments, **options):
        global called
        called += 1
        return (function if called <= calls else die)(*arguments, **options)
    return counted
called = 0
name, calls = sys.argv[4], int(sys.argv[5])
target = site_shards._AnnualWriter if name == "_write_group" else dataset_assembly
setattr(target, name, after(getattr(target, name), calls))
shards.build_dataset(sys.argv[1], sys.argv[2], splits=sys.argv[3], workers=1, progress=False)
"""


@pytest.mark.parametrize(
    ("function", "calls", "finished_sites"),
    [("_write_group", 2, 1), ("link_or_copy", 2, 3), ("write_card", 0, 3)],
)
def test_a_build_that_is_killed_goes_on_to_the_same_bytes(
    built: Path,
    small_archive: Path,
    splits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    calls: int,
    finished_sites: int,
) -> None:
    out = tmp_path / "euromine"
    process = run(KILLED, small_archive, out, splits, function, calls)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert not out.exists()
    built_again = []
    original = shards.build_site
    monkeypatch.setattr(shards, "build_site", lambda task: built_again.append(task) or original(task))
    build_dataset(small_archive, out, splits=splits, workers=1, progress=False)
    assert len(built_again) == 3 - finished_sites
    assert contents(out) == contents(built)
    assert [path.name for path in tmp_path.iterdir()] == ["euromine"]  # nothing is left over


def test_workers_end_with_their_parent(small_archive: Path, splits: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from euromine.dataset_script.shards import build_dataset;"
        "build_dataset(*sys.argv[1:3], splits=sys.argv[3], workers=2, progress=False)"
    )
    arguments = [sys.executable, "-c", code, str(small_archive), str(tmp_path / "euromine"), str(splits)]
    process = subprocess.Popen(arguments)
    workers: set[int] = set()
    while len(workers) < 2 and process.poll() is None:  # they then import for a second or two
        time.sleep(0.02)
        workers = {pid for pid in children_of(process.pid) if b"spawn_main" in command_of(pid)}
    process.kill()
    process.wait()
    assert len(workers) == 2
    deadline = time.monotonic() + 60
    while any(b"spawn_main" in command_of(pid) for pid in workers):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.1)


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        pytest.skip("needs /proc")


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    built: Path, small_archive: Path, splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "euromine"
    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(OSError, match=r"no space left for euromine in .* Make room") as error:
            build_dataset(small_archive, out, splits=splits, workers=1, progress=False)
    assert error.value.errno == errno.ENOSPC
    assert not out.exists()
    assert not list(tmp_path.glob(".euromine.building/parts/*"))
    build_dataset(small_archive, out, splits=splits, workers=1, progress=False)
    assert contents(out) == contents(built)


def test_a_finished_dataset_is_left_as_it_is(
    built: Path, small_archive: Path, splits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "build_site", None)  # nothing is built
    times = {path: path.stat().st_mtime_ns for path in built.rglob("*")}
    assert build_dataset(small_archive, built, splits=splits, workers=1, progress=False) == built
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*")} == times


def other_splits(archive: Path, built: Path, folder: Path) -> tuple[Path, Any]:
    return built, "corrected"


def foreign_folder(archive: Path, built: Path, folder: Path) -> tuple[Path, Any]:
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.tex").write_text("all my work")
    return folder / "mine", "corrected"


def foreign_file(archive: Path, built: Path, folder: Path) -> tuple[Path, Any]:
    (folder / "thesis.tex").write_text("all my work")
    return folder / "thesis.tex", "corrected"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (other_splits, "with other options; expected a new or empty folder"),
        (foreign_folder, "found something else than a dataset of `euromine build`"),
        (foreign_file, "found something else than a dataset of `euromine build`"),
    ],
)
def test_what_else_is_there_is_never_overwritten(
    small_archive: Path,
    built: Path,
    tmp_path: Path,
    make: Callable[..., tuple[Path, Any]],
    reason: str,
) -> None:
    out, splits = make(small_archive, built, tmp_path)
    before = contents(out) if out.is_dir() else {"": out.read_bytes()}
    with pytest.raises(ValueError, match=reason) as error:
        build_dataset(small_archive, out, splits=splits, workers=1, progress=False)
    assert str(out) in str(error.value)
    assert (contents(out) if out.is_dir() else {"": out.read_bytes()}) == before


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("statistics.json", lambda path: path.write_text("{")),
        (
            "statistics.json",
            lambda path: path.write_text(path.read_text().replace('"patches": ', '"patches": 1')),
        ),
        ("statistics.json", lambda path: path.unlink()),
        ("README.md", lambda path: path.unlink()),
        ("data/series/train-00000-of-00001.parquet", lambda path: path.write_bytes(path.read_bytes()[:-9])),
        ("data/pairs/train-00000-of-00001.parquet", lambda path: path.unlink()),
    ],
)
def test_a_finished_dataset_that_was_damaged_is_noticed(
    small_archive: Path, splits: Path, built: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    copy = tmp_path / "euromine"
    shutil.copytree(built, copy)
    assert build_dataset(small_archive, copy, splits=splits, workers=1, progress=False) == copy
    damage(copy / name)
    with pytest.raises((ValueError, FileNotFoundError), match=r"statistics\.json"):
        build_dataset(small_archive, copy, splits=splits, workers=1, progress=False)


def test_a_changed_archive_is_noticed(small_archive: Path, splits: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(small_archive, archive)
    out = build_dataset(archive, tmp_path / "euromine", splits=splits, workers=1, progress=False)
    newer = archive / "EuroMineNet" / "Austria_1" / "label" / "Year2016.tif"
    os.utime(newer, ns=(time.time_ns(), time.time_ns() + 10**9))
    with pytest.raises(ValueError, match="earlier state"):
        build_dataset(archive, out, splits=splits, workers=1, progress=False)


def test_a_bad_file_is_named_and_the_finished_sites_are_kept(
    small_archive: Path, splits: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(small_archive, archive)
    bad = archive / "EuroMineNet" / "Czechia_2" / "image" / "Year2017.tif"
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])
    with pytest.raises(ArchiveError, match=r"Czechia_2.image.Year2017\.tif"):
        build_dataset(archive, tmp_path / "euromine", splits=splits, workers=1, progress=False)
    assert not (tmp_path / "euromine").exists()
    parts = tmp_path / ".euromine.building" / "parts"
    assert sorted(path.name for path in parts.iterdir()) == ["Austria_1", "Bulgaria_1"]


def test_two_builds_at_once_do_not_mix(small_archive: Path, splits: Path, tmp_path: Path) -> None:
    out = tmp_path / "euromine"
    with (
        shards._locked(tmp_path / ".euromine.building", out),
        pytest.raises(BusyError, match=f"^{out}: found another run at work"),
    ):
        build_dataset(small_archive, out, splits=splits, workers=1, progress=False)
    assert not list(tmp_path.iterdir())


def test_a_build_that_another_one_finished_in_the_meantime_is_kept(
    small_archive: Path, splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = build_dataset(small_archive, tmp_path / "euromine", splits=splits, workers=1, progress=False)
    before = out.stat().st_ino
    answers = iter([False, True])  # before the lock, and under it
    monkeypatch.setattr(shards, "_is_built", lambda *_: next(answers))
    assert build_dataset(small_archive, out, splits=splits, workers=1, progress=False) == out
    assert out.stat().st_ino == before
    assert [path.name for path in tmp_path.iterdir()] == ["euromine"]


@pytest.mark.parametrize(
    ("finished", "left"), [([], []), (["Austria_1"], [".euromine.building", "Austria_1", "parts"])]
)
def test_an_interrupted_build_keeps_finished_sites_and_nothing_else(
    finished: list[str],
    left: list[str],
    small_archive: Path,
    splits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(tasks: Any, **_: Any) -> None:
        for name in (".unfinished-1", *finished):
            (Path(tasks[0].parts) / name).mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(shards, "_build_sites", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_dataset(small_archive, tmp_path / "euromine", splits=splits, workers=1, progress=False)
    assert sorted(path.name for path in tmp_path.rglob("*")) == left


def test_a_shard_ends_between_patches_and_under_its_limit(
    built: Path, small_archive: Path, splits: Path, tmp_path: Path
) -> None:
    limit = 9_000_000
    out = build_dataset(
        small_archive, tmp_path / "cut", splits=splits, workers=1, progress=False, shard_bytes=limit
    )
    files = sorted((out / "data" / "annual").glob("train-*"))
    assert len(files) > 2
    tables = [pq.read_table(file) for file in files]
    patches = [set(table.column("patch_id").to_pylist()) for table in tables]
    assert sum(map(len, patches)) == len(set.union(*patches))  # no patch is in two files
    assert max(file.stat().st_size for file in files) <= limit
    whole = [pq.read_table(file) for file in sorted((built / "data" / "annual").glob("train-*"))]
    assert pa.concat_tables(tables).equals(pa.concat_tables(whole))
    series = "data/series/train-00000-of-00001.parquet"
    assert (out / series).read_bytes() == (built / series).read_bytes()


def test_sites_of_one_year_have_no_pairs(small_archive: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    for folder in ("image", "label"):
        (archive / "Austria_1" / folder).mkdir(parents=True)
        shutil.copy(
            small_archive / "EuroMineNet" / "Austria_1" / folder / "Year2016.tif",
            archive / "Austria_1" / folder,
        )
    out = build_dataset(archive, tmp_path / "euromine", workers=1, progress=False)
    assert datasets.get_dataset_config_names(str(out)) == ["annual", "series"]
    assert set(datasets.load_dataset(str(out))) == {"train"}
    assert datasets.load_dataset(str(out), "series", split="train")["years"][0] == [2016]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers: found 0; expected at least 1"),
        ({"workers": 2, "dask": "tcp://127.0.0.1:1"}, "workers: found a number of processes beside dask"),
        ({"shard_bytes": 1000}, "shard_bytes: found 1000"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    small_archive: Path, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_dataset(small_archive, tmp_path / "euromine", progress=False, **arguments)


def test_the_picture_outlines_the_footprints(built: Path) -> None:
    pixels = np.asarray(Image.open(io.BytesIO((built / "years.png").read_bytes())))
    assert (pixels == (255, 221, 0)).all(axis=-1).sum() > 200


def test_the_card_says_so_where_the_archive_was_simulated(
    built: Path, small_archive: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "archive"
    shutil.copytree(small_archive, copied)
    (copied / "simulation.json").write_text("{}", encoding="utf-8")
    for place, name in ((copied, "whole"), (copied / "EuroMineNet", "inner")):
        folder = build_dataset(place, tmp_path / name, workers=1, progress=False)
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert "**Simulated data.**" in card
        assert "Simulated 10-band imagery and mine footprints of 2015-" in card
        assert "Ten years" not in card
    assert "simulated" not in (built / "README.md").read_text(encoding="utf-8").lower()
