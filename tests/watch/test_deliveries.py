"""The outbox: order, pauses, giving up, and a process killed between sending and noting."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
import shapely
import shapely.affinity

from euromine.watch import deliveries
from euromine.watch.alerts import AlertEvent
from euromine.watch.deliveries import deliver, entries, entries_for_told
from euromine.watch.delivery_outcomes import PermanentError, TemporaryError
from euromine.watch.watch_config import Recipient, Site
from euromine.watch.watch_state import WatchState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OFFICE = Recipient(
    name="office", webhook={"url": "https://example.org"}, events=("suspected", "confirmed", "resolved")
)
RECIPIENTS = {"office": OFFICE}


@pytest.fixture
def state(tmp_path, alert, delivery):
    """A state with one alert and one entry."""
    with WatchState(tmp_path) as state:
        with state.transaction():
            state.put_alert(alert(), NOW)
            state.put_delivery(delivery())
        yield state


@pytest.fixture
def answers(monkeypatch):
    """The receiver's answers, one a try, and the ids and events that reached it."""
    given, reached = [], []

    def post(delivery, webhook, now):
        reached.append((delivery.id[:1], delivery.event))
        answer = given.pop(0) if given else None
        if answer is not None:
            raise answer

    monkeypatch.setattr(deliveries, "post_event", post)
    return given, reached


def run(state, tmp_path, now=NOW, recipients=RECIPIENTS):
    counts = deliver(state, recipients, tmp_path, now)
    return counts.sent, counts.waiting, counts.dead


def test_what_was_sent_is_not_sent_again(state, tmp_path, answers) -> None:
    assert run(state, tmp_path) == (1, 0, 0)
    assert run(state, tmp_path, NOW + timedelta(days=9)) == (0, 0, 0)
    assert answers[1] == [("d", "suspected")]


def test_pauses_double_up_to_half_a_day_and_the_thirteenth_try_is_the_last(state, tmp_path, answers) -> None:
    answers[0][:] = [TemporaryError("busy.")] * 20
    now, pauses = NOW, []
    while state.deliveries("pending"):
        run(state, tmp_path, now)
        (entry,) = state.deliveries()
        due = datetime.fromisoformat(entry.due)
        pauses.append((due - now).total_seconds())
        assert entry.state == "dead" or run(state, tmp_path, due - timedelta(seconds=1)) == (0, 1, 0)
        now = due
    assert pauses[:8] == [300, 600, 1200, 2400, 4800, 9600, 19200, 38400]
    assert set(pauses[8:12]) == {43200}
    assert len(pauses) == 13
    assert (entry.state, entry.tries, entry.problem) == ("dead", 13, "busy.")


def test_a_receiver_s_own_pause_counts_if_it_is_longer(state, tmp_path, answers) -> None:
    answers[0][:] = [TemporaryError("busy.", 7200)]
    run(state, tmp_path)
    assert state.deliveries()[0].due == (NOW + timedelta(hours=2)).isoformat(timespec="microseconds")


def test_a_final_refusal_is_a_dead_letter(state, tmp_path, answers) -> None:
    answers[0][:] = [PermanentError("gone.")]
    assert run(state, tmp_path) == (0, 0, 1)
    assert run(state, tmp_path) == (0, 0, 0)
    assert state.deliveries("dead")[0].problem == "gone."
    assert state.retry_dead(NOW) == 1
    assert run(state, tmp_path) == (1, 0, 0)
    assert state.retry_dead(NOW) == 0


def test_later_events_of_an_alert_wait_for_the_earlier_ones(state, tmp_path, delivery, answers) -> None:
    with state.transaction():
        state.put_delivery(replace(delivery("confirmed"), id="e" * 32, time="2026-03-01T07:00:00+00:00"))
    answers[0][:] = [TemporaryError("busy.")]
    assert run(state, tmp_path) == (0, 2, 0)
    assert run(state, tmp_path, NOW + timedelta(minutes=6)) == (2, 0, 0)
    assert answers[1] == [("d", "suspected"), ("d", "suspected"), ("e", "confirmed")]


