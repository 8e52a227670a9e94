"""The contents of a dataset's repository: what `euromine build` wrote, whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from euromine.dataset_script.build_record import (
    BUILD_FILE,
    BuildRecord,
    build_record_from_bytes,
    read_build_record,
)
from euromine.support.errors import DatasetError, RecordError
from euromine.support.records import record_from

from .contents import (
    CARD,
    Contents,
    PublishedFile,
    pictures,
    read_card,
    read_front_matter,
)

_SHARD = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.parquet")
_MAGIC = b"PAR1"


@dataclass(frozen=True)
class _DataFiles:
    """A split of a config in a card's front matter."""

    path: str


@dataclass(frozen=True)
class _Config:
    """A config in a card's front matter."""

    config_name: str
    data_files: list[_DataFiles]


def dataset_contents(folder: str | os.PathLike[str], repository: str) -> Contents:
    """The files of a dataset that `euromine build` wrote.

    Args:
        folder: The dataset.
        repository: Its name on the Hub, which the card's examples then load.

    Raises:
        DataError: `folder` is something else, its card is incomplete, or a shard is missing or truncated.
        OSError: A file cannot be read.
    """
    folder = Path(folder)
    record = read_build_record(folder)
    if record is None:
        raise DatasetError(f"{folder}: found no {BUILD_FILE}; expected a folder that `euromine build` wrote.")
    card = read_card(folder)
    shards = [shard for of_config in data_files(folder).values() for shard in of_config]
    for shard in shards:
        _check_parquet(shard)
    for call in ("load_dataset", "read_dataset"):
        card = card.replace(f'{call}("euromine"', f'{call}("{repository}"')
    others = (BUILD_FILE, "statistics.json")
    return Contents(
        repo_type="dataset",
        title=f"the dataset in {folder}",
        files=(
            PublishedFile(CARD, card.encode()),
            *(PublishedFile(name, folder / name) for name in others if (folder / name).is_file()),
            *pictures(folder, card),
            *(PublishedFile(shard.relative_to(folder).as_posix(), shard) for shard in shards),
        ),
        owned=("data/*-?????-of-?????.parquet",),
        identity=(BUILD_FILE,),
        difference=lambda found: _difference(record, found),
    )


def data_files(folder: Path) -> dict[str, list[Path]]:
    """The shards of each config that a dataset's card names.

    Raises:
        DataError: The card names no configs, or a shard is missing.
    """
    configs = read_front_matter(folder / CARD).get("configs")
    if not isinstance(configs, list) or not configs:
        raise DatasetError(
            f"{folder / CARD}: found no configs in the front matter; expected those of a built dataset."
        )
    found: dict[str, list[Path]] = {}
    for entry in configs:
        config = record_from(_Config, entry, f"{folder / CARD}, configs")
        shards = []
        for files in config.data_files:
            of_split = sorted(folder.glob(files.path))
            matches = [match for shard in of_split if (match := _SHARD.fullmatch(shard.name))]
            counts = {int(match["count"]) for match in matches}
            if len(counts) != 1 or {int(match["number"]) for match in matches} != set(range(*counts)):
                raise DatasetError(
                    f"{folder}: found {len(of_split)} files for {files.path}; expected the shards "
                    f"{_shard_range(counts)}. Build it again."
                )
            shards += of_split
        found[config.config_name] = shards
    return found


def _shard_range(counts: Iterable[int]) -> str:
    return " or ".join(f"0 to {count - 1}" for count in sorted(counts)) or "-00000-of-..."


def _check_parquet(path: Path) -> None:
    """Refuse a shard without the bytes that end a parquet file."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        size = file.tell()
        file.seek(max(0, size - len(_MAGIC)))
        if size < 2 * len(_MAGIC) or file.read() != _MAGIC:
            raise DatasetError(
                f"{path}: found no end of a parquet file; expected a whole shard. Build the dataset again."
            )


def _difference(record: BuildRecord, found: Mapping[str, bytes]) -> str | None:
    try:
        there = build_record_from_bytes(found.get(BUILD_FILE, b""))
    except RecordError:
        return "data that `euromine build` did not make"
    if replace(there, level=record.level, level_source=record.level_source) == record:  # the same rows
        return None
    if there.simulated != record.simulated:
        return "a dataset of a simulated archive" if there.simulated else "a dataset of a real archive"
    if there.splits != record.splits:
        return "a dataset with other splits"
    return "a dataset that was built from another archive or in another format"
