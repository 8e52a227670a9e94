"""The page's own files and Leaflet's, looked up by name and never joined to a path."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from euromine.support.errors import missing_extra

from .app_errors import NotFound

STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
_COMPRESSED = (".css", ".html", ".js", ".json", ".svg", ".webmanifest")


@dataclass(frozen=True)
class StaticFile:
    """A file as it is sent.

    Attributes:
        data: Its bytes.
        compressed: The same in gzip; None where that saves nothing.
        media_type: Its media type.
        tag: Its ETag.
    """

    data: bytes
    compressed: bytes | None
    media_type: str
    tag: str

    @classmethod
    def read(cls, path: Path) -> StaticFile:
        """A file, read at once."""
        data = path.read_bytes()
        suffix = path.suffix.lower()
        media_type = _TYPES.get(suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return cls(
            data,
            gzip.compress(data, 9, mtime=0) if suffix in _COMPRESSED else None,
            media_type,
            f'"{hashlib.sha256(data).hexdigest()[:24]}"',
        )


class StaticFolder:
    """The files of a folder by their names, and anew where one has changed.

    Args:
        folder: The folder. Its files are listed once, at the start.
    """

    def __init__(self, folder: Path) -> None:
        self._paths: Mapping[str, Path] = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.is_symlink() and path.suffix != ".map"
        }
        self._files: dict[str, tuple[int, StaticFile]] = {}

    def answer(self, name: str, request: Request) -> Response:
        """The answer to a request for a file.

        Raises:
            NotFound: There is no such file.
        """
        path = self._paths.get(name)
        if path is None:
            raise NotFound(f"{name}: found no such file; expected one of the page's.")
        changed = path.stat().st_mtime_ns
        held = self._files.get(name)
        if held is None or held[0] != changed:
            held = self._files[name] = changed, StaticFile.read(path)
        file = held[1]
        # Browsers ask each time, and get an empty answer while nothing has changed.
        headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if file.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if file.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(file.compressed, media_type=file.media_type, headers=headers)
        return Response(file.data, media_type=file.media_type, headers=headers)


def static_routes() -> APIRouter:
    """The page, its files and Leaflet's.

    Raises:
        MissingExtraError: Leaflet's package is missing.
    """
    try:
        leaflet = StaticFolder(Path(str(files("js_lib_leaflet"))) / "static" / "js_lib_leaflet")
    except ModuleNotFoundError as error:
        raise missing_extra("app", "Leaflet", "euromine app") from error
    page = StaticFolder(STATIC)
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def index(request: Request) -> Response:
        return page.answer("index.html", request)

    @router.get("/favicon.ico")
    def icon(request: Request) -> Response:
        return page.answer("icon.svg", request)

    @router.get("/static/{name:path}")
    def page_file(name: str, request: Request) -> Response:
        return page.answer(name, request)

    @router.get("/vendor/leaflet/{name:path}")
    def leaflet_file(name: str, request: Request) -> Response:
        return leaflet.answer(name, request)

    return router
