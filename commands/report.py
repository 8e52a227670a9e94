"""`euromine report`: what a series found, as one page."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `euromine series` made.")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; DIR/report.html (or .pdf) if not given.")
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="A PDF instead; needs euromine[pdf].")] = False,
) -> None:
    """Tell what a series found: maps, areas, changes, permits, and what to keep in mind.

    One HTML file that needs nothing else: send it, print it, open it on a phone.
    """
    from euromine.monitoring.reporting.page import write_report  # pandas takes a moment to import
    from euromine.monitoring.result import SeriesResult

    path = write_report(SeriesResult(folder), out, pdf=pdf)
    typer.echo(f"Wrote {path}.")
