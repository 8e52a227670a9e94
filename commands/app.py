"""`euromine app`: the web app on the results of `euromine series` and `euromine watch`."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from euromine.support.errors import ArgumentError, DataError, missing_extra
from euromine.support.wording import counted

from .series_options import Engine, ForcePrecision, Precision, chosen_engine

if TYPE_CHECKING:
    from fastapi import FastAPI

    from euromine.app.app_settings import AppSettings

logger = logging.getLogger(__name__)


def web_app(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="A folder with results of `euromine series` or `euromine watch`."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder with the sites' images, if they are not below DIR."),
    ] = None,
    watch: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG.yaml", help="The watch whose alerts are reviewed; found beside DIR's."),
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the pages.")] = "EuroMine",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any.")] = 7860,
    address: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Address at which a proxy offers the app, https://..."),
    ] = None,
    auth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Users who may sign in; see --add-user.")
    ] = None,
    add_user: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Ask for a password, add the user to --auth FILE, and end."),
    ] = None,
    uploads: Annotated[
        bool, typer.Option("--uploads", help="Let visitors upload images and map them.")
    ] = False,
    model: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="A model for uploaded images; repeatable.")
    ] = None,
    engine: Engine = "auto",
    precision: Precision = "float32",
    force_precision: ForcePrecision = False,
    job_memory: Annotated[
        float | None,
        typer.Option(metavar="GIB", min=3, help="Memory for mapping uploaded images; by default half."),
    ] = None,
    job_hours: Annotated[
        float, typer.Option(metavar="HOURS", min=0.01, help="Time for mapping uploaded images.")
    ] = 6.0,
    basemap: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Tiles under the maps, with {z}, {x} and {y}; none by default."),
    ] = None,
    basemap_attribution: Annotated[
        str, typer.Option(metavar="TEXT", help="The credit that the tiles' licence asks for.")
    ] = "",
    gradio: Annotated[
        bool, typer.Option("--gradio", help="Serve gradio_client and MCP clients, too.")
    ] = False,
    browser: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open a browser; by default where there is one to see."),
    ] = None,
) -> None:
    """Open the web app: portfolio, maps, alerts and reports of all sites in a folder.

    Nothing is loaded from other hosts, unless a basemap is chosen.
    """
    _check_extra()
    if add_user is not None:
        _add_user(auth, add_user)
        return
    from euromine.app.app_settings import AppSettings, Basemap
    from euromine.app.passwords import read_users

    if folder is None:
        raise ArgumentError("DIR: found nothing; expected a folder with results of `euromine series`.")
    settings = AppSettings(
        folder,
        images=images,
        watch=watch,
        title=title,
        host=host,
        port=port,
        address=_checked_address(address),
        users=read_users(auth) if auth is not None else {},
        uploads=uploads,
        job_memory=None if job_memory is None else int(job_memory * 2**30),
        job_seconds=job_hours * 3600,
        models=tuple(model or ()),
        engine=chosen_engine(engine, precision, force_precision),
        basemap=Basemap(basemap, basemap_attribution) if basemap is not None else None,
    )
    _check_openness(settings)
    _run(settings, gradio, browser)


def _check_extra() -> None:
    for library in ("fastapi", "uvicorn", "itsdangerous", "js_lib_leaflet"):
        if importlib.util.find_spec(library) is None:
            raise missing_extra("app", library, "euromine app")


def _add_user(path: Path | None, name: str) -> None:
    from euromine.app.passwords import add_user

    if path is None:
        raise ArgumentError("--add-user: found no --auth; expected --auth FILE, the file of the users.")
    password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    is_new = add_user(path, name, password)
    typer.echo(f"{'Added' if is_new else 'Changed the password of'} {name} in {path}.")


def _checked_address(address: str | None) -> str | None:
    if address is not None and not address.startswith(("https://", "http://")):
        raise ArgumentError(f"--address: found {address!r}; expected an address, https://...")
    return address


def _check_openness(settings: AppSettings) -> None:
    """Warn of an app that others can reach; refuse one that runs their images.

    Raises:
        ArgumentError: Anybody could upload images.
    """
    if settings.is_local or settings.has_sign_in:
        return
    if settings.uploads:
        raise ArgumentError(
            f"--uploads: found --host {settings.host} without --auth; expected users who sign in. Add one "
            "with `euromine app --add-user NAME --auth FILE`."
        )
    logger.warning(
        "Everybody who reaches %s can read everything in %s; --auth FILE asks for a password.",
        settings.host,
        settings.folder,
    )


def _run(settings: AppSettings, gradio: bool, browser: bool | None) -> None:
    from euromine.app.serving import address_of, listen, serve

    served = _created(settings, gradio)
    catalogue = served.state.context.catalogue
    count = len(catalogue.places())
    for problem in catalogue.problems:
        logger.warning("%s", problem)
    if not count and not settings.uploads:
        raise DataError(
            f"{settings.folder}: found no finished series; expected some, made by `euromine series` or "
            "`euromine watch`. Make one, or start with --uploads."
        )
    listening = listen(settings)
    address = address_of(listening, settings)

    def ready() -> None:
        typer.echo(f"{counted(count, 'site')}: {address} (Ctrl-C ends the app)")
        if browser or (browser is None and _has_browser()):
            import webbrowser

            webbrowser.open(address)

    serve(served, listening, ready)


def _created(settings: AppSettings, gradio: bool) -> FastAPI:
    if gradio:
        from euromine.app.gradio_server import create_gradio_app

        return create_gradio_app(settings)
    from euromine.app.server import create_app

    return create_app(settings)


def _has_browser() -> bool:
    """Whether a person sits at this machine's screen."""
    if not sys.stdout.isatty() or "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in ("darwin", "win32") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ))
