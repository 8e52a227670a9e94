"""The `euromine` command: one file a verb."""

import logging
import os
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
import typer.core

from euromine.support.environment import prepare_process
from euromine.support.errors import DEBUG_VARIABLE, reported_errors
from euromine.support.interrupts import INTERRUPTED, RESUME, say_interrupted

from . import (
    acquire,
    annotate,
    build,
    calibrate,
    demo,
    export,
    indices,
    link,
    predict,
    publish,
    report,
    series,
    simulate,
    tables,
    watch,
)
from .app import web_app
from .map import map_place
from .option_names import name_options

# Commands that keep finished parts and resume when they are run again.
_RESUMABLE = (
    "acquire",
    "build",
    "demo",
    "indices",
    "link",
    "map",
    "predict",
    "publish",
    "series",
    "simulate",
    "unlink",
    "watch",
)


class _Commands(typer.core.TyperGroup):
    """Reports Ctrl-C with advice on resuming, which typer's own message lacks."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            advice = RESUME if ctx.invoked_subcommand in _RESUMABLE else ""
            say_interrupted("euromine", str(interrupt) or advice)
            raise SystemExit(INTERRUPTED) from None


app = typer.Typer(
    name="euromine",
    cls=_Commands,
    help="EuroMineNet: mining footprints and their changes from Sentinel-2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("acquire")(acquire.acquire)
app.command("app")(web_app)
app.add_typer(annotate.app, name="annotate")
app.command("build")(build.build)
app.command("calibrate")(calibrate.calibrate)
app.command("demo")(demo.demo)
app.command("indices")(indices.indices)
app.command("export")(export.export)
app.command("link")(link.link)
app.command("map")(map_place)
app.command("predict")(predict.predict)
app.add_typer(publish.app, name="publish")
app.command("report")(report.report)
app.command("series")(series.series)
app.command("simulate")(simulate.simulate)
app.command("tables")(tables.tables)
app.add_typer(watch.app, name="watch")
app.command("unlink")(link.unlink)
name_options(app)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"euromine {version('euromine')}")
        raise typer.Exit


@app.callback()
def _prepare(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help=f"Show the traceback of every error, as {DEBUG_VARIABLE}=1 does."),
    ] = False,
) -> None:
    """EuroMineNet: mining footprints and their changes from Sentinel-2."""
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"  # for the processes that the command starts, too
    configure_logging()


def configure_logging() -> None:
    """Log to standard error, one short line a message."""
    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr)  # libraries: warnings alone
    logging.getLogger("euromine").setLevel(logging.INFO)
    # GDAL's own words on a damaged file or a full disk would precede our sentence on the same thing.
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    # The same of a server that does not answer, once for every attempt.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def main() -> None:
    """Run the command. User errors are one line on standard error; bugs show their traceback."""
    prepare_process()  # before a command loads PyTorch
    arguments = sys.argv[1:]
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--debug" in own:  # wherever it stands
        arguments.remove("--debug")
        arguments.insert(0, "--debug")
    with reported_errors("euromine"):
        app(arguments)
