"""Copy the shared files into each metric's folder: `python -m euromine.metrics.synchronise [--check]`.

Each folder is published on its own, as a Space, and `evaluate` follows imports within a folder only.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
METRICS = ("annual_f1", "ca_tiou", "component_iou", "interval_f1")
SHARED_FILES = ("app.py", "averaging.py", "counts.py", "requirements.txt", "series_metric.py")


def outdated_copies(folder: Path = FOLDER) -> list[tuple[Path, Path]]:
    """Lists the copies that are missing or differ from the edited file.

    Args:
        folder: The folder with the shared files and the metrics' folders.

    Returns:
        The edited file and its copy, for each such copy.
    """
    copies = [(folder / name, folder / metric / name) for metric in METRICS for name in SHARED_FILES]
    return [
        (source, copy)
        for source, copy in copies
        if not copy.is_file() or copy.read_bytes() != source.read_bytes()
    ]


def synchronise(folder: Path = FOLDER) -> list[Path]:
    """Updates the outdated copies.

    Args:
        folder: As in `outdated_copies`.

    Returns:
        The updated copies.
    """
    outdated = outdated_copies(folder)
    for source, copy in outdated:
        temporary = copy.with_name(f".{copy.name}.{os.getpid()}")
        temporary.write_bytes(source.read_bytes())
        temporary.replace(copy)
    return [copy for _, copy in outdated]


def main(arguments: list[str] | None = None) -> int:
    """Updates the copies, or with `--check` only lists those that are outdated.

    Returns:
        The exit status: 1 if `--check` found an outdated copy.
    """
    parser = argparse.ArgumentParser(prog="python -m euromine.metrics.synchronise", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing and fail if a copy is outdated")
    check = parser.parse_args(arguments).check
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    outdated = [copy for _, copy in outdated_copies()] if check else synchronise()
    for copy in outdated:
        logger.info("%s %s", "outdated:" if check else "updated:", copy.relative_to(FOLDER))
    return int(check and bool(outdated))


if __name__ == "__main__":
    sys.exit(main())
