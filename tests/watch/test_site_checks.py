"""Rules that need no maps: missing images, and rules that were turned off."""

from datetime import UTC, date, datetime, timedelta

from euromine.watch.site_checks import no_data, without_rule
from euromine.watch.watch_config import Growth, NoData, Rules, Site

LATEST = date(2025, 8, 1)
NOW = datetime(2026, 6, 1, tzinfo=UTC)  # 304 days later
IMAGES = {2024: "Year2024.tif@a", 2025: "Year2025.tif@b"}
SITE = Site(name="pit", images="x", rules=Rules(no_data=NoData(days=300)))


def test_a_clock_that_jumped_ahead_leaves_no_alert_open_and_does_not_hide_a_later_one() -> None:
    early = NOW - timedelta(days=30)
    story, alerts = [], {}
    for now in (early, NOW + timedelta(days=30_000), early, early, NOW, NOW + timedelta(days=1)):
        alerts, events = no_data(SITE, IMAGES, LATEST, now, alerts)
        story.append([event.kind for event in events])
    assert story == [[], ["confirmed"], ["resolved"], [], ["confirmed"], []]
    (alert,) = alerts.values()
    assert alert.sentence == "The latest image is of 2025-08-01, 304 days ago."


def test_alerts_of_a_rule_that_was_turned_off_are_closed_once(alert) -> None:
    kept, closed = alert(id="a", rule="outside_permit"), alert(id="b", rule="growth")
    site = SITE.model_copy(update={"rules": Rules(growth=None)})
    alerts, (event,) = without_rule(site, {"a": kept, "b": closed})
    assert (event.kind, event.alert.id, event.alert.sentence) == (
        "resolved",
        "b",
        "The rule growth was turned off.",
    )
    assert (alerts["a"], alerts["b"].status) == (kept, "resolved")
    assert without_rule(site, alerts) == (alerts, [])
    assert without_rule(SITE.model_copy(update={"rules": Rules(growth=Growth())}), {"b": closed})[1] == []
