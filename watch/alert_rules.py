"""The rules of a watch: from the alerts before an image to those after it.

Each rule is a function of a site's facts, a year and the rule's alerts so far. It returns findings; alerts
without one are closed, unless the image does not show their ground.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .alerts import CONFIRMED, SUSPECTED, Alert, AlertEvent, alert_id
from .series_facts import Gain, SeriesFacts
from .watch_config import Growth, OutsidePermit, ReclamationStalled, Rules, WaterGrowth

# An image must show this share of an alert's ground to say that it is gone, and as much as mined to keep it.
_HALF = 0.5
_EDGE = "half a pixel along the edge"
_CALIBRATED = "95 %, from the model's errors on other sites"


@dataclass(frozen=True)
class Finding:
    """A finding of a rule in an image.

    Attributes:
        sentence: The finding in words.
        place: The place or year that makes the identity of a new alert.
        known: The alert that it continues; None for a new one.
        shown: Whether the image itself shows it. False keeps an alert whose ground the image does not show.
        geometry: A shapely geometry in the series' coordinate system; None for that of `known`, or for none.
        area_ha: Its area; None where it has none.
        low_ha: Lower end of the interval.
        high_ha: Upper end.
        interval: The meaning of the interval.
    """

    sentence: str
    place: str = ""
    known: Alert | None = None
    shown: bool = True
    geometry: Any = None
    area_ha: float | None = None
    low_ha: float | None = None
    high_ha: float | None = None
    interval: str = ""


Rule = Callable[[SeriesFacts, int, Any, Sequence[Alert]], Iterator[Finding]]


def advance(
    facts: SeriesFacts, year: int, rules: Rules, alerts: Mapping[str, Alert]
) -> tuple[dict[str, Alert], list[AlertEvent]]:
    """Apply the rules to a year's image.

    Applying them to the same image again changes nothing.

    Args:
        facts: The site's facts.
        year: The image's year.
        rules: The site's rules.
        alerts: All alerts of the site so far, by id.

    Returns:
        All alerts, and the events.
    """
    found, events = dict(alerts), list[AlertEvent]()
    for name, rule in RULES.items():
        settings = getattr(rules, name)
        if settings is None:
            continue
        known = [alert for alert in alerts.values() if alert.rule == name]
        continued = set()
        for finding in rule(facts, year, settings, known):
            before = finding.known or found.get(alert_id(facts.site, name, finding.place))
            alert = _alert(facts, year, name, finding, before)
            continued.add(alert.id)
            found[alert.id] = alert
            step = getattr(settings, "hectares", None)
            if (event := _event(alert, before, step)) is not None:
                found[alert.id] = replace(alert, reported_ha=alert.area_ha)
                events.append(AlertEvent(event, found[alert.id]))
        for alert in known:
            if alert.is_active and alert.id not in continued and alert.year <= year:
                found[alert.id] = alert.resolved()
                events.append(AlertEvent("resolved", found[alert.id]))
    return found, events


def _event(alert: Alert, before: Alert | None, step: float | None) -> Any:
    """The event between two states of an alert; None where there is none."""
    if before is None or not before.is_active:
        return alert.status
    if alert.status != before.status:
        return alert.status
    if step is not None and alert.area_ha is not None and alert.area_ha >= (before.reported_ha or 0) + step:
        return "grown"
    return None


def _alert(facts: SeriesFacts, year: int, rule: str, finding: Finding, before: Alert | None) -> Alert:
    """The alert after a finding."""
    if before is not None and not finding.shown:
        return before
    image = facts.images[year]
    reopened = before is None or not before.is_active
    shown = facts.evidence(year)
    images, evidence = [image], [shown]
    if before is not None and not reopened:
        images, evidence = sorted({*before.images, image}), sorted({*before.evidence, shown})
    place = _place(facts, finding.geometry)
    values = {
        "status": CONFIRMED if len(evidence) > 1 else SUSPECTED,
        "last_year": year,
        "sentence": finding.sentence,
        "area_ha": finding.area_ha,
        "low_ha": finding.low_ha,
        "high_ha": finding.high_ha,
        "interval": finding.interval,
        "images": images,
        "evidence": evidence,
        "models": facts.models,
        "permits": facts.permits if rule == "outside_permit" else "",
        "simulated": facts.series.manifest.simulated,
        **place,
    }
    if before is not None:
        again = {"year": year, "before_year": facts.before(year), "reported_ha": None} if reopened else {}
        return replace(before, **{**values, **again})
    return Alert(
        id=alert_id(facts.site, rule, finding.place),
        site=facts.site,
        rule=rule,
        year=year,
        before_year=facts.before(year),
        **values,
    )


def _place(facts: SeriesFacts, geometry: Any) -> dict[str, Any]:
    if geometry is None:
        return {}
    import shapely

    outline = facts.degrees(geometry)
    point = outline.representative_point()
    return {
        "longitude": round(point.x, 6),
        "latitude": round(point.y, 6),
        "geometry": json.loads(shapely.to_geojson(outline)),
    }


def _outside_permit(
    facts: SeriesFacts, year: int, rule: OutsidePermit, known: Sequence[Alert]
) -> Iterator[Finding]:
    """New parts of mines outside all outlines given, and the earlier ones that are still mined."""
    if not facts.has_permits:
        yield from (Finding(alert.sentence, known=alert, shown=False) for alert in known if alert.is_active)
        return
    parts = facts.new_outside(year)
    # Parts belong to an alert that they touch, edges that a pixel separates included.
    reach = 1.5 * facts.pixel_size
    earlier = {
        alert.id: facts.projected(alert.geometry)
        for alert in known
        if alert.geometry is not None and alert.year <= year
    }
    taken: dict[str, list[Any]] = {}
    fresh = []
    for part in parts:
        near = [alert for alert in known if alert.id in earlier and part.distance(earlier[alert.id]) <= reach]
        # An active alert goes on before a closed one is opened again.
        near.sort(key=lambda alert: (not alert.is_active, alert.year, alert.id))
        if near:
            taken.setdefault(near[0].id, []).append(part)
        else:
            fresh.append(part)
    for alert in known:
        if alert.id in earlier:
            yield from _continued(facts, year, rule, alert, earlier[alert.id], taken.get(alert.id, []))
    for part in fresh:
        if facts.hectares(part) >= rule.hectares:
            point = facts.degrees(part).representative_point()
            yield _outside_finding(facts, year, part, place=f"{point.x:.5f} {point.y:.5f}")


def _continued(
    facts: SeriesFacts, year: int, rule: OutsidePermit, alert: Alert, before: Any, parts: Sequence[Any]
) -> Iterator[Finding]:
    import shapely

    if not alert.is_active:
        if (together := _union(parts)) is not None and facts.hectares(together) >= rule.hectares:
            yield _outside_finding(facts, year, together, known=alert)
        return
    if facts.permitted_share(before) >= _HALF:
        return  # the outlines given have changed
    state = facts.persistence(before, year)
    # An outline that was in degrees differs from its pixels by far less than a hundredth of one.
    speck = facts.pixel_size**2 / 100
    added = [part for part in parts if part.difference(before).area > speck]
    if added:
        yield _outside_finding(facts, year, shapely.union_all([before, *added]), known=alert)
    elif parts or state.mined >= _HALF:
        yield _unchanged(alert)
    elif state.known < _HALF:
        yield Finding(alert.sentence, known=alert, shown=False)


def _union(parts: Sequence[Any]) -> Any:
    import shapely

    return shapely.union_all(list(parts)) if parts else None


def _outside_finding(
    facts: SeriesFacts, year: int, geometry: Any, *, place: str = "", known: Alert | None = None
) -> Finding:
    area = facts.hectares(geometry)
    low, high = (facts.hectares(geometry.buffer(sign * facts.pixel_size / 2)) for sign in (-1, 1))
    since = known.before_year if known is not None and known.is_active else facts.before(year)
    words = "" if since is None else f" since {since}"
    return Finding(
        f"Mined ground of {area:.2f} ha outside the outlines given is new{words} (image of {year}).",
        place=place,
        known=known,
        geometry=geometry,
        area_ha=area,
        low_ha=low,
        high_ha=high,
        interval=_EDGE,
    )


def _growth(facts: SeriesFacts, year: int, rule: Growth, known: Sequence[Alert]) -> Iterator[Finding]:
    """The gain since the image before, and earlier gains until a second image has confirmed them."""
    for alert in known:
        if alert.is_active and alert.year < year:
            yield from _still_grown(facts, year, alert)
    before = facts.before(year)
    gain = None if before is None else facts.gain(before, year)
    if before is None or gain is None:
        return
    for alert in _between(known, before, year):
        gain = _less(gain, facts, alert)
    if gain.area_ha < rule.hectares or (gain.low_ha is not None and gain.low_ha <= 0):
        return
    spread = "" if gain.low_ha is None else f" ({gain.low_ha:.2f} to {gain.high_ha:.2f} ha)"
    yield Finding(
        f"Mined area grew by {gain.area_ha:.2f} ha{spread} from {before} to {year}.",
        place=str(year),
        geometry=gain.geometry,
        area_ha=gain.area_ha,
        low_ha=gain.low_ha,
        high_ha=gain.high_ha,
        interval=_CALIBRATED if gain.low_ha is not None else "",
    )


def _between(known: Sequence[Alert], before: int, year: int) -> list[Alert]:
    """Active alerts of years between two neighbouring images: their own image was removed since."""
    return [alert for alert in known if alert.is_active and before < alert.year < year]


def _less(gain: Gain, facts: SeriesFacts, alert: Alert) -> Gain:
    """A gain without the part that an alert has told of."""
    told = alert.area_ha or 0.0
    geometry = gain.geometry
    if geometry is not None and alert.geometry is not None:
        geometry = geometry.difference(facts.projected(alert.geometry))
        geometry = None if geometry.is_empty else geometry
    low = None if gain.low_ha is None else gain.low_ha - told
    high = None if gain.high_ha is None else gain.high_ha - told
    return Gain(gain.area_ha - told, low, high, geometry)


def _still_grown(facts: SeriesFacts, year: int, alert: Alert) -> Iterator[Finding]:
    """An earlier gain: as it was, confirmed where a later image shows its ground as mined."""
    if alert.status == CONFIRMED or alert.geometry is None:
        yield Finding(alert.sentence, known=alert, shown=False)
        return
    state = facts.persistence(facts.projected(alert.geometry), year)
    if state.known < _HALF:
        yield Finding(alert.sentence, known=alert, shown=False)
    elif state.mined >= _HALF:
        yield _unchanged(alert)


def _unchanged(alert: Alert) -> Finding:
    """The same finding in a further image."""
    return Finding(
        alert.sentence,
        known=alert,
        area_ha=alert.area_ha,
        low_ha=alert.low_ha,
        high_ha=alert.high_ha,
        interval=alert.interval,
    )


def _water_growth(
    facts: SeriesFacts, year: int, rule: WaterGrowth, known: Sequence[Alert]
) -> Iterator[Finding]:
    """More water within the mine than the image before showed, and earlier growth until it is confirmed."""
    now = facts.water(year)
    if now is None or now[1] < _HALF:
        yield from (Finding(alert.sentence, known=alert, shown=False) for alert in known if alert.is_active)
        return
    for alert in known:
        if alert.is_active and alert.year < year:
            grown = None if alert.before_year is None else facts.water(alert.before_year)
            if alert.status == CONFIRMED or grown is None:
                yield Finding(alert.sentence, known=alert, shown=False)
            elif now[0] - grown[0] >= rule.hectares:
                yield _unchanged(alert)
    before = facts.before(year)
    earlier = None if before is None else facts.water(before)
    if before is None or earlier is None or earlier[1] < _HALF:
        return
    gain = now[0] - earlier[0] - sum(alert.area_ha or 0 for alert in _between(known, before, year))
    if gain >= rule.hectares and gain >= rule.percent / 100 * earlier[0]:
        yield Finding(
            f"Water within the mine grew from {earlier[0]:.2f} ha in {before} to {now[0]:.2f} ha in {year}.",
            place=str(year),
            area_ha=gain,
        )


def _reclamation_stalled(
    facts: SeriesFacts, year: int, rule: ReclamationStalled, known: Sequence[Alert]
) -> Iterator[Finding]:
    """Ground that was mined, is not recovered, and has gained nothing for three years."""
    earlier = {alert.id: facts.projected(alert.geometry) for alert in known if alert.geometry is not None}
    taken = set()
    for ground in facts.recovering(year):
        overlaps = {
            alert.id: ground.geometry.intersection(earlier[alert.id]).area
            for alert in known
            if alert.id in earlier and alert.id not in taken
        }
        nearest = max(overlaps, key=lambda name: overlaps[name], default=None)
        alert = next((each for each in known if each.id == nearest and overlaps[nearest] > 0), None)
        if ground.known < _HALF:
            if alert is not None and alert.is_active:
                taken.add(alert.id)
                yield Finding(alert.sentence, known=alert, shown=False)
            continue
        if ground.stalled_ha < rule.hectares:
            continue
        if alert is not None:
            taken.add(alert.id)
        point = facts.degrees(ground.geometry).representative_point()
        yield Finding(
            f"Of {ground.ground_ha:.2f} ha that are not mined any more, {ground.stalled_ha:.2f} ha have "
            f"gained no vegetation for three years (image of {year}).",
            place=f"{point.x:.5f} {point.y:.5f}",
            known=alert,
            geometry=ground.geometry,
            area_ha=ground.stalled_ha,
        )


RULES: dict[str, Rule] = {
    "outside_permit": _outside_permit,
    "growth": _growth,
    "water_growth": _water_growth,
    "reclamation_stalled": _reclamation_stalled,
}
"""The rules on maps, by their names in the configuration."""
