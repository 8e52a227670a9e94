"""`euromine link` and `euromine unlink`: the bare names `euromine` and `ca_tiou` on this machine."""

from pathlib import Path
from typing import Annotated

import typer


def link(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Dataset written by `euromine build`.")],
) -> None:
    """Make load_dataset("euromine", ...) and evaluate.load("ca_tiou") work in every project, offline.

    Decompresses the rows once, as load_dataset would. Undo with euromine unlink.
    """
    from euromine.hub.linking import link as make_link  # datasets and evaluate take seconds to import

    made = make_link(folder)
    state = "is linked already" if made.existed else "is linked now"
    shared = f", {made.shared / 1e6:,.0f} MB of it shared with what `datasets` had" if made.shared else ""
    typer.echo(
        f"{made.folder} {state}; its rows take {made.size / 1e6:,.0f} MB of the cache{shared}. "
        "These work now:"
    )
    for name in made.names:
        typer.echo(f"  {name}")


def unlink() -> None:
    """Remove what `euromine link` made, and nothing else."""
    from euromine.hub.linking import unlink as take_back

    taken = take_back()
    if taken is None:
        typer.echo("Nothing is linked on this machine.")
        return
    typer.echo(f"{taken.folder} is no longer linked; {taken.freed / 1e6:,.0f} MB are free again.")
    for path in taken.left:
        typer.echo(f"Kept, because something else wrote or changed it: {path}")
