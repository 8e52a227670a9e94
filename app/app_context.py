"""The parts of the app that its routes share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from euromine.support.workers import usable_cores

from .app_errors import Overloaded, public_sentence
from .app_settings import AppSettings
from .watch_alerts import WatchAlerts

if TYPE_CHECKING:
    from .picture_cache import PictureCache
    from .site_catalogue import SiteCatalogue

MOST_WAITING = 64
_LONGEST_WAIT = 60.0


class Limiter:
    """A bounded queue in front of work that keeps a core busy.

    Args:
        workers: The largest number at work.
        waiting: The largest number in the queue.
        longest_wait: Seconds after which a request in the queue is given up.
    """

    def __init__(
        self, workers: int, waiting: int = MOST_WAITING, longest_wait: float = _LONGEST_WAIT
    ) -> None:
        self.workers, self.longest_wait = workers, longest_wait
        self._turns = threading.BoundedSemaphore(workers)
        self._places = threading.BoundedSemaphore(workers + waiting)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and hold it for as long as the block runs.

        Raises:
            Overloaded: The queue is full, or the wait too long.
        """
        if not self._places.acquire(blocking=False):
            raise _overloaded()
        try:
            if not self._turns.acquire(timeout=self.longest_wait):
                raise _overloaded()
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._places.release()


def _overloaded() -> Overloaded:
    return Overloaded("server: found too many requests at once; expected fewer. Try again in some seconds.")


@dataclass(frozen=True)
class AppContext:
    """The parts of the app that its routes share.

    Attributes:
        settings: The settings.
        catalogue: The sites.
        limiter: The queue for work that keeps a core busy: `with context.limiter.turn():`.
        pictures: Pictures that were made before.
        watch: The alerts of a watch.
    """

    settings: AppSettings
    catalogue: SiteCatalogue
    limiter: Limiter
    pictures: PictureCache
    watch: WatchAlerts

    @classmethod
    def from_settings(cls, settings: AppSettings) -> AppContext:
        """The parts for these settings.

        Raises:
            DataError: There is no such folder.
            ConfigError: The configuration of the watch does not fit.
        """
        from .picture_cache import PictureCache
        from .site_catalogue import SiteCatalogue

        catalogue = SiteCatalogue(settings.folder, settings.images)
        return cls(
            settings,
            catalogue,
            Limiter(settings.workers or usable_cores()),
            PictureCache(),
            WatchAlerts(lambda: catalogue.watch, settings.watch, settings.folder),
        )

    def public(self, sentence: str) -> str:
        """A sentence for an answer: without the paths of this machine."""
        folders = (self.settings.folder, self.settings.images, self.watch.folder)
        return public_sentence(sentence, [folder for folder in folders if folder is not None])

    def features(self, request: Request) -> dict[str, Any]:
        """The features that are open to a visitor, for the page."""
        settings = self.settings
        basemap = settings.basemap
        return {
            "uploads": settings.uploads and settings.may_change,
            "review": settings.may_change and self.watch.config() is not None,
            "sign_in": settings.has_sign_in,
            "sign_out": user_of(request) is not None,
            "basemap": basemap and {"url": basemap.url, "attribution": basemap.attribution},
        }


def user_of(request: Request) -> str | None:
    """The name of the visitor who signed in; None without signing in."""
    name = request.scope.get("state", {}).get("user")
    return name if isinstance(name, str) else None
