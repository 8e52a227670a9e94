"""The outbox: entries for events, and tries to deliver those that are due."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

from .alert_pictures import picture_paths
from .alerts import Alert, AlertEvent, feature, with_few_corners
from .delivery_outcomes import DeliveryError, PermanentError, TemporaryError
from .mail_delivery import mail_message, send_mail
from .watch_config import Recipient, Site
from .watch_state import Delivery, WatchState, timestamp
from .webhook_delivery import post_event

logger = logging.getLogger(__name__)

# Tries of one recipient in a run that may fail, as each may take as long as its timeout.
_MOST_FAILURES = 3
# The longest try in timeouts, as a receiver that answers a byte at a time exceeds none.
_LONGEST_TRY = 5
# Seconds before the second try; doubled before each further one. Some three days in all.
_FIRST_PAUSE, _LONGEST_PAUSE, _MOST_TRIES = 300.0, 12 * 3600.0, 13


@dataclass(frozen=True)
class DeliveryCounts:
    """Outcomes of a run's tries: delivered, to be tried again, and given up."""

    sent: int = 0
    waiting: int = 0
    dead: int = 0


def entries(
    events: Iterable[AlertEvent], site: Site, recipients: Iterable[Recipient], now: datetime
) -> list[Delivery]:
    """The entries of the outbox for events of a site.

    An entry's id follows from its content: a run that is repeated after a kill makes the same ones.
    """
    time = timestamp(now)
    return [
        _entry(event, recipient, time)
        for event in events
        for recipient in recipients
        if event.kind in recipient.events and (site.recipients is None or recipient.name in site.recipients)
    ]


def entries_for_told(
    event: AlertEvent, deliveries: Iterable[Delivery], recipients: Iterable[Recipient], now: datetime
) -> list[Delivery]:
    """The entries of the outbox for an event, one for each recipient who was told of the alert.

    One who is yet to be told hears of it, too, unless the event is a rejection, after which nothing is sent.
    """
    states = ("sent",) if event.kind == "rejected" else ("sent", "pending")
    told = {each.recipient for each in deliveries if each.alert == event.alert.id and each.state in states}
    return [_entry(event, recipient, timestamp(now)) for recipient in recipients if recipient.name in told]


def _entry(event: AlertEvent, recipient: Recipient, time: str) -> Delivery:
    document = feature(event.alert)
    if document["geometry"] is not None:
        document["geometry"] = with_few_corners(document["geometry"])
    content = json.dumps([event.kind, recipient.name, document], sort_keys=True)
    return Delivery(
        id=hashlib.sha256(content.encode()).hexdigest()[:32],
        alert=event.alert.id,
        recipient=recipient.name,
        event=event.kind,
        time=time,
        document=document,
        state="pending",
        tries=0,
        due=time,
        problem="",
    )


def deliver(
    state: WatchState, recipients: Mapping[str, Recipient], pictures: Path, now: datetime, **options: Any
) -> DeliveryCounts:
    """Try to deliver all entries that are due.

    Events of one alert reach a recipient in their order: while one waits, the later ones wait, too. After
    three tries that failed, the other entries of a recipient wait for the next run. A process killed between
    sending and noting sends again, under the same id.

    Args:
        state: The state with the outbox.
        recipients: The recipients by name.
        pictures: The folder of all pictures.
        now: The time.
        **options: For `send_mail`.
    """
    sent = waiting = dead = 0
    rejected = {stored.alert.id for stored in state.alerts() if stored.is_rejected}
    held: set[tuple[str, str]] = set()
    failures = Counter[str]()
    for delivery in state.deliveries("pending"):
        key = (delivery.alert, delivery.recipient)
        is_silent = failures[delivery.recipient] >= _MOST_FAILURES
        if key in held or is_silent or not _is_due(delivery, now):
            held.add(key)
            waiting += 1
            continue
        try:
            recipient = recipients.get(delivery.recipient)
            if recipient is None:
                raise PermanentError("The recipient is no longer in the configuration.")
            if delivery.alert in rejected and delivery.event != "rejected":
                raise PermanentError("The alert was rejected.")
            problem = _send_in_time(delivery, recipient, pictures, now, options)
        except TemporaryError as error:
            given_up = delivery.tries + 1 >= _MOST_TRIES
            pause = min(_FIRST_PAUSE * 2**delivery.tries, _LONGEST_PAUSE)
            due = now + timedelta(seconds=max(pause, error.wait or 0.0))
            state.note_try(delivery, "dead" if given_up else "pending", due, str(error))
            logger.warning("%s: not delivered to %s. %s", delivery.alert, delivery.recipient, error)
            held.add(key)
            failures[delivery.recipient] += 1
            waiting, dead = waiting + (not given_up), dead + given_up
        except DeliveryError as error:
            state.note_try(delivery, "dead", now, str(error))
            logger.warning("%s: given up for %s. %s", delivery.alert, delivery.recipient, error)
            dead += 1
        else:
            state.note_try(delivery, "sent", now, problem)
            sent += 1
    return DeliveryCounts(sent, waiting, dead)


def _is_due(delivery: Delivery, now: datetime) -> bool:
    """Whether an entry is due, also after the clock was set back."""
    due = datetime.fromisoformat(delivery.due)
    return due <= now or due - now > timedelta(seconds=2 * 24 * 3600)


def _send_in_time(
    delivery: Delivery, recipient: Recipient, pictures: Path, now: datetime, options: Mapping[str, Any]
) -> str:
    """Send an entry, as `_send`, but for a limited time.

    A try that takes longer is left alone in its thread. If it succeeds after all, the next has the same id.
    """
    outcome: Future[str] = Future()

    def work() -> None:
        try:
            outcome.set_result(_send(delivery, recipient, pictures, now, options))
        except BaseException as error:
            outcome.set_exception(error)

    channel = recipient.mail or recipient.webhook
    assert channel is not None, "a recipient has one of the two"
    seconds = _LONGEST_TRY * channel.timeout
    Thread(target=work, daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError:
        if outcome.done():
            raise
        raise TemporaryError(f"The receiver took longer than {seconds:g} s.") from None


def _send(
    delivery: Delivery, recipient: Recipient, pictures: Path, now: datetime, options: Mapping[str, Any]
) -> str:
    """Send an entry, and return a sentence on receivers that were refused."""
    if recipient.mail is not None:
        alert = Alert.from_dict(_alert_values(delivery), f"delivery {delivery.id}")
        message = mail_message(delivery, recipient.mail, picture_paths(pictures, alert))
        return send_mail(message, recipient.mail, **options)
    assert recipient.webhook is not None, "a recipient has one of the two"
    post_event(delivery, recipient.webhook, now)
    return ""


def _alert_values(delivery: Delivery) -> dict[str, Any]:
    """The fields of `Alert` in an entry's document."""
    values = dict(delivery.document["properties"])
    values.pop("title")
    return {**values, "geometry": delivery.document["geometry"]}
