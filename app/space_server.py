"""The app in a Space on the Hub, which runs `app.py` and looks for it on a port."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from euromine.support.environment import prepare_process
from euromine.support.errors import reported_errors

from .app_settings import USUAL_PORT, AppSettings
from .gradio_server import create_gradio_app
from .hub_sign_in import hub_sign_in
from .serving import address_of, listen, serve

PORT_VARIABLE = "GRADIO_SERVER_PORT"


def run_space(folder: Path, *, title: str = "EuroMine", members: Sequence[str] = ()) -> None:
    """Serve the app in a Space until it is stopped.

    Args:
        folder: The folder of the sites.
        title: The title of the pages.
        members: Names of users and organisations on the Hub who may sign in; empty to let everybody in.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s")
    prepare_process()
    with reported_errors("app"):
        settings = space_settings(folder, title=title, members=members)
        app = create_gradio_app(settings)
        listening = listen(settings)
        serve(app, listening, lambda: print(f"Serving at {address_of(listening, settings)}", flush=True))


def space_settings(folder: Path, *, title: str, members: Sequence[str]) -> AppSettings:
    """The settings of the app in a Space, with the Hub's OAuth where there are members.

    Raises:
        ArgumentError: There are members, and the Space has no OAuth.
    """
    settings = AppSettings(folder, title=title, host="0.0.0.0", is_space=True)
    port = os.environ.get(PORT_VARIABLE, "")
    return replace(
        settings, port=int(port) if port.isdecimal() else USUAL_PORT, hub=hub_sign_in(members, os.environ)
    )
