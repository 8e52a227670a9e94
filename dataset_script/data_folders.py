"""Folders that hold a dataset or an archive, into which no results belong."""

from __future__ import annotations

from pathlib import Path

from euromine.support.errors import ArgumentError

from .archive import is_archive_image
from .build_record import BUILD_FILE


def check_no_data(folder: Path, option: str) -> None:
    """Refuse to write results into a built dataset, or among the sites of an archive.

    Args:
        folder: The folder to write to, which may be missing.
        option: The option that names it, for the error.

    Raises:
        ArgumentError: It holds a dataset of `euromine build`, or sites in the published layout.
    """
    if (folder / BUILD_FILE).exists():
        found = "a dataset of `euromine build`"
    elif any(map(is_archive_image, folder.glob("*/*/*.tif"))):
        found = "the sites of an archive"
    else:
        return
    raise ArgumentError(
        f"{option}: found {found} in {folder}; expected a folder apart from the data. Choose another folder."
    )
