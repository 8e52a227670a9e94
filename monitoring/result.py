"""A series' folder with its report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from .history.folder import SeriesFolder


class SeriesResult(SeriesFolder):
    """The maps, tables and polygons that `euromine series` wrote to a folder, and their report.

    Only the manifest is read at once. Nothing else is read before it is asked for, or kept in memory.

    Attributes:
        path: The folder.
        manifest: The models, images and settings behind the series.

    Raises:
        RecordError: The folder holds no series, or an unfinished one.
    """

    def report(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        kind: Literal["html", "pdf", "docx"] = "html",
        text: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write the report: one self-contained HTML file, a PDF or a Word document.

        Args:
            path: The file; by default `report.html`, `.pdf` or `.docx` in the folder.
            kind: The kind of the file; "pdf" and "docx" need the extra of their name.
            text: A Markdown file with title, author, comments and the choice of sections.
            overwrite: Replace a file that is no earlier report, too.

        Raises:
            ArgumentError: There is a file that is no earlier report, and `overwrite` is off.
            DataError: A file of the series is damaged, or the text does not fit.
            MissingExtraError: A library that the kind needs is missing.
        """
        from .reporting.page import write_report

        return write_report(self, path, kind=kind, text=text, overwrite=overwrite)
