"""`euromine report`: the report of a series, as a page, a PDF or a Word document."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder made by `euromine series`.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write; by default DIR/report.html, DIR/report.pdf with --pdf, or DIR/report.docx "
            "with --docx."
        ),
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Write a PDF instead (needs euromine\\[pdf]).")] = False,
    docx: Annotated[
        bool, typer.Option("--docx", help="Write a Word document instead (needs euromine\\[docx]).")
    ] = False,
    text: Annotated[
        Path | None,
        typer.Option(
            metavar="NOTES.md", help="Your title, author, logo, comments by section and their order."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is no earlier report, too.")
    ] = False,
) -> None:
    """Write the report of a series: maps, areas, changes, permits, models and limitations.

    The page is a single HTML file that can be sent, printed and read on a phone.
    """
    from euromine.monitoring.reporting.page import ReportKind, write_report  # pandas takes a moment to import
    from euromine.monitoring.result import SeriesResult

    kind: ReportKind = "docx" if docx else "html"
    path = write_report(SeriesResult(folder), out, kind=kind, pdf=pdf, text=text, overwrite=overwrite)
    typer.echo(f"Wrote {path}.")
