"""The bare names on this machine: in any project, without a network, and taken back without a trace."""

import errno
import json
import os
import py_compile
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest

from euromine.dataset_script.shards import build_dataset
from euromine.hub import linking
from euromine.support.errors import BusyError
from euromine.support.locks import lock_folder

from .conftest import Worker, person_environment, write_archive

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
NOWHERE = "http://127.0.0.1:9"


def tree(folder: Path) -> dict[str, Any]:
    """All that lies in a folder: sizes and times of files, targets of links."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = (path.stat().st_size, path.stat().st_mtime_ns)
        else:
            found[name] = None
    return found


Command = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def command(linker: Worker) -> Command:
    """The command on machines whose caches lie in the folder given."""

    def run(home: Path, *arguments: object) -> tuple[int, str]:
        caches = (
            "import datasets\nkept = datasets.config.HF_DATASETS_CACHE, datasets.config.HF_MODULES_CACHE\n"
        )
        kept = linker.run(caches + "value = [str(each) for each in kept]")
        change = (
            "import datasets\ndatasets.config.HF_DATASETS_CACHE, datasets.config.HF_MODULES_CACHE = caches"
        )
        linker.run(change, caches=[str(home / "datasets"), str(home / "modules")])
        try:
            return linker.euromine(*arguments, token=None)
        finally:
            linker.run(change, caches=kept)

    return run


@pytest.fixture(scope="module")
def linker(start_person: Callable[..., Worker]) -> Worker:
    """Somebody with the package, whose cache stands in for this machine's."""
    return start_person(alone=False, token=None, **OFFLINE)


@pytest.fixture(scope="module")
def linked(linker: Worker, dataset: Path) -> str:
    """What the command says of the link."""
    status, output = linker.euromine("link", dataset, token=None)
    assert status == 0, output
    return output


def test_bare_names_load_offline_in_another_project(
    linked: str, linker: Worker, dataset: Path, start_person: Callable[..., Worker]
) -> None:
    person = start_person(
        HF_HOME=linker.environment["HF_HOME"], **OFFLINE
    )  # a folder and a process of its own
    found = person.run(
        """
import datasets, evaluate, numpy as np
from datasets import load_dataset
# Both keep modules in one place, as the link takes for granted.
assert str(datasets.config.HF_MODULES_CACHE) == str(evaluate.config.HF_MODULES_CACHE)
counts = {}
for config in ("annual", "series", "pairs"):
    for split, rows in load_dataset("euromine", config).items():
        counts[f"{config}/{split}"] = len(rows)
row = load_dataset("euromine", "annual", split="validation")[1]
streamed = next(iter(load_dataset("euromine", "annual", split="test", streaming=True)))
maps = np.array([[[[1, 0]], [[1, 1]]]])
scores = {}
for name in ("ca_tiou", "annual_f1", "interval_f1"):
    metric = evaluate.load(name)
    scores[name] = [metric.name, metric.compute(predictions=maps, references=maps, sites=["site"])["years"]]
value = [counts, row["site"], len(row["image"]), streamed["site"], scores]
"""
    )
    counts, site, size, streamed, scores = found
    shards = sorted((dataset / "data").rglob("*.parquet"))
    assert counts == {
        f"{path.parent.name}/{path.name.split('-')[0]}": pq.ParquetFile(path).metadata.num_rows
        for path in shards
    }
    assert (site, size, streamed) == ("Italy_1", 2 * 10 * 160 * 160, "Greece_1")
    assert scores == {name: [name, [0, 1]] for name in ("ca_tiou", "annual_f1", "interval_f1")}


def test_the_bare_name_without_a_config_gives_the_annual_rows(
    linked: str, linker: Worker, start_person: Callable[..., Worker]
) -> None:
    person = start_person(HF_HOME=linker.environment["HF_HOME"], **OFFLINE)
    found = person.run(
        """
from datasets import load_dataset
rows = {split: [len(each), sorted(each.features)] for split, each in load_dataset("euromine").items()}
# The result that `filter` keeps beside the pairs makes them newer.
load_dataset("euromine", "pairs", split="train").filter(lambda row: row["interval"] == 1)
again = load_dataset("euromine", split="train")
annual = {
    split: [len(each), sorted(each.features)] for split, each in load_dataset("euromine", "annual").items()
}
series = load_dataset("euromine", "series", split="train")
value = [rows, annual, "image" in again.features, "rows" in series.features]
"""
    )
    rows, annual, is_annual, is_series = found
    assert rows == annual
    assert (is_annual, is_series) == (True, True)
    assert 'load_dataset("euromine")' in linked


