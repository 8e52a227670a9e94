"""Webhooks, to a server on this machine."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from euromine.watch.delivery_outcomes import PermanentError, TemporaryError
from euromine.watch.watch_config import Webhook
from euromine.watch.webhook_delivery import post_event

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def webhook_of(server: HTTPServer, **fields) -> Webhook:
    return Webhook(url=server.url_for("/hook"), timeout=2, **fields)


def answer(server: HTTPServer, status: int, **headers: str) -> None:
    server.expect_request("/hook", method="POST").respond_with_response(
        Response(status=status, headers=headers)
    )


def test_an_event_is_a_signed_cloud_event(httpserver: HTTPServer, delivery, monkeypatch) -> None:
    monkeypatch.setenv("HOOK_KEY", "key")
    answer(httpserver, 204)
    post_event(delivery("confirmed"), webhook_of(httpserver, secret_env="HOOK_KEY"), NOW)
    ((request, _),) = httpserver.log
    event = json.loads(request.data)
    # The required and the used optional attributes of CloudEvents 1.0.
    assert {name: event[name] for name in ("specversion", "id", "source", "type", "subject", "time")} == {
        "specversion": "1.0",
        "id": "d" * 32,
        "source": "urn:euromine:watch",
        "type": "euromine.alert.confirmed",
        "subject": "Germany_12",
        "time": "2026-03-01T06:00:00.000000+00:00",
    }
    assert event["data"]["type"] == "Feature"
    assert event["data"]["geometry"] == {"type": "Point", "coordinates": [14.1, 51.5]}
    assert request.headers["Content-Type"].startswith("application/cloudevents+json")
    assert request.headers["Idempotency-Key"] == "d" * 32
    # Standard Webhooks: HMAC-SHA256 over id.timestamp.body.
    signed = f"{'d' * 32}.{int(NOW.timestamp())}.".encode() + request.data
    digest = base64.b64encode(hmac.new(b"key", signed, hashlib.sha256).digest()).decode()
    assert request.headers["Webhook-Signature"] == f"v1,{digest}"


@pytest.mark.parametrize(
    ("status", "headers", "error", "wait"),
    [
        (429, {"Retry-After": "120"}, TemporaryError, 120.0),
        (503, {"Retry-After": "Sun, 01 Mar 2026 12:10:00 GMT"}, TemporaryError, 600.0),
        (503, {"Retry-After": "soon"}, TemporaryError, None),
        (503, {"Retry-After": "nan"}, TemporaryError, None),
        (503, {"Retry-After": "999999999"}, TemporaryError, 86400.0),
        (500, {}, TemporaryError, None),
        (400, {}, PermanentError, None),
        (410, {}, PermanentError, None),
    ],
)
def test_refusals_for_now_and_for_good(httpserver, delivery, status, headers, error, wait) -> None:
    answer(httpserver, status, **headers)
    with pytest.raises(error, match=rf"answered {status}\.$") as caught:
        post_event(delivery(), webhook_of(httpserver), NOW)
    assert getattr(caught.value, "wait", None) == wait


def test_a_redirection_is_not_followed(httpserver: HTTPServer, delivery) -> None:
    answer(httpserver, 307, Location=httpserver.url_for("/private"))
    httpserver.expect_request("/private").respond_with_data("secret")
    with pytest.raises(PermanentError, match="307, a redirection, which is not followed"):
        post_event(delivery(), webhook_of(httpserver), NOW)
    assert [request.path for request, _ in httpserver.log] == ["/hook"]


def test_an_address_from_the_environment_never_shows(httpserver: HTTPServer, delivery, monkeypatch) -> None:
    httpserver.expect_request("/hook/s3cret").respond_with_response(Response(status=500))
    monkeypatch.setenv("HOOK_URL", httpserver.url_for("/hook/s3cret?token=s3cret"))
    with pytest.raises(TemporaryError) as caught:
        post_event(delivery(), Webhook(url_env="HOOK_URL"), NOW)
    assert "s3cret" not in str(caught.value)
    monkeypatch.setenv("HOOK_URL", "http://192.168.0.1/s3cret")
    with pytest.raises(TemporaryError, match=r"^HOOK_URL: found http; expected https"):
        post_event(delivery(), Webhook(url_env="HOOK_URL"), NOW)


def test_a_server_that_does_not_answer_is_tried_again(delivery) -> None:
    with pytest.raises(TemporaryError, match=r"^localhost: did not answer \(\w+\)\.$"):
        post_event(delivery(), Webhook(url="http://localhost:9/hook", timeout=1), NOW)
