"""The app on Gradio's server, so that `gradio_client` and MCP clients call its functions by name.

Gradio's own page, uploads, files and proxies stay closed: of its routes, only those that call a function by
name are offered. With the package `mcp` installed, the same functions are tools at /gradio_api/mcp/.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from euromine.support.errors import EuroMineError, missing_extra, one_line

from .alert_routes import alert_values, site_ids
from .app_context import AppContext
from .app_settings import AppSettings
from .outlined_areas import area_values, read_area
from .point_values import point_values
from .server import compose
from .site_catalogue import SitePlace
from .site_documents import site_document, site_summary

_OWN = re.compile(
    r"/|/healthz|/openapi\.json|/developers|/favicon\.ico|/alerts\.atom|/sign-in|/sign-in/hub(/back)?|/sign-out"
    r"|/api/.*|/static/.*|/vendor/leaflet/.*"
)
_CALLS = re.compile(
    r"/config|/gradio_api/(info|startup-events|queue/(join|data)|call/(v2/)?[\w-]+(/\w+)?|heartbeat/\w+"
    r"|cancel|app_id|mcp(/.*)?)/?"
)


def create_gradio_app(settings: AppSettings) -> FastAPI:
    """The app of `server.create_app` with functions for `gradio_client`.

    Args:
        settings: The settings.

    Raises:
        DataError: There is no such folder.
        MissingExtraError: Gradio is missing.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio
        from gradio.events import api
        from gradio.routes import App
    except ImportError as error:
        raise missing_extra("app", error.name or "Gradio", "--gradio") from error
    context = AppContext.from_settings(settings)
    server = gradio.Server(title=settings.title, version=version("euromine"), docs_url=None, redoc_url=None)
    compose(server, context, _is_offered)
    with gradio.Blocks(mode="server", title=settings.title, analytics_enabled=False) as blocks:
        for name, function in functions(context).items():
            answered = _with_public_errors(function, context)
            api(answered, api_name=name, concurrency_limit=context.limiter.workers)
    blocks.dev_mode = blocks.run_history = blocks.enable_monitoring = False
    blocks.footer_links, blocks.max_file_size, blocks.show_error = [], 0, False
    blocks.config = blocks.get_config_file()
    App.create_app(blocks, app=server, mcp_server=importlib.util.find_spec("mcp") is not None)
    blocks._queue.set_server_app(server)
    _start_with(server, blocks)
    return server


def functions(context: AppContext) -> dict[str, Callable[..., Any]]:
    """The functions by their names; types and docstrings are their description for clients."""

    def open_alerts(place: SitePlace) -> int:
        return context.watch.open_by_site().get(place.series.manifest.site, 0)

    def sites() -> list[dict]:  # type: ignore[type-arg]
        """All sites with their latest areas and places."""
        return [site_summary(place, open_alerts(place)) for place in context.catalogue.places().values()]

    def site(site: str) -> dict:  # type: ignore[type-arg]
        """The facts of a site: areas with intervals, changes, indices, water, permits, models.

        Args:
            site: An id that `sites` lists.
        """
        place = context.catalogue.place(site)
        return site_document(place, open_alerts(place))

    def point_values_of(site: str, longitude: float, latitude: float) -> dict:  # type: ignore[type-arg]
        """The values of a point over the years.

        Args:
            site: An id that `sites` lists.
            longitude: In degrees.
            latitude: In degrees.
        """
        place = context.catalogue.place(site)
        with context.limiter.turn():
            return point_values(place, longitude, latitude)

    def area_values_of(site: str, area: dict) -> dict:  # type: ignore[type-arg]
        """The values of an area over the years.

        Args:
            site: An id that `sites` lists.
            area: GeoJSON polygons in degrees: a geometry, a feature or a collection.
        """
        place = context.catalogue.place(site)
        with context.limiter.turn():
            return area_values(place, read_area(json.dumps(area).encode()))

    def alerts(site: str = "", status: str = "") -> list[dict]:  # type: ignore[type-arg]
        """The alerts of the watch, the latest changed first.

        Args:
            site: A site's name; "" for all.
            status: "suspected", "confirmed" or "resolved"; "" for all.
        """
        ids = site_ids(context)
        return [
            alert_values(context, each, ids)
            for each in context.watch.stored()
            if site in ("", each.alert.site) and status in ("", each.alert.status)
        ]

    return {
        "sites": sites,
        "site": site,
        "point_values": point_values_of,
        "area_values": area_values_of,
        "alerts": alerts,
    }


def _with_public_errors(function: Callable[..., Any], context: AppContext) -> Callable[..., Any]:
    """The function, whose errors reach clients as a sentence without paths of the machine."""
    import gradio

    @functools.wraps(function)
    def called(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except EuroMineError as error:
            raise gradio.Error(context.public(one_line(error)), print_exception=False) from error

    return called


def _is_offered(path: str) -> bool:
    return bool(_OWN.fullmatch(path) or _CALLS.fullmatch(path))


def _start_with(server: FastAPI, blocks: Any) -> None:
    """Start Gradio's queue with the server."""
    begun = server.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with begun(app) as state:
            blocks.run_startup_events()
            await blocks.run_extra_startup_events()
            yield state

    server.router.lifespan_context = lifespan