def test_our_reader_and_the_dataset_s_default_work_by_the_bare_name(linked: str, linker: Worker) -> None:
    shape = linker.run(
        """
from euromine.dataset_script.reading import read_dataset
value = read_dataset("euromine", "series", split="train")[0]["images"].shape
"""
    )
    assert shape == [3, 10, 160, 160]


def test_the_command_says_what_works_and_what_it_costs(linked: str, dataset: Path, linker: Worker) -> None:
    assert 'load_dataset("euromine", "annual")' in linked
    assert 'evaluate.load("ca_tiou")' in linked
    arrow = sum(path.stat().st_size for path in Path(linker.environment["HF_HOME"]).rglob("*.arrow"))
    assert f"its rows take {arrow / 1e6:,.0f} MB" in linked


def test_linking_twice_changes_nothing(linked: str, linker: Worker, dataset: Path) -> None:
    home = Path(linker.environment["HF_HOME"])
    before = tree(home / "datasets")
    status, output = linker.euromine("link", dataset, token=None)
    assert (status, "is linked already" in output) == (0, True), output
    assert tree(home / "datasets") == before


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another dataset."""
    root = tmp_path_factory.mktemp("other")
    (root / "splits.json").write_text(
        json.dumps({"train": ["Italy_1", "Spain_1", "Greece_1"], "validation": [], "test": []})
    )
    return build_dataset(
        write_archive(root / "EuroMineNet", 9),
        root / "euromine",
        splits=root / "splits.json",
        workers=1,
        progress=False,
    )


def test_another_dataset_is_linked_only_after_unlinking(
    linked: str, linker: Worker, other: Path, dataset: Path
) -> None:
    status, output = linker.euromine("link", other, token=None)
    assert (
        status,
        f"found {dataset} linked on this machine already; expected no other dataset. `euromine" in output,
    ) == (
        1,
        True,
    ), output


def test_what_is_no_dataset_is_refused(linker: Worker, tmp_path: Path) -> None:
    status, output = linker.euromine("link", tmp_path, token=None)
    assert (
        status,
        "found no build.json; expected a folder that `euromine build` wrote" in output,
    ) == (1, True), output


def test_unlinking_leaves_the_machine_as_it_was(command: Command, dataset: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    # Somebody else's, under the very names.
    foreign = home / "datasets" / "euromine" / "annual" / "0.0.0" / "0123456789abcdef"
    foreign.mkdir(parents=True)
    (foreign / "dataset_info.json").write_text('{"config_name": "annual"}')
    module = home / "modules" / "evaluate_modules" / "metrics" / "evaluate-metric--ca_tiou" / ("0" * 64)
    module.mkdir(parents=True)
    (module / "ca_tiou.py").write_text("# somebody else's")
    before = {name: tree(home / name) for name in ("datasets", "modules")}
    assert command(home, "link", dataset)[0] == 0
    # As when the module is imported.
    py_compile.compile(str(next((home / "datasets" / ".euromine").rglob("annual_f1.py"))))
    status, taken = command(home, "unlink")
    assert status == 0, taken
    assert f"{dataset} is no longer linked" in taken
    assert "Left" not in taken
    after = {name: tree(home / name) for name in ("datasets", "modules")}
    # What the libraries themselves leave when they are imported or lock something is theirs.
    assert after["datasets"] == before["datasets"]
    assert {
        name: value
        for name, value in after["modules"].items()
        if "__pycache__" not in name and not name.endswith("__init__.py")
    } == before["modules"]
    assert command(home, "unlink") == (0, "Nothing is linked on this machine.\n")


def test_what_others_wrote_into_the_linked_rows_is_left_and_named(
    command: Command, dataset: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    assert command(home, "link", dataset)[0] == 0
    source = """
from datasets import load_dataset
rows = load_dataset("euromine", "pairs", split="train")
print(len(rows.filter(lambda row: row["interval"] == 1)))
"""
    environment = person_environment(home, NOWHERE, None) | OFFLINE
    subprocess.run(
        [sys.executable, "-c", source], env=environment, cwd=tmp_path, capture_output=True, check=True
    )
    cached = list((home / "datasets").rglob("cache-*.arrow"))
    assert len(cached) == 1
    _, output = command(home, "unlink")
    assert f"Kept, because something else wrote or changed it: {cached[0]}" in output
    assert cached[0].is_file()
    assert not (home / "datasets" / "euromine").exists()


def test_a_link_is_refused_where_something_else_lies(command: Command, dataset: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert command(home, "link", dataset)[0] == 0
    links = [path for path in (home / "datasets" / "euromine").rglob("*") if path.is_symlink()]
    assert len(links) == 3
    assert command(home, "unlink")[0] == 0
    links[0].mkdir(parents=True)
    (links[0] / "mine.txt").write_text("mine")
    before = tree(home / "datasets")
    status, output = command(home, "link", dataset)
    assert (status, f"{links[0]} exists already and was not made by `euromine link`" in output) == (1, True)
    assert {name: value for name, value in tree(home / "datasets").items() if not name.endswith(".lock")} == {
        name: value for name, value in before.items() if not name.endswith(".lock")
    }


def test_a_stopped_link_goes_on_or_is_taken_back(dataset: Path, start_person: Callable[..., Worker]) -> None:
    person = start_person(alone=False, token=None, **OFFLINE)
    home = Path(person.environment["HF_HOME"])
    stopped = """
