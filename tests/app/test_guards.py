"""Refusals of the app: visitors who are not signed in, other sites, large bodies, foreign names."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from euromine.app.app_settings import AppSettings, Basemap
from euromine.app.guards import LARGEST_BODY
from euromine.app.passwords import password_hash
from euromine.app.server import create_app
from euromine.watch.alerts import alert_id

from .drawn_app import SITE, SITE_ID

PASSWORD = "correct horse"
ALERT = alert_id(SITE, "outside_permit", "a")
OPEN_TO_ALL = {
    "/healthz",
    "/sign-in",
    "/sign-in/hub",
    "/sign-in/hub/back",
    "/static/icon.svg",
    "/static/modules/sign_in.js",
    "/static/styles/server_pages.css",
    "/favicon.ico",
}
# Values that lead to a real answer wherever a path has a parameter of this name.
EXAMPLES = {"site": SITE_ID, "identity": ALERT, "moment": "before", "name": "index.html"}


@pytest.fixture(scope="module")
def members(settings: AppSettings) -> AppSettings:
    return replace(settings, users={"anna": password_hash(PASSWORD, cost=2)}, uploads=True)


@pytest.fixture(scope="module")
def guarded(members: AppSettings) -> FastAPI:
    return create_app(members)


@pytest.fixture
def stranger(guarded: FastAPI) -> Iterator[TestClient]:
    with TestClient(guarded, base_url="http://localhost", follow_redirects=False) as client:
        yield client


def routes_of(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and path of every route, with examples for its parameters."""
    found = list(flat_routes(app.routes))
    assert len(found) > 10
    for path, methods in found:
        for method in sorted(methods - {"HEAD"}):
            yield method, re.sub(r"{(\w+)(:\w+)?}", lambda match: EXAMPLES.get(match[1], "1"), path)


def flat_routes(routes: list) -> Iterator[tuple[str, set[str]]]:
    """Path and methods of routes, those of included routers, too."""
    for route in routes:
        if isinstance(route, APIRoute | Route):
            yield route.path, set(route.methods or ())
        else:
            inner = getattr(route, "routes", None) or route.original_router.routes
            yield from flat_routes(inner)


def test_no_route_answers_a_visitor_who_is_not_signed_in(guarded: FastAPI, stranger: TestClient) -> None:
    answers = {(method, path): stranger.request(method, path) for method, path in routes_of(guarded)}
    assert ("GET", f"/api/alerts/{ALERT}") in answers
    assert ("GET", "/openapi.json") in answers
    for (method, path), answer in answers.items():
        if path in OPEN_TO_ALL:
            continue
        # 415: refused even before, for want of a body.
        assert answer.status_code in (401, 415), (method, path, answer.status_code)
        assert SITE not in answer.text


@pytest.mark.parametrize("path", ["/", "/developers"])
def test_a_browser_is_led_to_the_page_to_sign_in(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path, headers={"Accept": "text/html,*/*"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static//etc/passwd",
        "/vendor/leaflet/../../__init__.py",
        "/api/sites/..%2F..%2Fwatch",
        "/api/sites/../../watch/watch.sqlite",
        f"/api/sites/{SITE_ID}/files/..%2F..%2Fwatch%2Fwatch.sqlite",
        f"/api/sites/{SITE_ID}/files/series.json%00.tif",
        f"/api/alerts/{ALERT}/pictures/..%2F..%2Fwatch.sqlite",
        "/api/alerts/..%2Fwatch.sqlite",
        "/api/alerts/%27%20OR%201=1--",
    ],
)
def test_no_name_leads_out_of_what_is_offered(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 422)
    assert b"SQLite" not in answer.content
    assert b"import" not in answer.content


