"""The pictures of the app in the documentation, taken in a headless Chromium.

The folder holds sites of `euromine series` and a watch of theirs, of simulated images:

python -m euromine.benchmark.app_screenshots FOLDER docs/images
"""

from __future__ import annotations

import argparse
import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from euromine.app.app_context import AppContext
from euromine.app.app_settings import AppSettings
from euromine.app.server import create_app
from euromine.app.serving import BackgroundServer, address_of, listen
from euromine.support.errors import DataError, reported_errors
from euromine.support.files import write_bytes

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDE, NARROW = (1200, 760), (390, 780)
_FREQUENT, _RARE = 96, 32  # colours of a palette: a fifth of the bytes
_LOADED = "#content:not([aria-busy])"


@dataclass(frozen=True)
class Screenshot:
    """A picture of a view.

    Attributes:
        name: Its file's name, without suffix.
        route: The view, as in the address after "#".
        size: Width and height of the window in pixels.
        scheme: "light" or "dark".
        language: "en" or "de".
    """

    name: str
    route: str
    size: tuple[int, int] = WIDE
    scheme: str = "light"
    language: str = "en"


def screenshots(context: AppContext) -> list[Screenshot]:
    """The views to show: of the first site with permits and open alerts.

    Raises:
        DataError: There is no site, or no open alert with an area.
    """
    alerts = [each.alert for each in context.watch.stored() if each.alert.is_active and each.alert.geometry]
    outside = next((alert for alert in alerts if alert.rule == "outside_permit"), None)
    if outside is None:
        raise DataError(
            f"{context.settings.folder}: found no open alert outside permits; expected a watch with one. "
            "Run `euromine watch` on the sites."
        )
    site = next(place.id for place in context.catalogue.places().values() if place.name == outside.site)
    years = context.catalogue.place(site).series.years
    compared = f"year={years[-1]}&compare={years[0]}&mode=swipe&show=footprints,permits"
    return [
        Screenshot("app_portfolio", "/"),
        Screenshot("app_site", f"/sites/{site}?{compared}"),
        Screenshot("app_alert", f"/alerts?alert={outside.id}", (1200, 780)),
        Screenshot("app_report", f"/sites/{site}/report"),
        Screenshot("app_phone", f"/sites/{site}?{compared}", NARROW, "dark", "de"),
    ]


def write_screenshots(folder: Path, out: Path) -> list[Path]:
    """Write the pictures, PNG with a palette.

    Args:
        folder: The app's folder.
        out: The folder of the pictures.

    Returns:
        The files.

    Raises:
        DataError: Chromium is missing, or a view lacks its data.
        OSError: A file cannot be written.
    """
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise DataError(
            "chromium: found none on the PATH; expected one. Install it: apt-get install chromium."
        )
    settings = AppSettings(folder=folder, port=0)
    app, listening = create_app(settings), listen(settings)
    wanted = screenshots(app.state.context)
    server = BackgroundServer(app, listening)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            written = []
            for each in wanted:
                page = browser.new_page(
                    viewport={"width": each.size[0], "height": each.size[1]},
                    color_scheme="dark" if each.scheme == "dark" else "light",
                    locale=each.language,
                    reduced_motion="reduce",
                )
                path = out / f"{each.name}.png"
                write_bytes(path, small_png(_taken(page, f"{address_of(listening, settings)}#{each.route}")))
                written.append(path)
                page.close()
            browser.close()
            return written
    finally:
        server.close()


def _taken(page: Page, address: str) -> bytes:
    page.goto(address)
    page.wait_for_selector(_LOADED)
    page.wait_for_load_state("networkidle")
    return page.screenshot()


def small_png(data: bytes) -> bytes:
    """A picture with a palette, PNG."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    # Frequent colours keep the ground even; rare ones, chosen for their distance, keep thin outlines apart.
    frequent = picture.quantize(_FREQUENT, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    rare = picture.quantize(_RARE, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    palette = Image.new("P", (1, 1))
    palette.putpalette(
        [*(frequent.getpalette() or [])[: 3 * _FREQUENT], *(rare.getpalette() or [])[: 3 * _RARE]]
    )
    buffer = io.BytesIO()
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="The app's folder.")
    parser.add_argument("out", type=Path, help="The folder of the pictures.")
    arguments = parser.parse_args()
    for path in write_screenshots(arguments.folder, arguments.out):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    with reported_errors("app_screenshots"):
        main()
