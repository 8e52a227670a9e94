"""The server of the app: routes, guards and answers to errors, on FastAPI and uvicorn."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from fastapi import FastAPI

from . import alert_routes, data_routes, job_routes, picture_routes, report_routes
from .answers import Answers
from .app_context import AppContext
from .app_errors import add_error_answers
from .app_settings import AppSettings
from .guards import Guards
from .hub_sign_in import add_hub_sign_in
from .server_pages import developer_routes
from .sign_in import SignInSessions, sign_in_routes
from .static_files import static_routes

_MODULES = (alert_routes, data_routes, picture_routes, report_routes, job_routes)


def create_app(settings: AppSettings) -> FastAPI:
    """The app, to be served by uvicorn or another ASGI server.

    Args:
        settings: The settings.

    Raises:
        DataError: There is no such folder.
        MissingExtraError: A library of the extra `app` is missing.
    """
    # FastAPI's own pages of the API load scripts from another host.
    app = FastAPI(title=settings.title, version=version("euromine"), docs_url=None, redoc_url=None)
    compose(app, AppContext.from_settings(settings))
    return app


def compose(app: FastAPI, context: AppContext, is_offered: Callable[[str], bool] | None = None) -> None:
    """Add the routes, guards and answers to errors to an app.

    Args:
        app: The app, FastAPI's own or Gradio's.
        context: The parts that its routes share.
        is_offered: Whether a path is offered at all; None for every path that a route knows.
    """
    settings = context.settings
    app.state.context = context
    add_error_answers(app, [folder for folder in (settings.folder, settings.images) if folder is not None])
    sessions = SignInSessions()
    routers = [static_routes(), sign_in_routes(settings, sessions), developer_routes(app, settings)]
    routers += [module.routes(context) for module in _MODULES]
    for router in routers:
        app.include_router(router)
    add_hub_sign_in(app, settings, sessions)
    # The last one added sees a request first.
    app.add_middleware(Guards, settings=settings, sessions=sessions.user_of, is_offered=is_offered)
    app.add_middleware(Answers, settings=settings)

    @app.get("/healthz", tags=["server"])
    def health() -> dict[str, str]:
        """Whether the server is up."""
        return {"status": "ok", "version": version("euromine")}
