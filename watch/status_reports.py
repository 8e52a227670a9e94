"""The status of a watch for people and programs, and people's verdicts on alerts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from euromine.support.errors import ArgumentError, BusyError, RecordError
from euromine.support.locks import check_unlocked, lock_folder

from .alert_pictures import PICTURES, picture_paths
from .alerts import AlertEvent
from .deliveries import entries_for_told
from .feeds import write_feeds
from .watch_config import WatchConfig
from .watch_runs import Clock, utc_now
from .watch_state import STATE_FILE, StoredAlert, Verdict, WatchState

_VERDICTS = ("confirmed", "rejected")


def watch_status(config: WatchConfig) -> dict[str, Any]:
    """The latest run, the sites, the open alerts, the gains on record and the outbox.

    Raises:
        RecordError: There has been no run, or the state is damaged.
    """
    with _opened(config) as state:
        alerts = state.alerts()
        deliveries = state.deliveries()
        checked = state.sites()
        return {
            "run": state.latest_run(),
            "at_work": _is_at_work(config),
            "sites": {site.name: checked.get(site.name) for site in config.sites},
            "former_sites": sorted(set(checked) - {site.name for site in config.sites}),
            "alerts": [
                _listed(each, config.folder / PICTURES)
                for each in alerts
                if each.alert.is_active and not each.alert.is_recorded
            ],
            "recorded": [
                _listed(each, config.folder / PICTURES) for each in alerts if each.alert.is_recorded
            ],
            "closed_alerts": sum(not each.alert.is_active for each in alerts),
            "deliveries": dict(Counter(delivery.state for delivery in deliveries)),
            "problems": [
                f"{delivery.recipient}, {delivery.alert}: {delivery.problem}"
                for delivery in deliveries
                if delivery.problem
            ],
        }


def _listed(stored: StoredAlert, pictures: Path) -> dict[str, Any]:
    """An alert in a status."""
    recorded = "recorded" if stored.alert.is_recorded else stored.alert.status
    return {
        "id": stored.alert.id,
        "title": stored.alert.title,
        "status": "rejected" if stored.is_rejected else recorded,
        "sentence": stored.alert.sentence,
        "opened": stored.opened,
        "changed": stored.changed,
        "pictures": [str(path) for path in picture_paths(pictures, stored.alert).values()],
    }


def status_text(status: Mapping[str, Any]) -> str:
    """The result of `watch_status` as text."""
    run = status["run"]
    lines = ["Latest run: none was begun."]
    if run is not None:
        unfinished = "at work" if status["at_work"] else "interrupted"
        ended = unfinished if run["finished"] is None else f"finished {_minute(run['finished'])}"
        lines = [f"Latest run: started {_minute(run['started'])}, {ended}."]
        lines += [f"  failed: {failure}" for failure in run["failures"]]
    lines.append("Sites:")
    lines += [
        f"  {name}: {'never checked' if checked is None else f'checked {_minute(checked)}'}"
        for name, checked in status["sites"].items()
    ]
    lines += [f"  {name}: no longer in the configuration" for name in status["former_sites"]]
    counts = f"{len(status['alerts'])} open, {len(status['recorded'])} recorded"
    lines.append(f"Alerts: {counts}, {status['closed_alerts']} closed.")
    lines += [
        f"  {alert['id']} {alert['status']} {alert['title']}. {alert['sentence']}"
        for alert in (*status["alerts"], *status["recorded"])
    ]
    counts = ", ".join(f"{number} {state}" for state, number in sorted(status["deliveries"].items()))
    lines.append(f"Deliveries: {counts or 'none'}.")
    lines += [f"  {problem}" for problem in status["problems"]]
    return "\n".join(lines)


def review_alert(
    config: WatchConfig, alert: str, verdict: str, name: str, comment: str, clock: Clock = utc_now
) -> None:
    """Record a person's verdict on an alert.

    The next run tells of a rejection, and of nothing else about a rejected alert.

    Args:
        config: The configuration.
        alert: The alert's id, or its beginning.
        verdict: "confirmed" or "rejected".
        name: The person's name.
        comment: The reason.
        clock: The time.

    Raises:
        ArgumentError: There is no such alert or verdict, or no name.
        BusyError: A run is at work.
    """
    if verdict not in _VERDICTS:
        raise ArgumentError(f"verdict: found {verdict!r}; expected {' or '.join(_VERDICTS)}.")
    if not name.strip():
        raise ArgumentError("name: found no name; expected that of the person who decides.")
    with lock_folder(config.folder), _opened(config) as state:
        found = [each.alert for each in state.alerts() if each.alert.id.startswith(alert)]
        if len(found) != 1 or not alert:
            many = f"{len(found)} alerts" if found else "no alert"
            raise ArgumentError(
                f"alert: found {many} with the id {alert!r}; expected one of `euromine watch status`."
            )
        with state.transaction():
            state.review(found[0].id, cast("Verdict", verdict), name.strip(), comment, clock())
            if verdict == "rejected":
                event = AlertEvent("rejected", found[0])
                for entry in entries_for_told(event, state.deliveries(), config.recipients, clock()):
                    state.put_delivery(entry)
        write_feeds(state.alerts(), config.feed, config.folder, config.folder / PICTURES)


def retry_dead_letters(config: WatchConfig, clock: Clock = utc_now) -> int:
    """Put deliveries that were given up back into the outbox, for the next run.

    Returns:
        Their number.

    Raises:
        RecordError: There has been no run, or the state is damaged.
        BusyError: A run is at work.
    """
    with lock_folder(config.folder), _opened(config) as state:
        return state.retry_dead(clock())


def _opened(config: WatchConfig) -> WatchState:
    if not (config.folder / STATE_FILE).exists():
        raise RecordError(
            f"{config.folder}: found no {STATE_FILE}; expected that of an earlier run. Run `euromine watch` "
            "first."
        )
    return WatchState(config.folder)


def _is_at_work(config: WatchConfig) -> bool:
    try:
        check_unlocked(config.folder)
    except BusyError:
        return True
    return False


def _minute(time: str) -> str:
    return f"{time[:16].replace('T', ' ')} UTC"
