"""The `euromine` command: one file a verb."""

import logging
import sys

import typer

from . import build, calibrate, demo, link, predict, publish, report, series, simulate, tables

app = typer.Typer(
    name="euromine",
    help="EuroMineNet: mining footprints and their changes from Sentinel-2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("build")(build.build)
app.command("calibrate")(calibrate.calibrate)
app.command("demo")(demo.demo)
app.command("link")(link.link)
app.command("predict")(predict.predict)
app.add_typer(publish.app, name="publish")
app.command("report")(report.report)
app.command("series")(series.series)
app.command("simulate")(simulate.simulate)
app.command("tables")(tables.tables)
app.command("unlink")(link.unlink)


@app.callback()
def _show_messages() -> None:
    """EuroMineNet: mining footprints and their changes from Sentinel-2."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    # What GDAL says of a damaged file or a full disk, our sentence says once.
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)


def main() -> None:
    """Run the command; what a person did wrong is answered in one sentence, without a traceback."""
    try:
        app()
    except (ValueError, OSError) as error:
        print(f"euromine: {error}", file=sys.stderr)
        raise SystemExit(1) from None