def test_a_kill_between_sending_and_noting_repeats_the_same_id(state, tmp_path, answers, monkeypatch) -> None:
    class KilledError(BaseException):
        pass

    def killed(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(state, "note_try", killed)
        with pytest.raises(KilledError):
            run(state, tmp_path)
    assert run(state, tmp_path) == (1, 0, 0)
    assert answers[1] == [("d", "suspected")] * 2


def test_after_the_clock_was_set_back_by_a_year_entries_do_not_wait_a_year(state, tmp_path, answers) -> None:
    answers[0][:] = [TemporaryError("busy.")]
    run(state, tmp_path, NOW + timedelta(days=365))
    assert run(state, tmp_path, NOW) == (1, 0, 0)


def test_rejected_alerts_and_former_recipients_get_nothing(state, tmp_path, answers, alert) -> None:
    state.review(alert().id, "rejected", "A", "", NOW)
    assert run(state, tmp_path) == (0, 0, 1)
    assert state.deliveries()[0].problem == "The alert was rejected."
    assert answers[1] == []


def test_those_who_were_told_of_an_alert_are_told_of_its_rejection(state, tmp_path, answers, alert) -> None:
    other = OFFICE.model_copy(update={"name": "other"})

    def reject(now: datetime) -> None:
        with state.transaction():
            state.review(alert().id, "rejected", "A", "", now)
            event = AlertEvent("rejected", alert())
            for entry in entries_for_told(event, state.deliveries(), [OFFICE, other], now):
                state.put_delivery(entry)

    assert run(state, tmp_path) == (1, 0, 0)
    reject(NOW)
    assert run(state, tmp_path) == (1, 0, 0)
    assert [(each.recipient, each.event) for each in state.deliveries()] == [
        ("office", "suspected"),
        ("office", "rejected"),
    ]


def test_a_recipient_that_is_gone_is_no_error(state, tmp_path, answers) -> None:
    assert run(state, tmp_path, recipients={}) == (0, 0, 1)
    assert answers[1] == []


def test_by_default_nobody_is_told_of_one_image_alone(alert) -> None:
    events = [AlertEvent(kind, alert()) for kind in ("suspected", "confirmed", "grown", "resolved")]
    plain = Recipient(name="office", webhook={"url": "https://example.org"})
    found = entries(events, Site(name="Germany_12", images="x"), [plain], NOW)
    assert [each.event for each in found] == ["confirmed", "resolved"]


def test_entries_are_made_for_the_events_and_sites_that_a_recipient_wants(alert) -> None:
    events = [AlertEvent("suspected", alert()), AlertEvent("grown", alert(area_ha=2.0))]
    wants_all = OFFICE.model_copy(update={"name": "all", "events": ("suspected", "grown")})
    site = Site(name="Germany_12", images="x")
    found = entries(events, site, [OFFICE, wants_all], NOW)
    assert [(each.recipient, each.event) for each in found] == [
        ("office", "suspected"),
        ("all", "suspected"),
        ("all", "grown"),
    ]
    assert len({each.id for each in found}) == 3
    assert entries(events, site, [OFFICE, wants_all], NOW) == found
    quiet = site.model_copy(update={"recipients": ("all",)})
    assert {each.recipient for each in entries(events, quiet, [OFFICE, wants_all], NOW)} == {"all"}


def test_after_three_tries_in_vain_a_recipient_waits_for_the_next_run(
    state, tmp_path, alert, delivery, answers
) -> None:
    with state.transaction():
        for name in "efghi":
            state.put_alert(alert(id=name), NOW)
            state.put_delivery(replace(delivery(), id=name * 32, alert=name))
        state.put_delivery(replace(delivery(recipient="other"), id="x" * 32))
    answers[0][:] = [TemporaryError("busy.")] * 3
    both = {**RECIPIENTS, "other": OFFICE.model_copy(update={"name": "other"})}
    assert run(state, tmp_path, recipients=both) == (1, 6, 0)
    assert [name for name, _ in answers[1]] == ["d", "e", "f", "x"]
    assert run(state, tmp_path, recipients=both) == (3, 3, 0)


def test_a_receiver_that_drips_is_left_after_five_timeouts(state, tmp_path, monkeypatch) -> None:
    ended = Event()
    monkeypatch.setattr(deliveries, "post_event", lambda *_: ended.wait())
    hasty = OFFICE.model_copy(update={"webhook": OFFICE.webhook.model_copy(update={"timeout": 0.01})})
    try:
        assert run(state, tmp_path, recipients={"office": hasty}) == (0, 1, 0)
    finally:
        ended.set()
    assert state.deliveries()[0].problem == "The receiver took longer than 0.05 s."


@pytest.mark.parametrize(("parts", "kind"), [(1, "Polygon"), (400, "MultiPolygon"), (1500, "Polygon")])
def test_an_outline_of_thousands_of_corners_does_not_make_a_heavy_delivery(alert, parts, kind) -> None:
    corners = 9000 // parts
    disc = shapely.Point(14, 51).buffer(0.002, quad_segs=max(1, corners // 4))
    outline = shapely.MultiPolygon(
        [shapely.affinity.translate(disc, 0.01 * (n % 40), 0.01 * (n // 40)) for n in range(parts)]
    )
    given = json.loads(shapely.to_geojson(outline if parts > 1 else disc))
    wants_all = OFFICE.model_copy(update={"events": ("confirmed",)})
    event = AlertEvent("confirmed", alert(geometry=given))
    (entry,) = entries([event], Site(name="Germany_12", images="x"), [wants_all], NOW)
    found = shapely.geometry.shape(entry.document["geometry"])
    assert (found.geom_type, shapely.get_num_coordinates(found) <= 2000) == (kind, True)
    assert len(json.dumps(entry.document)) < 100_000
    assert found.bounds == pytest.approx(outline.bounds, abs=0.001)
    assert event.alert.geometry == given
