"""The app on a port: listening, serving until Ctrl-C, and in a thread beside a notebook."""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable

import anyio.to_thread
import uvicorn
from fastapi import FastAPI

from euromine.support.environment import prepare_server
from euromine.support.errors import ArgumentError

from .app_context import MOST_WAITING
from .app_settings import AppSettings

logger = logging.getLogger(__name__)

_LAST_ANSWERS = 3  # seconds at the end
_LONGEST_START = 10.0
_OTHER_THREADS = 40


def listen(settings: AppSettings) -> socket.socket:
    """Listen on the host and port of the settings.

    Raises:
        ArgumentError: The port is in use or not allowed, or the host is no address of this machine.
    """
    host, port = settings.host.strip("[]"), settings.port
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except socket.gaierror as error:
        raise ArgumentError(
            f"--host: found {host!r} ({error.strerror}); expected an address of this machine, such as "
            "127.0.0.1."
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ArgumentError(
                f"--port: found {port} in use; expected a free port. Choose another with --port, or --port 0 "
                "for any."
            ) from None
        if error.errno == errno.EACCES:
            raise ArgumentError(
                f"--port: found {port}, which needs the rights of the administrator; expected 1024 or more."
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise ArgumentError(
                f"--host: found {host!r}; expected an address of this machine, such as 127.0.0.1."
            ) from None
        raise


def address_of(listening: socket.socket, settings: AppSettings) -> str:
    """The address of the app in a browser of this machine."""
    host, port = settings.host.strip("[]"), listening.getsockname()[1]
    if host in ("0.0.0.0", "::", ""):
        host = "localhost"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def serve(app: FastAPI, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve the app until Ctrl-C.

    Args:
        app: The app.
        listening: From `listen`.
        ready: Called once the app answers.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the last answers.
    """
    prepare_server()
    _Server(_config(app), ready).run(sockets=[listening])


class BackgroundServer:
    """The app in a thread, until `close` or the end of the process.

    Args:
        app: The app.
        listening: From `listen`.
    """

    def __init__(self, app: FastAPI, listening: socket.socket) -> None:
        started = threading.Event()
        self._server = _Server(_config(app), started.set)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listening]}, name="euromine-app", daemon=True
        )
        self._thread.start()
        limit = time.monotonic() + _LONGEST_START
        while not started.wait(0.05):
            if not self._thread.is_alive() or time.monotonic() > limit:
                raise OSError("The app did not start; its log gives the reason.")

    def close(self) -> None:
        """End the server."""
        self._server.should_exit = True
        self._thread.join(_LAST_ANSWERS + 1)


class _Server(uvicorn.Server):
    """Tells when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # Requests that wait for their turn hold a thread each, and leave some to the others.
        anyio.to_thread.current_default_thread_limiter().total_tokens = MOST_WAITING + _OTHER_THREADS
        await super().startup(sockets)
        if self.started:
            self._ready()


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_LAST_ANSWERS,
        ws="none",
    )
