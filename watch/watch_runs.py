"""Runs of a watch: check every site, record alerts, write feeds and deliver."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from euromine.support.errors import ConfigError
from euromine.support.files import explain_full_disk
from euromine.support.interrupts import resumable
from euromine.support.locks import lock_folder
from euromine.support.workers import run_on_workers

from .alert_pictures import PICTURES
from .alerts import Alert, AlertEvent
from .deliveries import DeliveryCounts, deliver, entries, entries_for_told
from .feeds import write_feeds
from .site_checks import SiteCheck, SiteTask, check_site, rules_on
from .watch_config import Site, WatchConfig
from .watch_state import WatchState

logger = logging.getLogger(__name__)

_FORMER = "The site was removed from the configuration, or renamed."

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class WatchRun:
    """The outcome of a run.

    Attributes:
        sites: The number of sites that were checked.
        events: Kind and alert of each event.
        deliveries: Outcomes of the tries to deliver.
        failures: A sentence for each site that could not be checked.
    """

    sites: int
    events: list[AlertEvent] = field(default_factory=list)
    deliveries: DeliveryCounts = field(default_factory=DeliveryCounts)
    failures: list[str] = field(default_factory=list)


def utc_now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


def run_watch(
    config: WatchConfig,
    *,
    workers: int = 1,
    dask: str | None = None,
    clock: Clock = utc_now,
) -> WatchRun:
    """Check all sites once, and deliver what is due.

    The same call again does and sends nothing. After a kill at any point, the next call completes the run: a
    site's alerts and their deliveries are recorded together or not at all.

    Args:
        config: The configuration.
        workers: The number of processes for sites. Spawned, so a calling script needs
            `if __name__ == "__main__":`.
        dask: The address of a Dask scheduler whose workers reach the folder, instead of processes.
        clock: The time, in a time zone.

    Raises:
        BusyError: Another run is at work in the folder.
        ConfigError: The folder holds the alerts of another configuration.
        RecordError: The state is damaged, or of a newer version.
        OSError: The folder cannot be written to, a process was killed, or no Dask scheduler answers.
    """
    folder = config.folder
    folder.mkdir(parents=True, exist_ok=True)
    with (
        resumable(),
        lock_folder(folder),
        explain_full_disk(folder, "the watch"),
        WatchState(folder) as state,
    ):
        _claim_folder(config, state)
        now = clock()
        state.begin_run(now)
        events: list[AlertEvent] = []
        failures: list[str] = []
        sites = {site.name: site for site in config.sites}
        bug: Exception | None = None
        try:
            with closing(
                run_on_workers(check_site, _tasks(config, state, now), workers, "checked a site", dask)
            ) as outcomes:
                for check in outcomes:
                    if check.failure:
                        logger.warning("%s: not checked. %s", check.name, check.failure)
                        failures.append(f"{check.name}: {check.failure}")
                        continue
                    events += _record(config, state, sites[check.name], check, now)
            events += _close_former_sites(config, state, now)
        except Exception as error:  # raised again below: alerts on record must not wait for it
            bug = error
        pictures = folder / PICTURES
        write_feeds(state.alerts(), config.feed, folder, pictures)
        recipients = {recipient.name: recipient for recipient in config.recipients}
        counts = deliver(state, recipients, pictures, now)
        if bug is not None:
            raise bug
        state.end_run(now, max(clock(), now), failures)
    return WatchRun(len(config.sites), events, counts, failures)


def _claim_folder(config: WatchConfig, state: WatchState) -> None:
    """Refuse the folder of another configuration: each would close the other's alerts.

    A configuration that was moved or renamed keeps its folder, as its former file is gone.
    """
    if config.source is None:
        return
    own, other = str(config.source), state.configuration()
    if other not in (None, own) and Path(str(other)).is_file():
        raise ConfigError(
            f"{config.folder}: found the alerts of {other}; expected those of {own}. Give each configuration "
            "its own `folder`, or delete the other file if this one replaces it."
        )
    if other != own:
        state.note_configuration(own)


def _tasks(config: WatchConfig, state: WatchState, now: datetime) -> list[SiteTask]:
    files = state.files()
    return [
        SiteTask(
            site,
            str(config.folder),
            now,
            tuple(stored.alert.to_dict() for stored in state.alerts(site.name)),
            frozenset(state.images(site.name)),
            not state.is_known(site.name),
            state.permits(site.name),
            state.rules(site.name),
            files,
        )
        for site in config.sites
    ]


def _record(
    config: WatchConfig, state: WatchState, site: Site, check: SiteCheck, now: datetime
) -> list[AlertEvent]:
    """Record a site's alerts and the deliveries of its events, together."""
    source = str(Path(config.folder))
    events = [AlertEvent(kind, Alert.from_dict(alert, source)) for kind, alert in check.events]
    rejected = {stored.alert.id for stored in state.alerts(site.name) if stored.is_rejected}
    with state.transaction():
        for alert in check.alerts:
            state.put_alert(Alert.from_dict(alert, source), now)
        wanted = [event for event in events if event.alert.id not in rejected]
        for delivery in entries(wanted, site, config.recipients, now):
            state.put_delivery(delivery)
        state.note_site(site.name, check.images, check.permits, now, rules=rules_on(site), files=check.files)
    return events


def _close_former_sites(config: WatchConfig, state: WatchState, now: datetime) -> list[AlertEvent]:
    """Close the alerts of sites that the configuration has no more, and tell those who had heard of them."""
    names = {site.name for site in config.sites}
    former = [
        stored for stored in state.alerts() if stored.alert.site not in names and stored.alert.is_active
    ]
    if not former:
        return []
    events = [AlertEvent("resolved", stored.alert.resolved(_FORMER)) for stored in former]
    wanted = [event for event, stored in zip(events, former, strict=True) if not stored.is_rejected]
    with state.transaction():
        for event in events:
            state.put_alert(event.alert, now)
        for event in wanted:
            for entry in entries_for_told(event, state.deliveries(), config.recipients, now):
                state.put_delivery(entry)
        for site in {event.alert.site for event in events}:
            state.note_former_site(site)
    return events
