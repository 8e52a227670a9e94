"""Delivery of alerts to webhooks: CloudEvents 1.0 in JSON, signed as Standard Webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from .delivery_outcomes import PermanentError, TemporaryError, secret_of
from .watch_config import Webhook, address_problem
from .watch_state import Delivery

_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 24 * 3600.0


def cloud_event(delivery: Delivery) -> dict[str, Any]:
    """An alert as a CloudEvent (https://github.com/cloudevents/spec, version 1.0)."""
    return {
        "specversion": "1.0",
        "id": delivery.id,
        "source": "urn:euromine:watch",
        "type": f"euromine.alert.{delivery.event}",
        "subject": delivery.document["properties"]["site"],
        "time": delivery.time,
        "datacontenttype": "application/geo+json",
        "data": delivery.document,
    }


def signature(key: str, identity: str, moment: int, body: bytes) -> str:
    """The signature of a request: HMAC-SHA256 over identity, time and body (Standard Webhooks, "v1").

    Args:
        key: The secret as text.
        identity: The delivery's id.
        moment: Seconds since 1970.
        body: The request's body.
    """
    signed = b".".join([identity.encode(), str(moment).encode(), body])
    digest = hmac.new(key.encode(), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def post_event(delivery: Delivery, webhook: Webhook, now: datetime) -> None:
    """Send an alert to a webhook. Redirections are not followed: they could lead into a private network.

    Raises:
        TemporaryError: The receiver does not answer, or asks to come back.
        PermanentError: It refuses the request for good, or redirects it.
    """
    url = webhook.url
    if url is None:
        assert webhook.url_env is not None, "one of the two is given"
        url = secret_of(webhook.url_env)
        if problem := address_problem(url, may_hold_secrets=True):
            raise TemporaryError(f"{webhook.url_env}: {problem}.")
    # Never the whole address, which may be a secret.
    host = urlsplit(url).hostname
    body = json.dumps(cloud_event(delivery), sort_keys=True, allow_nan=False).encode()
    moment = int(now.timestamp())
    headers = {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "Idempotency-Key": delivery.id,
        "Webhook-Id": delivery.id,
        "Webhook-Timestamp": str(moment),
    }
    if webhook.secret_env is not None:
        headers["Webhook-Signature"] = signature(secret_of(webhook.secret_env), delivery.id, moment, body)
    try:
        with requests.post(
            url, data=body, headers=headers, timeout=webhook.timeout, allow_redirects=False, stream=True
        ) as response:
            status, wait = response.status_code, response.headers.get("Retry-After")
    except requests.RequestException as error:
        raise TemporaryError(f"{host}: did not answer ({type(error).__name__}).") from error
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise PermanentError(f"{host}: answered {status}, a redirection, which is not followed.")
    if status in _TEMPORARY:
        raise TemporaryError(f"{host}: answered {status}.", _seconds(wait, now))
    raise PermanentError(f"{host}: answered {status}.")


def _seconds(wait: str | None, now: datetime) -> float | None:
    """The seconds of a Retry-After header, a number or a date."""
    if wait is None:
        return None
    try:
        seconds = float(wait)
    except ValueError:
        try:
            until = parsedate_to_datetime(wait)
        except ValueError:
            return None
        seconds = (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_WAIT) if math.isfinite(seconds) else None
