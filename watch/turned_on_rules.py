"""Rules that were turned on: all years judged again, so that ground that is still there opens its alert."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .alert_rules import RULES, advance
from .alerts import Alert, AlertEvent
from .series_facts import SeriesFacts
from .watch_config import Rules


def judged_again(
    facts: SeriesFacts, names: Collection[str], rules: Rules, alerts: Mapping[str, Alert]
) -> tuple[dict[str, Alert], list[AlertEvent]]:
    """Apply rules that were turned on to all years.

    Args:
        facts: The site's facts.
        names: The names of these rules.
        rules: The site's rules.
        alerts: All alerts of the site so far, by id.

    Returns:
        All alerts; and the events of those that are open again, and of new ones of the latest year. Others
        are history, as on a first run.
    """
    only = rules.model_copy(update={name: None for name in RULES if name not in names})
    found = dict(alerts)
    for year in facts.years:
        found, _ = advance(facts, year, only, found)
    return found, [
        AlertEvent(alert.status, alert)
        for name, alert in found.items()
        if alert.is_active
        and (alert.year == facts.years[-1] if name not in alerts else not alerts[name].is_active)
    ]
