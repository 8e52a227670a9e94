"""Checkpoints that are complete or absent, and files that are whole or absent, whenever a process dies.

A checkpoint is written beside its place, lists its own files with their sizes, is flushed to the disk and
only then given its name. It counts as one if what it lists is there: deleted or copied half, it does not.
Names that begin with an underscore are never uploaded by transformers' Trainer.
"""

import json
import os
import re
import shutil
from pathlib import Path

from euromine.support.files import write_text

STAGING = "_incomplete"
_TRASH = "_deleted-"
_MANIFEST = "complete.json"
_NAME = re.compile(r"checkpoint-(\d+)")
# Without these training cannot go on as if it had never stopped.
_NEEDED = ("trainer_state.json", "scheduler.pt")
# One of these: FSDP saves an optimiser under other names, whole or in parts.
_OPTIMISER = ("optimizer.pt", "optimizer.bin", "optimizer_0")


def publish(staged: Path, target: Path) -> None:
    """Give a checkpoint that was written at `staged` its name, all at once."""
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
    """Whether all that a checkpoint lists is there in its full size."""
    try:
        files = json.loads((checkpoint / _MANIFEST).read_text(encoding="utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError):
        return False


def all_checkpoints(output_dir: Path) -> list[Path]:
    """The folders that bear a checkpoint's name, complete or not, by step."""
    named = {path: _NAME.fullmatch(path.name) for path in output_dir.glob("checkpoint-*") if path.is_dir()}
    steps = {path: int(match[1]) for path, match in named.items() if match}
    return sorted(steps, key=steps.__getitem__)


def last_complete_checkpoint(output_dir: Path) -> Path | None:
    """The last checkpoint from which training can go on, if there is one."""
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
    """Delete a file or a folder; a folder loses its name first, so that no half of it is ever found."""
    if path.is_dir():
        doomed = path.with_name(_TRASH + path.name)
        if doomed.exists():
            shutil.rmtree(doomed)
        path.rename(doomed)
        shutil.rmtree(doomed)
    else:
        path.unlink(missing_ok=True)


def clean(output_dir: Path) -> None:
    """Delete what a process that died left of its work."""
    for pattern in (f"{STAGING}*", f"{_TRASH}*", "_*.part"):
        for path in output_dir.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _flush(path: Path) -> None:
    """Have a file or a folder's names on the disk, as far as the file system knows how."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
