"""A check of one site: acquire, map, compare, and apply the rules to the images that are new."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from euromine.acquisition import AcquisitionOptions, acquire_site
from euromine.acquisition.site_acquisition import site_folder
from euromine.monitoring.history.impact_settings import RECOVERY_INDEX, WATER_INDEX, ImpactSettings
from euromine.monitoring.history.series import make_series
from euromine.monitoring.history.series_settings import SeriesSettings
from euromine.monitoring.history.yearly_images import find_scenes
from euromine.monitoring.mapping.engine_choice import check_installed
from euromine.monitoring.monitor import MineMonitor
from euromine.support.errors import EuroMineError, one_line

from .alert_pictures import PICTURES, write_pictures
from .alert_rules import RULES, advance
from .alerts import Alert, AlertEvent, EventKind, alert_id
from .series_facts import SeriesFacts, permits_id
from .site_images import image_ids
from .site_inputs import check_inputs, check_mapper, in_fields
from .turned_on_rules import judged_again
from .watch_config import Acquisition, Rules, Site

logger = logging.getLogger(__name__)

SITES, MAPS = "sites", "maps"
"""Folders of a watch: acquired images and maps of each site, and the pictures of alerts."""


@dataclass(frozen=True)
class SiteTask:
    """A site to check, in this process or another.

    Attributes:
        site: Its configuration, with absolute paths.
        folder: The watch's folder.
        now: The time of the run.
        alerts: The alerts so far, as `Alert.to_dict`.
        seen: Year and id of the images that the rules have seen.
        is_new: Whether no run has completed the site before.
        permits: The id of the outlines given that the rules have seen; "" for none.
        rules: The rules that were on when it was last checked; None if unknown.
        files: The stamp and the id of files that earlier runs have hashed, by path.
    """

    site: Site
    folder: str
    now: datetime
    alerts: tuple[dict[str, Any], ...] = ()
    seen: frozenset[tuple[int, str]] = frozenset()
    is_new: bool = True
    permits: str = ""
    rules: frozenset[str] | None = None
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class SiteCheck:
    """The outcome of a site's check.

    Attributes:
        name: The site's name.
        images: The id of each year's image.
        alerts: All alerts that changed, as `Alert.to_dict`.
        events: Kind and alert of each event, in their order.
        failure: The reason why the check failed; "" if it did not.
        permits: The id of the outlines given; "" for none.
        files: The stamp and the id of each image, by path.
    """

    name: str
    images: dict[int, str] = field(default_factory=dict)
    alerts: tuple[dict[str, Any], ...] = ()
    events: tuple[tuple[EventKind, dict[str, Any]], ...] = ()
    failure: str = ""
    permits: str = ""
    files: dict[str, tuple[str, str]] = field(default_factory=dict)


def check_site(task: SiteTask) -> SiteCheck:
    """Check a site. A failure is part of the outcome, as it must not stop the other sites."""
    try:
        return _checked(task)
    except (EuroMineError, OSError) as error:
        return SiteCheck(task.site.name, failure=in_fields(one_line(error)))


def _checked(task: SiteTask) -> SiteCheck:
    site, folder = task.site, Path(task.folder)
    check_installed(site.engine_choice.engine)  # before hours of acquisition
    before = {alert["id"]: Alert.from_dict(alert, "state") for alert in task.alerts}
    scenes = _scenes(task)
    images, files = image_ids(scenes, task.files)
    alerts, events = dict(before), list[AlertEvent]()
    fresh = sorted(year for year, name in images.items() if (year, name) not in task.seen)
    permits = permits_id(site.permits)
    if not fresh and not task.is_new and permits != task.permits:
        fresh = [max(images)]  # other outlines are compared with the latest image
    turned_on = set() if task.is_new or task.rules is None else rules_on(site) & RULES.keys() - task.rules
    if fresh or turned_on:
        check_inputs(site, scenes)
        facts = _facts(site, folder, scenes, images)
        alerts, found = judged_again(facts, turned_on, _rules(site), alerts) if turned_on else (alerts, [])
        events += found
        # Later years are judged again, as the years before them have changed.
        others = _rules(site).model_copy(update=dict.fromkeys(turned_on))
        for year in [year for year in facts.years if fresh and year >= fresh[0]]:
            alerts, found = advance(facts, year, others, alerts)
            # On the first run, alerts of earlier years are history: recorded, but nobody is told.
            events += [each for each in found if not task.is_new or each.alert.year == facts.years[-1]]
        for alert in {event.alert.id: alerts[event.alert.id] for event in events}.values():
            write_pictures(facts, alert, scenes, folder / PICTURES)
    alerts, found = without_rule(site, alerts)
    events += found
    alerts, found = no_data(site, images, _latest_day(folder, site, scenes), task.now, alerts)
    events += found
    return SiteCheck(
        site.name,
        images,
        tuple(alert.to_dict() for name, alert in alerts.items() if before.get(name) != alert),
        tuple((event.kind, event.alert.to_dict()) for event in events),
        permits=permits,
        files=files,
    )


def rules_on(site: Site) -> frozenset[str]:
    """The names of the rules of a site that are on."""
    return frozenset(name for name, rule in _rules(site) if rule is not None)


def _rules(site: Site) -> Rules:
    assert site.rules is not None, "merged when the configuration is read"
    return site.rules


def _scenes(task: SiteTask) -> dict[int, str | Path]:
    """The images of a site by year, after new ones were acquired."""
    site, folder = task.site, Path(task.folder)
    if site.acquire is None:
        assert site.images is not None
        return find_scenes(site.images)
    source = site.acquire
    options = acquisition_options(source, task.now)
    acquired = acquire_site(folder / SITES, site.name, options, bbox=source.bbox, geometry=source.geometry)
    return find_scenes(acquired.folder / "image")


def acquisition_options(source: Acquisition, now: datetime) -> AcquisitionOptions:
    """The options of an acquisition until now.

    Raises:
        ArgumentError: They do not go together.
    """
    # A season has images from its first month on.
    last = now.year if now.month >= min(source.months) else now.year - 1
    return AcquisitionOptions(
        years=tuple(range(source.since, max(last, source.since) + 1)),
        months=source.months,
        catalogue=source.catalogue,
        level=source.level,
        scenes=source.scenes,
        fill=source.fill,
        margin=source.margin,
        renew=True,
    )


def maps_folder(folder: Path, site: str) -> Path:
    """The folder with the maps of a site."""
    return folder / MAPS / site


def _facts(site: Site, folder: Path, scenes: Mapping[int, str | Path], images: dict[int, str]) -> SeriesFacts:
    """The facts of a site after its series was made or completed."""
    assert site.model is not None
    monitor = MineMonitor.from_pretrained(site.model, site.change_model, engine=site.engine_choice)
    check_mapper(monitor.models[0])
    target = maps_folder(folder, site.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    series = make_series(monitor.models, scenes, target, series_settings(site))
    return SeriesFacts(site.name, series, images, permits_id(site.permits))


def series_settings(site: Site) -> SeriesSettings:
    """The settings of a site's series: all that its rules need."""
    rules = _rules(site)
    return SeriesSettings(
        impact=ImpactSettings(
            indices=(
                *((WATER_INDEX,) if rules.water_growth else ()),
                *((RECOVERY_INDEX,) if rules.reclamation_stalled else ()),
            )
        ),
        pairs="consecutive",
        minimum_mapping_unit=site.minimum_mapping_unit,
        permits=site.permits,
        permit_layers=site.permit_layers,
        site=site.name,
    )


