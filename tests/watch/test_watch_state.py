"""The state: migrations, transactions, damage."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from euromine.support.errors import RecordError
from euromine.watch import watch_state
from euromine.watch.watch_state import FEED_FILE, STATE_FILE, WatchState, timestamp

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_transaction_that_fails_changes_nothing(tmp_path, alert, delivery) -> None:
    with WatchState(tmp_path) as state:

        def fail() -> None:
            with state.transaction():
                state.put_alert(alert(), NOW)
                state.put_delivery(delivery())
                state.note_site("pit", {2026: "x"}, "", NOW)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert (state.alerts(), state.deliveries(), state.images("pit")) == ([], [], set())
        assert not state.is_known("pit")


def test_alerts_keep_their_first_time_and_deliveries_are_there_once(tmp_path, alert, delivery) -> None:
    later = NOW + timedelta(days=1)
    with WatchState(tmp_path) as state:
        for time, status in ((NOW, "suspected"), (later, "confirmed")):
            with state.transaction():
                state.put_alert(alert(status=status), time)
                state.put_delivery(delivery())
    with WatchState(tmp_path) as state:
        (stored,) = state.alerts("Germany_12")
        assert stored.alert == alert(status="confirmed")
        assert (stored.opened[:10], stored.changed[:10]) == ("2026-03-01", "2026-03-02")
        assert state.deliveries() == [delivery()]
        assert state.alerts("other") == []


def test_the_latest_run_and_the_order_of_deliveries_do_not_follow_the_clock(
    tmp_path, alert, delivery
) -> None:
    with WatchState(tmp_path) as state:
        for days in (0, 30_000, 0, -400):
            state.begin_run(NOW + timedelta(days=days))
        assert state.latest_run()["started"].startswith("2025-01-25")
        with state.transaction():
            state.put_alert(alert(), NOW)
            for name, time in (("c", NOW), ("a", NOW), ("b", NOW - timedelta(days=400))):
                state.put_delivery(replace(delivery(), id=name, time=timestamp(time)))
        assert [entry.id for entry in state.deliveries()] == ["c", "a", "b"]


def test_an_empty_state_beside_a_feed_is_no_first_run(tmp_path) -> None:
    (tmp_path / STATE_FILE).touch()
    WatchState(tmp_path).__exit__()  # a first run that was killed at once leaves no feed
    (tmp_path / STATE_FILE).write_bytes(b"")
    (tmp_path / FEED_FILE).touch()
    with pytest.raises(
        RecordError, match=r"watch\.sqlite: found an empty file beside alerts\.geojson; expected"
    ):
        WatchState(tmp_path)


def test_a_state_of_the_first_version_is_brought_up_to_date(tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(watch_state, "_MIGRATIONS", watch_state._MIGRATIONS[:1])
        WatchState(tmp_path).__exit__()
    with sqlite3.connect(tmp_path / STATE_FILE) as database:
        database.execute("INSERT INTO site VALUES ('pit', '2026-03-01')")
    database.close()
    with WatchState(tmp_path) as state:
        assert (state.is_known("pit"), state.permits("pit")) == (True, "")
        assert (state.rules("pit"), state.files(), state.configuration()) == (None, {}, None)
        with state.transaction():
            files = {"a.tif": ("stamp", "a.tif@0")}
            state.note_site("pit", {2026: "a.tif@0"}, "", NOW, rules=["growth"], files=files)
        assert (state.rules("pit"), state.files()) == ({"growth"}, files)
        state.note_former_site("pit")
        assert state.rules("pit") == frozenset()


def test_the_latest_verdict_counts(tmp_path, alert) -> None:
    with WatchState(tmp_path) as state:
        with state.transaction():
            state.put_alert(alert(), NOW)
            state.review(alert().id, "rejected", "A", "a quarry", NOW)
        assert state.alerts()[0].is_rejected
        state.review(alert().id, "confirmed", "B", "", NOW + timedelta(days=1))
        assert not state.alerts()[0].is_rejected
        assert [review["name"] for review in state.alerts()[0].reviews] == ["A", "B"]


def test_a_newer_state_and_a_damaged_one_are_told_apart(tmp_path) -> None:
    WatchState(tmp_path).__exit__()
    with sqlite3.connect(tmp_path / STATE_FILE) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(RecordError, match=r"found version 99; expected at most \d+\. Update EuroMine\."):
        WatchState(tmp_path)
    (tmp_path / STATE_FILE).write_bytes(b"not a database" * 100)
    with pytest.raises(RecordError, match="found a damaged database"):
        WatchState(tmp_path)


def test_a_state_that_cannot_be_opened_is_an_error_of_the_file(tmp_path) -> None:
    (tmp_path / STATE_FILE).mkdir()
    with pytest.raises(OSError, match=r"watch\.sqlite: the state could not be read or written"):
        WatchState(tmp_path)
