"""Scheduled checks of mining sites: new images, rules, alerts and their delivery."""

from typing import TYPE_CHECKING

from euromine.support.lazy import lazy_names

if TYPE_CHECKING:
    from .alerts import Alert as Alert
    from .alerts import AlertEvent as AlertEvent
    from .config_checks import ConfigFindings as ConfigFindings
    from .config_checks import check_config as check_config
    from .config_reading import read_config as read_config
    from .status_reports import review_alert as review_alert
    from .status_reports import watch_status as watch_status
    from .watch_config import WatchConfig as WatchConfig
    from .watch_runs import WatchRun as WatchRun
    from .watch_runs import run_watch as run_watch
    from .watch_state import WatchState as WatchState

__all__ = [
    "Alert",
    "AlertEvent",
    "ConfigFindings",
    "WatchConfig",
    "WatchRun",
    "WatchState",
    "check_config",
    "read_config",
    "review_alert",
    "run_watch",
    "watch_status",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Alert": ".alerts",
        "AlertEvent": ".alerts",
        "ConfigFindings": ".config_checks",
        "WatchConfig": ".watch_config",
        "WatchRun": ".watch_runs",
        "WatchState": ".watch_state",
        "check_config": ".config_checks",
        "read_config": ".config_reading",
        "review_alert": ".status_reports",
        "run_watch": ".watch_runs",
        "watch_status": ".status_reports",
    },
)