import euromine.hub.linking as linking
kept = linking._store_metric
def stop(*arguments):
    raise KeyboardInterrupt
linking._store_metric = stop
try:
    linking.link(folder, progress=False)
except KeyboardInterrupt:
    pass
finally:
    linking._store_metric = kept
"""
    person.run(stopped, folder=str(dataset))
    assert not [path for path in home.rglob("*") if path.is_symlink()]
    status, output = person.euromine("unlink", token=None)
    assert status == 0, output
    assert not list(home.rglob("*.arrow"))
    person.run(stopped, folder=str(dataset))
    arrow = {path: path.stat().st_mtime_ns for path in home.rglob("*.arrow")}
    status, output = person.euromine("link", dataset, token=None)
    assert (status, "is linked now" in output) == (0, True), output
    # What was decompressed before was not decompressed again.
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*.arrow") if not path.is_symlink()} == arrow


def test_rows_that_were_loaded_from_the_folder_before_are_shared(
    dataset: Path, start_person: Callable[..., Worker]
) -> None:
    person = start_person(alone=False, token=None, **OFFLINE)
    home = Path(person.environment["HF_HOME"])
    person.run(
        """
from datasets import load_dataset
for config in ("annual", "series", "pairs"):
    load_dataset(folder, config)
""",
        folder=str(dataset),
    )
    inodes = {path.stat().st_ino for path in home.rglob("*.arrow")}
    status, output = person.euromine("link", dataset, token=None)
    assert (status, "shared with what `datasets` had" in output) == (0, True), output
    assert {path.stat().st_ino for path in home.rglob("*.arrow")} == inodes
    before = {path for path in home.rglob("*.arrow") if ".euromine" not in path.parts}
    assert person.euromine("unlink", token=None)[0] == 0
    assert set(home.rglob("*.arrow")) == before


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of `datasets` and `evaluate`, for links in this process."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub" / "datasets")
    monkeypatch.setattr(datasets.config, "HF_MODULES_CACHE", tmp_path / "hub" / "modules")
    return tmp_path / "hub"


def test_a_second_link_or_unlink_is_refused_and_leaves_the_first_alone(dataset: Path, cache: Path) -> None:
    store = cache / "datasets" / ".euromine"
    with lock_folder(store), pytest.raises(BusyError, match="found another run at work"):
        linking.link(dataset, progress=False)
    assert not cache.exists()
    assert linking.link(dataset, progress=False).existed is False
    before = tree(cache)
    with lock_folder(store), pytest.raises(BusyError, match="found another run at work"):
        linking.unlink()
    assert tree(cache) == before
    assert linking.unlink() is not None
    assert not [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_what_a_killed_link_left_goes_when_it_is_linked_already(dataset: Path, cache: Path) -> None:
    linking.link(dataset, progress=False)
    store = cache / "datasets" / ".euromine"
    before = tree(store)
    (store / "work" / "ds" / "annual").mkdir(parents=True)
    (store / "work" / "ds" / "annual" / "ds-train.arrow").write_bytes(b"half")
    (store / "_link.json.part").write_text("{")
    assert linking.link(dataset, progress=False).existed is True
    assert tree(store) == before


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, r"no space left for the linked rows in .*\.euromine .*HF_DATASETS_CACHE"),
        (errno.EROFS, "Read-only file system"),
    ],
)
def test_an_error_of_the_disk_is_a_sentence_where_datasets_tells_a_page(
    number: int, sentence: str, dataset: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(builder: datasets.DatasetBuilder, **_: object) -> None:
        Path(builder.cache_dir).mkdir(parents=True)
        error = datasets.exceptions.DatasetGenerationError("An error occurred")
        raise error from OSError(number, os.strerror(number), "rows.arrow")

    monkeypatch.setattr(datasets.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(OSError, match=sentence):
        linking.link(dataset, progress=False)
    assert [path.name for path in (cache / "datasets" / ".euromine").iterdir()] == ["link.json"]
