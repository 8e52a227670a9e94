"""`build.json`: the source of a dataset, whether its imagery is simulated, and its processing level."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from euromine.support.files import write_text
from euromine.support.processing_levels import DataLevel
from euromine.support.records import read_record, record_from, record_from_bytes, record_to_json

BUILD_FILE = "build.json"

_ADVICE = "Build the dataset again with `euromine build`."


@dataclass(frozen=True, kw_only=True)
class BuildRecord:
    """The record of a built dataset, at its root.

    It holds no times or paths: the same archive gives the same record. A folder or Hub repository without
    one was not built by `euromine build`; nothing is then known about simulation, and readers treat its
    imagery as real.

    Attributes:
        dataset: "euromine".
        simulated: Whether `euromine simulate` made the archive.
        format: Version of the layout and encoding of the shards.
        shard_bytes: Largest size of a parquet file.
        files: Hash of the names and sizes of the archive's files.
        splits: The sites of each split.
        level: The processing level of the images; "mixed" where they differ or only some have a known level;
            None where it is unknown, as in records of earlier versions.
        level_source: Source of the level: "images", their headers, or "option", an argument of the build.
    """

    dataset: Literal["euromine"] = "euromine"
    simulated: bool
    format: int
    shard_bytes: int
    files: str
    splits: dict[str, list[str]]
    level: DataLevel | None = None
    level_source: Literal["images", "option"] | None = None


def read_build_record(folder: Path) -> BuildRecord | None:
    """The record of a dataset's folder; None where the folder has none.

    Raises:
        RecordError: The file is damaged, or is not the record of a build.
        OSError: The file cannot be read.
    """
    try:
        return read_record(BuildRecord, folder / BUILD_FILE, advice=_ADVICE)
    except (FileNotFoundError, NotADirectoryError):
        return None


def build_record_from_bytes(data: bytes, source: str = BUILD_FILE) -> BuildRecord:
    """The record from the bytes of a `build.json`, such as one fetched from the Hub.

    Args:
        data: The file's content.
        source: The file's name in an error message.

    Raises:
        RecordError: As for `read_build_record`.
    """
    return record_from_bytes(BuildRecord, data, source, advice=_ADVICE)


def build_record_from(document: Any, source: str = BUILD_FILE) -> BuildRecord:
    """The record from parsed JSON; otherwise as `build_record_from_bytes`."""
    return record_from(BuildRecord, document, source, advice=_ADVICE)


def write_build_record(folder: Path, record: BuildRecord) -> None:
    """Write the record to a dataset's folder."""
    write_text(folder / BUILD_FILE, json.dumps(record_to_json(record), indent=1) + "\n")


def is_simulated_dataset(folder: Path) -> bool:
    """Whether the record of a dataset's folder states that its imagery is simulated.

    Raises:
        RecordError: As for `read_build_record`.
        OSError: As for `read_build_record`.
    """
    record = read_build_record(folder)
    return record is not None and record.simulated
