"""A series' folder with its report."""

from __future__ import annotations

import os
from pathlib import Path

from .history.folder import SeriesFolder


class SeriesResult(SeriesFolder):
    """The maps, tables and polygons that `euromine series` left in a folder, and their report.

    Nothing but the manifest is read before it is asked for, and nothing is kept in memory.

    Attributes:
        path: The folder.
        manifest: The model, data and settings that made it.

    Raises:
        RecordError: The folder holds no series, or one that was stopped.
    """

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the report, one self-contained HTML file; default `report.html` in the folder."""
        from .reporting.page import write_report

        return write_report(self, path)
