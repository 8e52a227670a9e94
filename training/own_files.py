"""A run's own files in its folder, and those that somebody else put there.

`run.json` lists the run's own. Only these are replaced or deleted; a folder that holds others of their names
is refused before training.
"""

import re
from dataclasses import replace
from pathlib import Path

import euromine.modeling.base
from euromine.support import files
from euromine.support.errors import ArgumentError
from euromine.support.records import read_record, write_record
from euromine.support.run_records import RESULTS_FILE, RUN_FILE, RunRecord
from euromine.support.weight_files import WEIGHTS, WEIGHTS_INDEX

from . import checkpoints
from .model_cards import PICTURE

COUNTS_FILE = "counts.npz"
"""The counted pixels of each site: other averages and intervals can be computed without another run."""

WRITTEN = (
    RUN_FILE,
    RESULTS_FILE,
    COUNTS_FILE,
    PICTURE,
    "README.md",
    "config.json",
    "preprocessor_config.json",
    WEIGHTS,
)
"""Files that every finished run holds."""

_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")


def is_reserved(name: str) -> bool:
    """Whether a run may write a file or folder of this name to its folder."""
    modules = Path(euromine.modeling.base.__file__).parent  # copied beside the model for trust_remote_code
    return (
        name in (*WRITTEN, WEIGHTS_INDEX)
        or _SHARD.fullmatch(name) is not None
        or (name.endswith(".py") and (modules / name).is_file())
        or checkpoints.is_checkpoint_or_work(name)
    )


def check_foreign(output_dir: Path, record: RunRecord | None) -> None:
    """Refuse a folder with files that a run would replace and did not write.

    Args:
        output_dir: The run's folder.
        record: Its `run.json`; None without one.

    Raises:
        ArgumentError: There are such files.
    """
    there = sorted(path.name for path in output_dir.iterdir()) if output_dir.is_dir() else []
    foreign = [name for name in there if is_reserved(name) and not _is_own(name, record)]
    if foreign:
        raise _foreign_error(output_dir, foreign)


def place(staged: Path, output_dir: Path) -> None:
    """Move finished files to a run's folder, after listing them in its record.

    Args:
        staged: A folder on the same disk.
        output_dir: The run's folder. Without `run.json` it is that of a trainer used by itself.

    Raises:
        ArgumentError: A file of one of the names is somebody else's.
    """
    names = sorted(path.name for path in staged.iterdir())
    if (output_dir / RUN_FILE).is_file():
        record = read_record(RunRecord, output_dir / RUN_FILE)
        foreign = [name for name in names if (output_dir / name).exists() and not _is_own(name, record)]
        if foreign:
            raise _foreign_error(output_dir, foreign)
        write_record(output_dir / RUN_FILE, replace(record, files=sorted({*record.files, *names})))
    for name in names:
        (staged / name).replace(output_dir / name)


def clean(output_dir: Path) -> None:
    """Delete the unfinished files of a run that died or was interrupted. Call it under the folder's lock."""
    checkpoints.clean(output_dir)
    for name in WRITTEN:
        part = files.part_of(output_dir / name)
        if part.is_file() and not part.is_symlink():
            part.unlink()


def _is_own(name: str, record: RunRecord | None) -> bool:
    """Whether a name is the run's: listed, or that of a checkpoint. Earlier versions listed none."""
    return record is not None and (
        not record.files or name in record.files or checkpoints.is_checkpoint_or_work(name)
    )


def _foreign_error(output_dir: Path, foreign: list[str]) -> ArgumentError:
    return ArgumentError(
        f"--output_dir {output_dir}: found {', '.join(foreign)}, which no run of these scripts wrote; "
        "expected a folder without files of these names. Choose another folder, or move them elsewhere."
    )
