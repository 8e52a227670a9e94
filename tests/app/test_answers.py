"""Answers on their way: ETag and 304, compression, HEAD; the queue; and the app beside a notebook."""

import gzip
import threading
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from euromine.app import open_app
from euromine.app.app_context import Limiter
from euromine.app.app_errors import Overloaded, public_sentence
from euromine.app.app_settings import AppSettings, is_loopback
from euromine.app.server import create_app
from euromine.app.serving import BackgroundServer, address_of, listen
from euromine.monitoring import SeriesResult

from .drawn_app import SITE, SITE_ID


@pytest.mark.parametrize(
    "path",
    ["/api/portfolio", "/static/icon.svg", "/api/alerts.geojson", f"/api/sites/{SITE_ID}/files/areas.csv"],
)
def test_what_has_not_changed_is_not_sent_again(client: TestClient, path: str) -> None:
    first = client.get(path)
    assert first.content
    assert "no-cache" in first.headers["cache-control"]
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert again.headers["x-content-type-options"] == "nosniff"
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", ["/openapi.json", "/vendor/leaflet/leaflet.js", "/static/modules/main.js"])
def test_texts_are_compressed_for_those_who_take_it(client: TestClient, path: str) -> None:
    with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
        sent = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) == len(sent)
        assert "accept-encoding" in answer.headers["vary"].lower()
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(sent) == plain.content
    assert len(sent) < len(plain.content) / 2


def test_a_file_is_sent_in_parts(client: TestClient, app_folder: Path) -> None:
    path = f"/api/sites/{SITE_ID}/files/areas.csv"
    part = client.get(path, headers={"Range": "bytes=0-9"})
    assert part.status_code == 206
    assert part.content == (app_folder / "sites" / SITE / "areas.csv").read_bytes()[:10]


def test_a_head_is_answered_like_a_get(client: TestClient) -> None:
    head, get = client.head("/api/portfolio"), client.get("/api/portfolio")
    assert head.status_code == 200
    assert head.headers["etag"] == get.headers["etag"]


def test_a_real_server_answers_a_head_without_an_error(
    settings: AppSettings, caplog: pytest.LogCaptureFixture
) -> None:
    listening = listen(replace(settings, port=0))
    server = BackgroundServer(create_app(settings), listening)
    try:
        # One connection: a body after the answer to HEAD would be read as the next answer.
        with httpx.Client(base_url=address_of(listening, settings)) as browser:
            heads = [browser.head("/api/portfolio") for _ in range(2)]
            assert browser.get("/healthz").status_code == 200
    finally:
        server.close()
    assert [(head.status_code, head.content) for head in heads] == [(200, b"")] * 2
    assert "Exception in ASGI application" not in caplog.text


def test_the_developers_page_lists_every_endpoint(client: TestClient) -> None:
    page = client.get("/developers").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page
    assert "<script" not in page
    assert "https://" not in page


def test_a_full_queue_sends_requests_away() -> None:
    limiter = Limiter(1, waiting=1, longest_wait=5)
    entered, leave, outcomes = threading.Event(), threading.Event(), []

    def work(first: bool) -> None:
        with limiter.turn():
            if first:
                entered.set()
                leave.wait(5)
            outcomes.append(first)

    at_work = threading.Thread(target=work, args=(True,))
    at_work.start()
    assert entered.wait(5)
    waiting = threading.Thread(target=work, args=(False,))
    waiting.start()
    while limiter._places._value:  # until the second waits
        pass
    with pytest.raises(Overloaded), limiter.turn():
        pass
    leave.set()
    at_work.join()
    waiting.join()
    assert outcomes == [True, False]
    with limiter.turn():
        pass


def test_a_long_wait_is_given_up() -> None:
    limiter = Limiter(1, waiting=1, longest_wait=0.01)
    with limiter.turn(), pytest.raises(Overloaded), limiter.turn():
        pass


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("/srv/mines/a/series.json: found no text.", "a/series.json: found no text."),
        ("/home/anna/x.tif: found 2 bands.", "x.tif: found 2 bands."),
        ("x: see https://example.org/a/b for /usr/lib/z.", "x: see https://example.org/a/b for z."),
        ("area: found 3/4 of it; expected 1 km/h.", "area: found 3/4 of it; expected 1 km/h."),
        ("'/srv/mines' is empty.", "'mines' is empty."),
    ],
)
def test_sentences_lose_the_paths_of_the_machine(sentence: str, expected: str) -> None:
    assert public_sentence(sentence, [Path("/srv/mines")]) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("a.b", False),
    ],
)
def test_addresses_of_this_machine_are_known(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_notebook_shows_a_result(app_folder: Path) -> None:
    with open_app(SeriesResult(app_folder / "sites" / SITE)) as opened:
        sites = httpx.get(f"{opened.url}api/portfolio", timeout=60).json()["sites"]
        assert [site["name"] for site in sites] == [SITE]
        assert f'<iframe src="{opened.url}"' in opened._repr_html_()
        policy = httpx.get(opened.url, timeout=60).headers["content-security-policy"]
        assert "frame-ancestors 'self' http://localhost:*" in policy
    with pytest.raises(httpx.TransportError):
        httpx.get(opened.url)
