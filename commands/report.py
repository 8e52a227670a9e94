"""`euromine report`: the report of a series, as a page or a PDF."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder made by `euromine series`.")],
    out: Annotated[
        Path | None,
        typer.Option(help="File to write; by default DIR/report.html, or DIR/report.pdf with --pdf."),
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Write a PDF instead (needs euromine\\[pdf]).")] = False,
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
    from euromine.monitoring.reporting.page import write_report  # pandas takes a moment to import
    from euromine.monitoring.result import SeriesResult

    path = write_report(SeriesResult(folder), out, pdf=pdf, text=text, overwrite=overwrite)
    typer.echo(f"Wrote {path}.")
