"""The server of the app: routes, guards and answers to errors, on FastAPI and uvicorn."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI

from .app_context import AppContext
from .app_errors import add_error_answers
from .app_settings import AppSettings
from .static_files import static_routes


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


def compose(app: FastAPI, context: AppContext) -> None:
    """Add the routes, guards and answers to errors to an app.

    Args:
        app: The app, FastAPI's own or Gradio's.
        context: The parts that its routes share.
    """
    settings = context.settings
    app.state.context = context
    add_error_answers(app, [folder for folder in (settings.folder, settings.images) if folder is not None])
    app.include_router(static_routes())

    @app.get("/healthz", tags=["server"])
    def health() -> dict[str, str]:
        """Whether the server is up."""
        return {"status": "ok", "version": version("euromine")}
