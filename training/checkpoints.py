"""Checkpoints that are complete or absent, whenever a process dies.

A checkpoint is written to a staging folder, with a list of its files and their sizes, flushed to the disk and
only then renamed. It counts as complete if all listed files are there in full, so a checkpoint that was half
deleted or half copied does not. Trainer never uploads names that begin with an underscore.
"""

import json
import os
import re
import shutil
from pathlib import Path

from euromine.support.files import write_text
from euromine.support.records import read_values

STAGING = "_incomplete"
_TRASH = "_deleted-"
_MANIFEST = "complete.json"
_NAME = re.compile(r"checkpoint-(\d+)")
_WORK = re.compile(rf"{STAGING}|{_TRASH}(?:checkpoint-\d+|{STAGING})")
# Training cannot resume exactly without these.
_NEEDED = ("trainer_state.json", "scheduler.pt")
# Or without one of these: FSDP saves an optimiser under other names, whole or in parts.
_OPTIMISER = ("optimizer.pt", "optimizer.bin", "optimizer_0")


def publish(staged: Path, target: Path) -> None:
    """Move a checkpoint that was written at `staged` to its final name, atomically."""
    files = {
        str(path.relative_to(staged)): path.stat().st_size
        for path in sorted(staged.rglob("*"))
        if path.is_file()
    }
    write_text(staged / _MANIFEST, json.dumps(files, indent=1))
    for path in staged.rglob("*"):
        _flush(path)
    _flush(staged)
    remove(target)
    staged.replace(target)
    _flush(target.parent)


def is_complete(checkpoint: Path) -> bool:
    """Whether all files that a checkpoint lists are there in their full size."""
    try:
        files = read_values(dict[str, int], checkpoint / _MANIFEST)
        return all((checkpoint / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError):  # also of a name that no file can have
        return False


def all_checkpoints(output_dir: Path) -> list[Path]:
    """The folders named as checkpoints, complete or not, by step."""
    named = {path: _NAME.fullmatch(path.name) for path in output_dir.glob("checkpoint-*") if path.is_dir()}
    steps = {path: int(match[1]) for path, match in named.items() if match}
    return sorted(steps, key=steps.__getitem__)


def last_complete_checkpoint(output_dir: Path) -> Path | None:
    """The last checkpoint that training can resume from; None without any."""
    for checkpoint in reversed(all_checkpoints(output_dir)):
        needed = all((checkpoint / name).exists() for name in _NEEDED)
        if needed and any((checkpoint / name).exists() for name in _OPTIMISER) and is_complete(checkpoint):
            return checkpoint
    return None


def rotate(output_dir: Path, limit: int | None, best: str | None) -> None:
    """Delete the oldest checkpoints beyond `limit`, never the last one or the best one."""
    if not limit or limit < 0:
        return
    checkpoints = all_checkpoints(output_dir)
    kept = {checkpoints[-1].name} | ({Path(best).name} if best else set())
    spare = [checkpoint for checkpoint in checkpoints if checkpoint.name not in kept]
    for checkpoint in spare[: max(0, len(checkpoints) - max(limit, len(kept)))]:
        remove(checkpoint)


def remove(path: Path) -> None:
    """Delete a file or folder. A folder is renamed first, so that nobody finds half of it."""
    if path.is_dir():
        doomed = path.with_name(_TRASH + path.name)
        if doomed.exists():
            shutil.rmtree(doomed)
        path.rename(doomed)
        shutil.rmtree(doomed)
    else:
        path.unlink(missing_ok=True)


def is_checkpoint_or_work(name: str) -> bool:
    """Whether a folder of this name is a checkpoint, or one in the making or being deleted."""
    return _NAME.fullmatch(name) is not None or _WORK.fullmatch(name) is not None


def clean(output_dir: Path) -> None:
    """Delete the folders that a process left half written or half deleted when it died.

    Args:
        output_dir: The folder of a run: in any other, folders of these names may be somebody else's.
    """
    for path in output_dir.iterdir():
        if _WORK.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)


def _flush(path: Path) -> None:
    """Flush a file, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
