"""A site's report as a page, a PDF or a Word document, made in a process of its own with a limit of time."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

from euromine.monitoring.history.folder import SeriesFolder
from euromine.monitoring.reporting.page import ReportKind, report_bytes
from euromine.monitoring.reporting.report_text import ReportText
from euromine.support.errors import EuroMineError, one_line
from euromine.support.interrupts import uninterrupted_children

from .app_errors import Overloaded

LONGEST = 180.0
"""Seconds for a PDF or a Word document."""


def report_document(
    folder: Path, kind: ReportKind, text: ReportText | None, longest: float = LONGEST
) -> bytes:
    """The report of a series.

    A page is made in this process. The libraries of the other kinds keep some 300 MB, which end with theirs.

    Args:
        folder: The folder of the series.
        kind: "html", "pdf" or "docx".
        text: A person's part of it.
        longest: Seconds after which a PDF or Word document is given up.

    Raises:
        DataError: A file of the series is damaged.
        MissingExtraError: A library that the kind needs is missing.
        Overloaded: It took too long.
        OSError: The process was killed.
    """
    if kind == "html":
        return report_bytes(SeriesFolder(folder), kind, text)
    context = multiprocessing.get_context("spawn")  # GDAL does not survive a fork
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_send_report, args=(there, folder, kind, text), daemon=True)
    try:
        with uninterrupted_children():
            process.start()
        there.close()
        if not here.poll(longest):
            raise Overloaded(
                f"report: found no end after {longest:.0f} s; expected one. Try again with fewer sections."
            )
        try:
            found = here.recv()
        except EOFError as error:
            raise OSError(
                "The process that wrote the report was killed, perhaps for lack of memory."
            ) from error
    finally:
        process.kill()
        process.join()
        here.close()
    if isinstance(found, BaseException):
        raise found
    return bytes(found)


def _send_report(there: Connection, folder: Path, kind: ReportKind, text: ReportText | None) -> None:
    os.nice(5)  # maps come first
    try:
        there.send(report_bytes(SeriesFolder(folder), kind, text))
    except EuroMineError as error:
        there.send(type(error)(one_line(error)))
