"""The app in a notebook."""

from __future__ import annotations

import html
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from euromine.monitoring.history.folder import SeriesFolder
from euromine.support.closable import Closable

from .app_settings import AppSettings
from .server import create_app
from .serving import BackgroundServer, address_of, listen


class OpenedApp(Closable):
    """The app on this machine, beside a notebook or script. A notebook shows it in a frame.

    Attributes:
        url: Its address.
    """

    def __init__(self, url: str, server: BackgroundServer, height: int) -> None:
        self.url, self._server, self._height = url, server, height

    def close(self) -> None:
        """End the app. It ends with the process, too."""
        self._server.close()

    def __repr__(self) -> str:
        return f"OpenedApp({self.url!r})"

    def _repr_html_(self) -> str:
        address = html.escape(self.url)
        return (
            f'<iframe src="{address}" width="100%" height="{self._height}" style="border:0" '
            f'title="EuroMine"></iframe><p><a href="{address}" target="_blank">{address}</a></p>'
        )


def open_app(
    place: str | os.PathLike[str] | SeriesFolder,
    *,
    images: str | os.PathLike[str] | None = None,
    port: int = 0,
    height: int = 720,
    **settings: Any,
) -> OpenedApp:
    """Open the app on a result, or on a folder of results, in this process.

    Only this machine reaches it.

        result = MineMonitor.from_pretrained("model").series("images", "mine")
        open_app(result, images="images")

    Args:
        place: A result of `MineMonitor.series`, its folder, or a folder with several.
        images: A folder with the sites' images; without it they are looked for beside the results.
        port: The port; 0 for any.
        height: Height of the frame in a notebook, in CSS pixels.
        **settings: Other fields of `AppSettings`.

    Raises:
        DataError: There is no such folder.
        ArgumentError: The port is in use.
        MissingExtraError: A library of the extra `app` is missing.
    """
    folder = place.path if isinstance(place, SeriesFolder) else Path(place)
    chosen = AppSettings(folder, images=None if images is None else Path(images), port=port, in_notebook=True)
    chosen = replace(chosen, **settings)
    app = create_app(chosen)
    listening = listen(chosen)
    return OpenedApp(address_of(listening, chosen), BackgroundServer(app, listening), height)
