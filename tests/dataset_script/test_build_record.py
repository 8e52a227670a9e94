"""A build record states whether a dataset is simulated; the simulator's record, whether an archive is."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from euromine.dataset_script.archive import Archive, is_simulated_image
from euromine.dataset_script.build_record import (
    BuildRecord,
    build_record_from,
    build_record_from_bytes,
    is_simulated_dataset,
    read_build_record,
    write_build_record,
)
from euromine.dataset_script.shards import build_dataset
from euromine.support.errors import RecordError

RECORD = {
    "dataset": "euromine",
    "simulated": True,
    "format": 2,
    "shard_bytes": 500_000_000,
    "files": "0a",
    "splits": {"train": ["Austria_1"], "test": []},
    "level": "L2A",
    "level_source": "images",
}


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    text = json.dumps(RECORD, indent=1) + "\n"
    (tmp_path / "build.json").write_text(text)
    record = read_build_record(tmp_path)
    assert record == build_record_from(RECORD) == build_record_from_bytes(text.encode())
    assert isinstance(record, BuildRecord)
    assert record.simulated
    assert record.splits == RECORD["splits"]
    (tmp_path / "again").mkdir()
    write_build_record(tmp_path / "again", record)
    assert (tmp_path / "again" / "build.json").read_text() == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"simulated": "no"}, r'build\.json: found "no" in simulated; expected true or false\.'),
        ({"dataset": "other"}, r'build\.json: found "other" in dataset; expected "euromine"\.'),
        ({"splits": ["a"]}, r"build\.json: found a list in splits; expected an object\."),
    ],
)
def test_another_record_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    (tmp_path / "build.json").write_text(json.dumps(RECORD | changes))
    with pytest.raises(RecordError, match=message + " Build the dataset again"):
        read_build_record(tmp_path)


def test_a_record_without_the_statement_is_refused() -> None:
    with pytest.raises(RecordError, match=r"found no simulated; expected true or false\."):
        build_record_from({name: value for name, value in RECORD.items() if name != "simulated"})


def test_without_a_record_nothing_is_stated(tmp_path: Path) -> None:
    assert read_build_record(tmp_path) is None
    assert read_build_record(tmp_path / "missing") is None
    assert not is_simulated_dataset(tmp_path)


def test_the_words_of_a_card_decide_nothing(small_archive: Path, tmp_path: Path) -> None:
    folder = build_dataset(small_archive, tmp_path / "euromine", workers=1, progress=False)
    card = folder / "README.md"
    card.write_text(card.read_text() + "\nThese images are not simulated.\n")
    assert not is_simulated_dataset(folder)


def simulated_copy(archive: Path, folder: Path) -> Path:
    shutil.copytree(archive, folder)
    (folder / "simulation.json").write_text("{}", encoding="utf-8")
    return folder


def test_an_archive_is_simulated_where_the_record_lies_at_its_root(
    small_archive: Path, tmp_path: Path
) -> None:
    root = simulated_copy(small_archive, tmp_path / "simulated")
    assert Archive(root).simulated
    assert Archive(root / "EuroMineNet").simulated
    assert not Archive(small_archive).simulated
    image = next((root / "EuroMineNet").glob("*/image/*.tif"))
    assert is_simulated_image(image)
    assert not is_simulated_image(next((small_archive / "EuroMineNet").glob("*/image/*.tif")))
    assert not is_simulated_image(root / "EuroMineNet" / "mine.tif")


def test_the_record_of_another_archive_nearby_says_nothing(small_archive: Path, tmp_path: Path) -> None:
    root = simulated_copy(small_archive, tmp_path / "simulated")
    own = root / "own_mines"
    shutil.copytree(small_archive / "EuroMineNet", own)
    assert not Archive(own).simulated
    assert not is_simulated_image(next(own.glob("*/image/*.tif")))


def test_a_site_that_states_to_be_simulated_stays_so_when_it_is_copied(
    small_archive: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(small_archive / "EuroMineNet", tmp_path / "own_mines"))
    site, other = sorted(path.parent for path in own.glob("*/image"))[:2]
    (site / "site.json").write_text('{"mine_type": "open-pit", "simulated": true}')
    assert is_simulated_image(next(site.glob("image/*.tif")))
    assert not is_simulated_image(next(other.glob("image/*.tif")))
    assert Archive(own).simulated
    (site / "site.json").write_text('{"name": "a record of something else"}')
    assert not is_simulated_image(next(site.glob("image/*.tif")))


def test_a_zip_of_a_simulated_archive_is_simulated(small_archive: Path, tmp_path: Path) -> None:
    root = simulated_copy(small_archive, tmp_path / "simulated")
    for name, wrapper in (("plain.zip", ""), ("wrapped.zip", "my_archive/")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for path in sorted(root.rglob("*")):
                archive.write(path, wrapper + str(path.relative_to(root)))
        assert Archive(tmp_path / name).simulated
    inner = shutil.make_archive(str(root / "EuroMineNet"), "zip", root, "EuroMineNet")
    assert Archive(inner).simulated