@pytest.mark.parametrize(
    "host", ["mines.example.org", "localhost.evil.example", "127.0.0.1.evil.example:7860"]
)
def test_a_foreign_name_for_this_machine_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/api/alerts", headers={"Host": host})
    assert answer.status_code == 421
    assert "--address" in answer.json()["error"]


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1:7860", "[::1]:7860", "app.localhost"])
def test_names_of_this_machine_are_served(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_the_name_of_a_proxy_is_served(settings: AppSettings) -> None:
    app = create_app(replace(settings, address="https://mines.example.org"))
    client = TestClient(app, base_url="https://mines.example.org")
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://localhost:9999"},
    ],
)
def test_another_site_changes_nothing(client: TestClient, headers: dict[str, str]) -> None:
    body = {"verdict": "rejected", "name": "Mallory"}
    answer = client.post(f"/api/alerts/{ALERT}/review", json=body, headers=headers)
    assert answer.status_code == 403
    assert [review["name"] for review in client.get(f"/api/alerts/{ALERT}").json()["reviews"]] == ["A. Berg"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_of_another_site_is_no_json(client: TestClient, kind: str) -> None:
    answer = client.post(
        f"/api/alerts/{ALERT}/review", content=b'{"verdict": "rejected"}', headers={"Content-Type": kind}
    )
    assert answer.status_code == 415


def test_large_bodies_are_not_read(client: TestClient) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(LARGEST_BODY // 2**16 + 2):
            yield b"[" * 2**16

    kind = {"Content-Type": "application/json"}
    said = client.post(f"/api/alerts/{ALERT}/review", content=b" " * (64 * 2**10 + 1), headers=kind)
    unsaid = client.post(f"/api/alerts/{ALERT}/review", content=pieces(), headers=kind)
    assert (said.status_code, unsaid.status_code) == (413, 413)
    assert unsaid.json()["error"] == "body: found more than 64 KiB; expected at most that."


@pytest.mark.parametrize("path", ["/", "/healthz", "/nothing", "/api/alerts", "/static/icon.svg", "/sign-in"])
def test_every_answer_has_the_headers_of_security(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["script-src"] == policy["style-src"] == policy["default-src"] == "'self'"
    assert policy["object-src"] == policy["base-uri"] == "'none'"
    assert policy["frame-ancestors"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


def test_only_a_space_is_framed_by_the_hub(settings: AppSettings) -> None:
    basemap = Basemap("https://{s}.tiles.example/{z}/{x}/{y}.png", "Tiles Ltd")
    space = TestClient(create_app(replace(settings, is_space=True, basemap=basemap)))
    policy = space.get("/healthz", headers={"Host": "a-b.hf.space"}).headers["content-security-policy"]
    assert "frame-ancestors 'self' https://huggingface.co https://*.hf.space" in policy
    assert "img-src 'self' data: blob: https://*.tiles.example;" in policy


def test_a_bug_is_answered_by_an_id_and_logged(
    settings: AppSettings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings)

    @app.get("/bug")
    def bug() -> Response:
        raise KeyError("/home/someone/secret")

    answer = TestClient(app).get("/bug")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    (identity,) = re.findall(r"error ([0-9a-f]{8})", answer.json()["error"])
    assert identity in caplog.text
    assert "secret" in caplog.text  # in the log's traceback


def test_answers_hold_no_path_of_the_machine(own_app_folder: Path) -> None:
    series = own_app_folder / "sites" / "second" / "series.json"
    series.write_text("{}")
    state = own_app_folder / "watch" / "watch.sqlite"
    state.write_bytes(b"no database" * 100)
    app = create_app(AppSettings(own_app_folder))
    client = TestClient(app, base_url="http://localhost")
    answers = [client.get(path) for method, path in routes_of(app) if method == "GET"]
    assert client.get("/api/alerts").status_code == 422
    assert (
        client.get("/api/alerts").json()["error"].startswith("watch/watch.sqlite: found a damaged database")
    )
    for answer in answers:
        for part in (str(own_app_folder.parent), str(Path.home()), "site-packages"):
            assert part not in answer.text, answer.url
