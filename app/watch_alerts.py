"""The alerts of a watch: read from its state, and reviewed through its configuration."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from euromine.support.errors import EuroMineError
from euromine.watch.alert_pictures import PICTURES, picture_paths
from euromine.watch.config_reading import read_config
from euromine.watch.watch_config import WatchConfig
from euromine.watch.watch_state import STATE_FILE, StoredAlert, WatchState

from .app_errors import NotAllowed, NotFound

_MOST_CONFIGS = 20


class WatchAlerts:
    """The alerts of a watch. The state is read again only after it has changed.

    Args:
        found: The folder with the watch's state, or None.
        config: The watch's configuration; None to look for it beside the watch and in the app's folder.
        folder: The app's folder.

    Raises:
        ConfigError: The configuration does not fit.
        OSError: It cannot be read.
    """

    def __init__(self, found: Callable[[], Path | None], config: Path | None, folder: Path) -> None:
        self._found, self._given, self._app_folder = found, config, folder
        self._placed = read_config(config).folder if config is not None else None
        self._lock = threading.Lock()
        self._state: tuple[Path, int, int] | None = None
        self._alerts: list[StoredAlert] = []
        self._run: dict[str, Any] | None = None
        self._config_path: tuple[Path, Path | None] | None = None

    @property
    def folder(self) -> Path | None:
        """The folder of the watch; None where no run has written a state."""
        folder = self._placed or self._found()
        return folder if folder is not None and (folder / STATE_FILE).is_file() else None

    def stored(self) -> list[StoredAlert]:
        """All alerts, the latest changed first.

        Raises:
            RecordError: The state is damaged.
            OSError: It cannot be read.
        """
        self._refresh()
        return self._alerts

    def one(self, identity: str) -> StoredAlert:
        """An alert.

        Raises:
            NotFound: There is none with this id.
        """
        found = next((each for each in self.stored() if each.alert.id == identity), None)
        if found is None:
            raise NotFound(f"alert: found no {identity[:40]!r}; expected an id that /api/alerts lists.")
        return found

    def open_by_site(self) -> dict[str, int]:
        """The number of open alerts by the name of their site (`is_open`)."""
        return dict(Counter(each.alert.site for each in self.stored() if is_open(each)))

    def latest_run(self) -> dict[str, Any] | None:
        """Start and end of the latest run, and the number of sites that failed; None before the first."""
        self._refresh()
        if self._run is None:
            return None
        return {
            "started": self._run["started"],
            "finished": self._run["finished"],
            "failures": len(self._run["failures"]),
        }

    def pictures(self, alert: StoredAlert) -> dict[str, Path]:
        """The pictures of an alert by "before" and "after", where there are any."""
        folder = self.folder
        return {} if folder is None else picture_paths(folder / PICTURES, alert.alert)

    def config(self) -> WatchConfig | None:
        """The configuration of the watch, read anew; None where it was not found."""
        folder = self.folder
        if folder is None:
            return None
        if self._given is not None:
            return read_config(self._given)
        if self._config_path is None or self._config_path[0] != folder:
            self._config_path = folder, _config_beside(folder, self._app_folder)
        path = self._config_path[1]
        return read_config(path) if path is not None and path.is_file() else None

    def review(self, identity: str, verdict: str, name: str, comment: str) -> StoredAlert:
        """Record a person's verdict, and return the alert with it.

        Raises:
            NotFound: There is no such alert.
            NotAllowed: The watch's configuration was not found.
            ArgumentError: There is no such verdict, or no name.
            BusyError: A run is at work.
        """
        from euromine.watch.status_reports import review_alert  # loads PyTorch

        found = self.one(identity)
        config = self.config()
        if config is None:
            raise NotAllowed(
                "review: found no configuration of the watch; expected it beside the watch. Start the app "
                "with --watch CONFIG.yaml."
            )
        review_alert(config, found.alert.id, verdict, name, comment)
        return self.one(identity)

    def _refresh(self) -> None:
        folder = self.folder
        with self._lock:
            if folder is None:
                self._state, self._alerts, self._run = None, [], None
                return
            found = (folder / STATE_FILE).stat()
            state = folder, found.st_mtime_ns, found.st_size
            if state == self._state:
                return
            with WatchState(folder) as opened:
                self._alerts, self._run = opened.alerts(), opened.latest_run()
            self._state = state


def is_open(stored: StoredAlert) -> bool:
    """Whether an alert is active, and neither a gain on record nor rejected by a person."""
    return stored.alert.is_active and not stored.alert.is_recorded and not stored.is_rejected


def _config_beside(watch: Path, folder: Path) -> Path | None:
    """The configuration of a watch among the YAML files beside it and in the app's folder."""
    places = dict.fromkeys((watch.parent.resolve(), folder.resolve()))
    paths = [path for place in places for path in sorted(place.glob("*.y*ml"))]
    for path in paths[:_MOST_CONFIGS]:
        try:
            config = read_config(path)
        except (EuroMineError, OSError):  # the YAML of something else
            continue
        if config.folder.resolve() == watch.resolve():
            return path
    return None
