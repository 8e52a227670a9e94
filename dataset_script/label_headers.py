"""The meaning of 255 in a label: a mine by the published convention, or ground to ignore."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from euromine.support.errors import ArchiveError
from euromine.support.rasters import shown

# A label's 255 means mine in the published convention, and ignored in this project's.
MINE, MARKED = 1, 255
# A label whose header has this tag of 255 marks ignored ground with 255, even where it has no 1.
IGNORED_TAG = "IGNORED_VALUE"

IGNORED_BIT = 1 << 15
"""Bit of ground to ignore in components of uint16, where a pixel may have several classes."""


def check_marked(label: Any, path: str, values: Collection[int]) -> None:
    """Refuse an untagged label whose 255 is a mine by the published convention and no data by its header.

    Args:
        label: The open label.
        path: Its path, for errors.
        values: Which of 0, 1 and 255 it holds.

    Raises:
        ArchiveError: Its 255 may mean either.
    """
    if label.nodata == MARKED and MARKED in values and MINE not in values:
        raise ArchiveError(
            f"{shown(path)}: found 255 but no 1, and nodata=255 in the header; expected 255 to mean either. "
            "If it is a mine, run gdal_edit.py -unsetnodata; if it is ground to ignore, gdal_edit.py -mo "
            f"{IGNORED_TAG}=255."
        )
