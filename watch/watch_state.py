"""The state of a watch: images seen, alerts, and an outbox of deliveries, in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from euromine.support.closable import Closable
from euromine.support.errors import RecordError

from .alerts import Alert

STATE_FILE, FEED_FILE = "watch.sqlite", "alerts.geojson"

# Each step is one version. A step that was published is never changed: add another.
_MIGRATIONS = (
    """
    CREATE TABLE run (started TEXT PRIMARY KEY, finished TEXT, failures TEXT NOT NULL DEFAULT '[]');
    CREATE TABLE site (name TEXT PRIMARY KEY, checked TEXT NOT NULL);
    CREATE TABLE image (
        site TEXT NOT NULL, id TEXT NOT NULL, year INTEGER NOT NULL, seen TEXT NOT NULL,
        PRIMARY KEY (site, id, year)
    );
    CREATE TABLE alert (
        id TEXT PRIMARY KEY, site TEXT NOT NULL, rule TEXT NOT NULL, status TEXT NOT NULL,
        opened TEXT NOT NULL, changed TEXT NOT NULL, document TEXT NOT NULL
    );
    CREATE INDEX alerts_of_site ON alert (site);
    CREATE TABLE review (
        alert TEXT NOT NULL REFERENCES alert (id), verdict TEXT NOT NULL, name TEXT NOT NULL,
        comment TEXT NOT NULL, time TEXT NOT NULL
    );
    CREATE TABLE delivery (
        id TEXT PRIMARY KEY, alert TEXT NOT NULL REFERENCES alert (id), recipient TEXT NOT NULL,
        event TEXT NOT NULL, time TEXT NOT NULL, document TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'pending', tries INTEGER NOT NULL DEFAULT 0,
        due TEXT NOT NULL, problem TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX deliveries_by_state ON delivery (state, due);
    """,
    "ALTER TABLE site ADD COLUMN permits TEXT NOT NULL DEFAULT '';",
    """
    ALTER TABLE site ADD COLUMN rules TEXT;
    CREATE TABLE file (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, id TEXT NOT NULL);
    """,
    "CREATE TABLE configuration (path TEXT NOT NULL);",
)

DeliveryState = Literal["pending", "sent", "dead"]
Verdict = Literal["confirmed", "rejected"]


@dataclass(frozen=True)
class StoredAlert:
    """An alert with its history.

    Attributes:
        alert: The alert.
        opened: The time of its first event, ISO 8601 in UTC.
        changed: The time of its latest change.
        reviews: The verdicts of people, the earliest first: verdict, name, comment and time.
    """

    alert: Alert
    opened: str
    changed: str
    reviews: tuple[dict[str, str], ...] = ()

    @property
    def is_rejected(self) -> bool:
        """Whether the latest verdict rejects it."""
        return bool(self.reviews) and self.reviews[-1]["verdict"] == "rejected"


@dataclass(frozen=True)
class Delivery:
    """An entry of the outbox.

    Attributes:
        id: The same for every try, so that receivers can recognise a repetition.
        alert: The alert's id.
        recipient: The recipient's name.
        event: The kind of `AlertEvent`.
        time: The time of the event, ISO 8601 in UTC.
        document: The alert as a GeoJSON feature.
        state: "pending", "sent" or "dead", given up.
        tries: The number of tries so far.
        due: The time of the next.
        problem: The reason why the latest try failed.
    """

    id: str
    alert: str
    recipient: str
    event: str
    time: str
    document: dict[str, Any]
    state: DeliveryState
    tries: int
    due: str
    problem: str


class WatchState(Closable):
    """The state of a watch in its folder.

    Use it as a context manager. The caller holds the folder's lock while it writes.

    Args:
        folder: The watch's folder.

    Raises:
        RecordError: The file is no database, or of a newer version.
        OSError: It cannot be opened or written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / STATE_FILE
        if self.path.exists() and self.path.stat().st_size == 0 and (folder / FEED_FILE).exists():
            raise RecordError(
                f"{self.path}: found an empty file beside {FEED_FILE}; expected the state of the runs "
                "that wrote it. Restore it from a copy, or move both away to begin anew."
            )
        with _explained(self.path):
            self._database = sqlite3.connect(self.path, isolation_level=None)
            try:
                self._database.row_factory = sqlite3.Row
                self._database.execute("PRAGMA foreign_keys = ON")
                # A killed process or a power cut loses nothing that was committed.
                self._database.execute("PRAGMA synchronous = FULL")
                self._migrate()
            except BaseException:
                self._database.close()
                raise

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _migrate(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise RecordError(
                f"{self.path}: found version {version}; expected at most {len(_MIGRATIONS)}. Update EuroMine."
            )
        for number, script in enumerate(_MIGRATIONS[version:], version + 1):
            self._database.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes in the block, or none of them."""
        with _explained(self.path):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with _explained(self.path):
            return self._database.execute(query, values).fetchall()

    # Runs.

    def begin_run(self, now: datetime) -> None:
        """Note the start of a run."""
        with self.transaction():
            self._database.execute("INSERT OR REPLACE INTO run (started) VALUES (?)", (timestamp(now),))

    def end_run(self, started: datetime, finished: datetime, failures: Sequence[str]) -> None:
        """Note the end of a run and the sites that failed."""
        with self.transaction():
            self._database.execute(
                "UPDATE run SET finished = ?, failures = ? WHERE started = ?",
                (timestamp(finished), json.dumps(list(failures)), timestamp(started)),
            )

    def latest_run(self) -> dict[str, Any] | None:
        """Start, end and failures of the latest run; None before the first."""
        # By their order, as the clock may have been set back.
        rows = self._rows("SELECT * FROM run ORDER BY rowid DESC LIMIT 1")
        return {**dict(rows[0]), "failures": json.loads(rows[0]["failures"])} if rows else None

    def configuration(self) -> str | None:
        """The configuration of the latest run; None if that is not on record."""
        rows = self._rows("SELECT path FROM configuration")
        return str(rows[0]["path"]) if rows else None

    def note_configuration(self, path: str) -> None:
        """Note the configuration of a run."""
        with self.transaction():
            self._database.execute("DELETE FROM configuration")
            self._database.execute("INSERT INTO configuration VALUES (?)", (path,))

    # Sites and their images.

    def is_known(self, site: str) -> bool:
        """Whether a run has completed the site before."""
        return bool(self._rows("SELECT 1 FROM site WHERE name = ?", site))

    def sites(self) -> dict[str, str]:
        """The time of the latest complete check of each site."""
        return {row["name"]: row["checked"] for row in self._rows("SELECT * FROM site ORDER BY name")}

    def permits(self, site: str) -> str:
        """The id of the outlines given in the latest complete check of a site; "" without any."""
        rows = self._rows("SELECT permits FROM site WHERE name = ?", site)
        return str(rows[0]["permits"]) if rows else ""

    def rules(self, site: str) -> frozenset[str] | None:
        """The rules that were on in the latest complete check of a site; None if that is not on record."""
        rows = self._rows("SELECT rules FROM site WHERE name = ?", site)
        return frozenset(json.loads(rows[0]["rules"])) if rows and rows[0]["rules"] is not None else None

    def files(self) -> dict[str, tuple[str, str]]:
        """The stamp and the id of each file that was hashed, by path."""
        return {row["path"]: (row["stamp"], row["id"]) for row in self._rows("SELECT * FROM file")}

    def images(self, site: str) -> set[tuple[int, str]]:
        """Year and id of each image that the rules have seen."""
        return {
            (row["year"], row["id"]) for row in self._rows("SELECT year, id FROM image WHERE site = ?", site)
        }

    def note_site(
        self,
        site: str,
        images: Mapping[int, str],
        permits: str,
        now: datetime,
        *,
        rules: Iterable[str] | None = None,
        files: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        """Note that a site is complete. Call it in a transaction.

        Args:
            site: Its name.
            images: The id of each year's image.
            permits: The id of the outlines given; "" for none.
            now: The time.
            rules: The rules that are on; None if unknown.
            files: The stamp and the id of each file that was hashed, by path.
        """
        time = timestamp(now)
        self._database.execute(
            "INSERT OR REPLACE INTO site (name, checked, permits, rules) VALUES (?, ?, ?, ?)",
            (site, time, permits, None if rules is None else json.dumps(sorted(rules))),
        )
        self._database.executemany(
            "INSERT OR REPLACE INTO file VALUES (?, ?, ?)",
            [(path, *known) for path, known in (files or {}).items()],
        )
        self._database.executemany(
            "INSERT OR IGNORE INTO image VALUES (?, ?, ?, ?)",
            [(site, name, year, time) for year, name in images.items()],
        )

    def note_former_site(self, site: str) -> None:
        """Note that no rule applies to a site any more. Call it in a transaction."""
        self._database.execute("UPDATE site SET rules = '[]' WHERE name = ?", (site,))

    # Alerts.

    def alerts(self, site: str | None = None) -> list[StoredAlert]:
        """All alerts, or those of a site, the latest changed first."""
        where, values = ("", ()) if site is None else (" WHERE site = ?", (site,))
        rows = self._rows(f"SELECT * FROM alert{where} ORDER BY changed DESC, id", *values)
        reviews: dict[str, list[dict[str, str]]] = {}
        for row in self._rows("SELECT * FROM review ORDER BY time, rowid"):
            values_of = dict(row)
            reviews.setdefault(values_of.pop("alert"), []).append(values_of)
        return [
            StoredAlert(
                Alert.from_dict(json.loads(row["document"]), str(self.path)),
                row["opened"],
                row["changed"],
                tuple(reviews.get(row["id"], ())),
            )
            for row in rows
        ]

    def put_alert(self, alert: Alert, now: datetime) -> None:
        """Add or update an alert. Call it in a transaction."""
        time = timestamp(now)
        self._database.execute(
            "INSERT INTO alert VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "status = excluded.status, changed = excluded.changed, document = excluded.document",
            (
                alert.id,
                alert.site,
                alert.rule,
                alert.status,
                time,
                time,
                json.dumps(alert.to_dict(), sort_keys=True),
            ),
        )

    def review(self, alert: str, verdict: Verdict, name: str, comment: str, now: datetime) -> None:
        """Add a person's verdict on an alert. Call it in a transaction."""
        self._database.execute(
            "INSERT INTO review VALUES (?, ?, ?, ?, ?)", (alert, verdict, name, comment, timestamp(now))
        )

    # Deliveries.

    def put_delivery(self, delivery: Delivery) -> None:
        """Add an entry to the outbox, unless it is there. Call it in a transaction."""
        self._database.execute(
            "INSERT OR IGNORE INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                delivery.id,
                delivery.alert,
                delivery.recipient,
                delivery.event,
                delivery.time,
                json.dumps(delivery.document, sort_keys=True),
                delivery.state,
                delivery.tries,
                delivery.due,
                delivery.problem,
            ),
        )

    def deliveries(self, state: DeliveryState | None = None) -> list[Delivery]:
        """The outbox, in the order in which its entries were made."""
        where, values = ("", ()) if state is None else (" WHERE state = ?", (state,))
        return [
            Delivery(**{**dict(row), "document": json.loads(row["document"])})
            for row in self._rows(f"SELECT * FROM delivery{where} ORDER BY rowid", *values)
        ]

    def retry_dead(self, now: datetime) -> int:
        """Put all entries that were given up back into the outbox, and return their number."""
        with self.transaction():
            changed = self._database.execute(
                "UPDATE delivery SET state = 'pending', tries = 0, due = ? WHERE state = 'dead'",
                (timestamp(now),),
            )
        return changed.rowcount

    def note_try(self, delivery: Delivery, state: DeliveryState, due: datetime, problem: str) -> None:
        """Note the outcome of a try to deliver."""
        with self.transaction():
            self._database.execute(
                "UPDATE delivery SET state = ?, tries = tries + 1, due = ?, problem = ? WHERE id = ?",
                (state, timestamp(due), problem, delivery.id),
            )


def timestamp(time: datetime) -> str:
    """A time as ISO 8601 in UTC, which sorts like the times."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as errors of the file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OSError(f"{path}: the state could not be read or written ({error}).") from error
    except sqlite3.DatabaseError as error:
        raise RecordError(
            f"{path}: found a damaged database ({error}); expected the state of a watch. Move it away to "
            "begin anew."
        ) from error