def _latest_day(folder: Path, site: Site, scenes: Mapping[int, str | Path]) -> date:
    """The day of the latest image: that of its last scene, or else the last of its year."""
    from euromine.acquisition import read_acquisition

    year = max(scenes)
    record = None
    if site.acquire is not None:
        record = read_acquisition(site_folder(folder / SITES, site.name))
    elif site.images is not None:
        record = read_acquisition(site.images)
    if record is not None and (made := record.years.get(str(year))) is not None:
        days = [item.time[:10] for one in made.passes for item in one.items]
        if days:
            return date.fromisoformat(max(days))
    return date(year, 12, 31)


def without_rule(site: Site, alerts: Mapping[str, Alert]) -> tuple[dict[str, Alert], list[AlertEvent]]:
    """Close the alerts of rules that were turned off.

    Args:
        site: The site.
        alerts: All alerts of the site so far, by id.

    Returns:
        All alerts, and the events.
    """
    closed = {
        name: alert.resolved(f"The rule {alert.rule} was turned off.")
        for name, alert in alerts.items()
        if alert.is_active and getattr(_rules(site), alert.rule) is None
    }
    return {**alerts, **closed}, [AlertEvent("resolved", alert) for alert in closed.values()]


def no_data(
    site: Site, images: Mapping[int, str], latest: date, now: datetime, alerts: Mapping[str, Alert]
) -> tuple[dict[str, Alert], list[AlertEvent]]:
    """Apply the rule on missing images.

    Args:
        site: The site.
        images: The id of each year's image.
        latest: The day of the latest image.
        now: The time of the run.
        alerts: All alerts of the site so far, by id.

    Returns:
        All alerts, and the events.
    """
    found, events = dict(alerts), list[AlertEvent]()
    rule = _rules(site).no_data
    year = max(images)
    name = alert_id(site.name, "no_data", images[year])
    age = now - datetime.combine(latest, time(), UTC)
    is_late = rule is not None and age > timedelta(days=rule.days)
    for alert in alerts.values():
        if alert.rule == "no_data" and alert.is_active and not (alert.id == name and is_late):
            found[alert.id] = alert.resolved()
            events.append(AlertEvent("resolved", found[alert.id]))
    if is_late and not (name in alerts and alerts[name].is_active):
        alert = Alert(
            id=name,
            site=site.name,
            rule="no_data",
            status="confirmed",
            year=year,
            last_year=year,
            before_year=None,
            sentence=f"The latest image is of {latest.isoformat()}, {age.days} days ago.",
            images=[images[year]],
        )
        found[name] = alert
        events.append(AlertEvent("confirmed", alert))
    return found, events
