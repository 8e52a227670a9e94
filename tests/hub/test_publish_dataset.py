"""A built dataset on the Hub: sent whole, loaded and streamed by people who have nothing of ours."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from euromine.dataset_script.build_record import read_build_record
from euromine.dataset_script.shards import build_dataset
from euromine.hub import built_dataset

from .card_rules import errors_of, missing_from
from .conftest import Worker, write_archive
from .server import Hub

REPOSITORY = "mines/euromine"


@pytest.fixture(scope="module")
def published(publisher: Worker, dataset: Path) -> str:
    """What the command says of the first publication."""
    status, output = publisher.euromine("publish", "dataset", dataset, REPOSITORY)
    assert status == 0, output
    return output


def test_a_dry_run_lists_every_file_and_sends_nothing(publisher: Worker, dataset: Path, hub: Hub) -> None:
    with hub.noted() as requests:
        status, output = publisher.euromine("publish", "dataset", dataset, "mines/never", "--dry-run")
    assert status == 0, output
    for path in dataset.rglob("*"):
        if path.is_file() and path.name != "README.md":
            assert f"{path.stat().st_size:,}  {path.relative_to(dataset).as_posix()}\n" in output
    assert "  README.md\n" in output
    assert "mines/never does not exist yet" in output
    assert {method for method, _ in requests} == {"GET"}
    assert not hub.exists("dataset", "mines/never")


def test_all_files_arrive_as_they_are_in_one_commit(published: str, dataset: Path, hub: Hub) -> None:
    assert f"Published: {hub.url}/datasets/{REPOSITORY}\n" in published
    there = hub.files("dataset", REPOSITORY)
    here = {path.relative_to(dataset).as_posix() for path in dataset.rglob("*") if path.is_file()}
    assert set(there) == here | {".gitattributes"}
    for path in here - {"README.md"}:
        assert hub.read("dataset", REPOSITORY, path) == (dataset / path).read_bytes()
    assert hub.history("dataset", REPOSITORY) == ["Publish the dataset with euromine", "initial commit"]


def test_the_shards_are_zstd(published: str, hub: Hub, tmp_path: Path) -> None:
    for path in hub.files("dataset", REPOSITORY):
        if path.endswith(".parquet"):
            (tmp_path / "shard").write_bytes(hub.read("dataset", REPOSITORY, path))
            assert pq.ParquetFile(tmp_path / "shard").metadata.row_group(0).column(0).compression == "ZSTD"


def test_the_card_names_the_repository_and_is_what_the_hub_expects(published: str, hub: Hub) -> None:
    card = hub.read("dataset", REPOSITORY, "README.md").decode()
    assert f'load_dataset("{REPOSITORY}"' in card
    assert f'read_dataset("{REPOSITORY}"' in card
    assert '"euromine"' not in card
    assert errors_of(card, "dataset") == []
    assert missing_from(card, "dataset") == []
    assert "CC-BY-4.0" in card


def test_others_load_all_configs(published: str, reader: Worker, dataset: Path) -> None:
    rows = reader.run(
        """
from datasets import load_dataset
import hashlib
value = {}
for config in ("annual", "series", "pairs"):
    for split, rows in load_dataset(repository, config).items():
        first = rows[0]
        digest = hashlib.sha256(first["image"]).hexdigest() if "image" in first else None
        value[f"{config}/{split}"] = [len(rows), first["patch_id"], digest]
""",
        repository=REPOSITORY,
    )
    expected = {}
    for path in sorted((dataset / "data").rglob("*.parquet")):
        table = pq.read_table(path)
        digest = None
        if "image" in table.column_names:
            digest = sha256(table.column("image")[0].as_py()).hexdigest()
        expected[f"{path.parent.name}/{path.name.split('-')[0]}"] = [
            table.num_rows,
            table.column("patch_id")[0].as_py(),
            digest,
        ]
    assert rows == expected


def test_others_stream_it_without_fetching_the_rest(published: str, reader: Worker, hub: Hub) -> None:
    with hub.noted() as requests:
        site, years, mine = reader.run(
            """
from datasets import load_dataset
import numpy as np
rows = load_dataset(repository, "annual", split="train", streaming=True)
taken = list(rows.take(3))
image = np.frombuffer(taken[0]["image"], "<i2").reshape(10, 160, 160)
value = [taken[0]["site"], [row["year"] for row in taken], int((np.asarray(taken[1]["label"]) == 1).sum())]
""",
            repository=REPOSITORY,
        )
    assert (site, years) == ("Spain_1", [2015, 2016, 2018])
    assert mine == 28 * 30  # rows 10 to 37, columns 10 to 39, in the second year
    fetched = {path for _, path in requests if path.endswith(".parquet")}
    assert {path.rsplit("/", 1)[-1] for path in fetched} == {"train-00000-of-00001.parquet"}


def test_our_reader_takes_the_repository(published: str, publisher: Worker) -> None:
    shape = publisher.run(
        """
from euromine.dataset_script.reading import read_dataset
value = read_dataset(repository, "pairs", split="validation")[0]["images"].shape
""",
        repository=REPOSITORY,
    )
    assert shape == [2, 10, 160, 160]


def test_a_second_publication_sends_nothing(
    published: str, publisher: Worker, dataset: Path, hub: Hub
) -> None:
    with hub.noted() as requests:
        status, output = publisher.euromine("publish", "dataset", dataset, REPOSITORY)
    assert status == 0
    assert "holds all of this already" in output
    assert {method for method, _ in requests} <= {"GET", "HEAD"}


def test_shards_of_an_earlier_state_go_and_what_people_added_stays(
    publisher: Worker, dataset: Path, hub: Hub
) -> None:
    name = "mines/earlier"
    assert publisher.euromine("publish", "dataset", dataset, name)[0] == 0
    stale = "data/annual/train-00000-of-00002.parquet"
    hub.write(
        "dataset", name, {stale: b"old", "notes.md": b"read me", "README.md": b"---\n{}\n---\n"}, "by hand"
    )
    status, output = publisher.euromine("publish", "dataset", dataset, name)
    assert status == 0, output
    assert f"To be removed there: {stale}" in output
    files = hub.files("dataset", name)
    assert stale not in files
    assert hub.read("dataset", name, "notes.md") == b"read me"


def test_another_dataset_is_not_overwritten(
    published: str, publisher: Worker, hub: Hub, tmp_path: Path
) -> None:
    (tmp_path / "splits.json").write_text(
        json.dumps({"train": ["Spain_1", "Italy_1"], "validation": [], "test": ["Greece_1"]})
    )
    other = build_dataset(
        write_archive(tmp_path / "EuroMineNet", brightness=7),
        tmp_path / "other",
        splits=tmp_path / "splits.json",
        workers=1,
        progress=False,
    )
    before = hub.head("dataset", REPOSITORY)
    status, output = publisher.euromine("publish", "dataset", other, REPOSITORY)
    assert status == 1
    assert f"{REPOSITORY} holds a dataset with other splits" in output
    assert "--force` replaces it" in output
    assert hub.head("dataset", REPOSITORY) == before


@pytest.mark.parametrize(
    ("content", "held"),
    [
        ({"data.csv": b"a,b\n1,2\n"}, "data that `euromine build` did not make"),
        (
            {"README.md": b"---\nlicense: mit\n---\n# Somebody's notes\n"},
            "data that `euromine build` did not make",
        ),
    ],
)
def test_what_somebody_else_made_needs_force(
    content: dict[str, bytes], held: str, publisher: Worker, dataset: Path, hub: Hub
) -> None:
    name = f"tester/{'csv' if 'data.csv' in content else 'card'}"
    hub.create("dataset", name, content)
    status, output = publisher.euromine("publish", "dataset", dataset, name)
    assert (status, held in output) == (1, True), output
    assert len(hub.history("dataset", name)) == 1
    status, output = publisher.euromine("publish", "dataset", dataset, name, "--force", "--dry-run")
    assert ("To be removed there: data.csv" in output) == ("data.csv" in content)
    assert len(hub.history("dataset", name)) == 1
    assert publisher.euromine("publish", "dataset", dataset, name, "--force")[0] == 0
    assert "data.csv" not in hub.files("dataset", name)
    # Its history keeps it.
    first = json.loads((hub.folder("dataset", name) / f"{hub.head('dataset', name)}.json").read_text())[
        "parent"
    ]
    for path, data in content.items():
        assert hub.read("dataset", name, path, first) == data


def test_a_card_that_the_site_made_counts_as_nothing(publisher: Worker, dataset: Path, hub: Hub) -> None:
    hub.create("dataset", "tester/fresh", {"README.md": b"---\nlicense: cc-by-4.0\n---\n"})
    status, output = publisher.euromine("publish", "dataset", dataset, "fresh")
    assert status == 0, output
    assert "tester/fresh is empty" in output
    assert "build.json" in hub.files("dataset", "tester/fresh")


def test_a_branch_is_made_from_the_main_one(
    published: str, publisher: Worker, dataset: Path, hub: Hub
) -> None:
    status, output = publisher.euromine("publish", "dataset", dataset, REPOSITORY, "--revision", "v1")
    assert status == 0, output
    assert hub.head("dataset", REPOSITORY, "v1") == hub.head("dataset", REPOSITORY)
    hub.write(
        "dataset", REPOSITORY, {"build.json": (dataset / "build.json").read_bytes(), "x": b"1"}, "aside", "v1"
    )
    status, output = publisher.euromine(
        "publish", "dataset", dataset, REPOSITORY, "--revision", "v1", "--dry-run"
    )
    assert "branch v1 holds all of this already" in output


def test_a_new_repository_is_private_when_asked(publisher: Worker, dataset: Path, hub: Hub) -> None:
    assert publisher.euromine("publish", "dataset", dataset, "mines/secret", "--private")[0] == 0
    settings = json.loads((hub.folder("dataset", "mines/secret") / "settings.json").read_text())
    assert settings["private"] is True


def test_what_is_no_whole_dataset_is_refused_before_anybody_is_asked(
    publisher: Worker, dataset: Path, tmp_path: Path, hub: Hub
) -> None:
    def damaged(damage: Callable[[Path], object]) -> Path:
        folder = tmp_path / f"copy_{len(list(tmp_path.iterdir()))}"
        shutil.copytree(dataset, folder)
        damage(folder)
        return folder

    shard = "data/annual/train-00000-of-00001.parquet"
    half = (dataset / shard).read_bytes()[:-100]
    (tmp_path / "empty").mkdir()
    for folder, message in (
        (tmp_path / "nowhere", "nowhere: found no build.json; expected a folder"),
        (
            tmp_path / "empty",
            "found no build.json; expected a folder that `euromine build` wrote",
        ),
        (
            damaged(lambda folder: (folder / shard).write_bytes(half)),
            "found no end of a parquet file; expected a whole shard",
        ),
        (
            damaged(lambda folder: (folder / shard).unlink()),
            "found 0 files for data/annual/train-*.parquet; expected the shards",
        ),
        (damaged(lambda folder: (folder / "README.md").unlink()), "found no README.md; expected a card"),
        (
            damaged(lambda folder: (folder / "years.png").unlink()),
            "found no years.png for the picture it shows",
        ),
    ):
        with hub.noted() as requests:
            status, output = publisher.euromine("publish", "dataset", folder, "mines/broken")
        assert (status, message in output) == (1, True), output
        assert requests == []


@pytest.mark.parametrize("name", ["a/b/c", "mines/two words", "mines/-", "mines/x.git", "mines/é"])
def test_a_name_that_cannot_be_is_refused(name: str, publisher: Worker, dataset: Path) -> None:
    status, output = publisher.euromine("publish", "dataset", dataset, name)
    assert (status, f"REPO: found {name!r}; expected owner/name" in output) == (1, True), output


def test_a_level_that_is_stated_later_makes_no_other_dataset(dataset: Path) -> None:
    there = {"build.json": (dataset / "build.json").read_bytes()}
    stated = replace(read_build_record(dataset), level="L1C", level_source="option")
    assert built_dataset._difference(stated, there) is None
    assert built_dataset._difference(replace(stated, files="0"), there) is not None
