"""Alerts over HTTP."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from euromine.app.app_settings import AppSettings
from euromine.app.passwords import password_hash
from euromine.app.server import create_app
from euromine.app.watch_alerts import WatchAlerts
from euromine.support.locks import lock_folder
from euromine.watch.alerts import alert_id
from euromine.watch.watch_state import WatchState

from .drawn_app import SITE, SITE_ID

OUTSIDE, GROWTH, GONE = (
    alert_id(SITE, rule, place)
    for rule, place in (("outside_permit", "a"), ("growth", "b"), ("no_data", "2020"))
)


@pytest.fixture
def own_client(own_app_folder: Path) -> Iterator[TestClient]:
    """An app whose state a test may change; it finds the watch's configuration by itself."""
    with TestClient(create_app(AppSettings(own_app_folder)), base_url="http://localhost") as client:
        yield client


def test_all_alerts_are_listed_with_their_history(client: TestClient) -> None:
    alerts = client.get("/api/alerts").json()["alerts"]
    assert [alert["id"] for alert in alerts] == [OUTSIDE, GROWTH, GONE]  # the latest changed first
    outside = alerts[0]
    assert outside["title"] == "New mining outside the outlines given: Pit_7"
    assert outside["site_id"] == SITE_ID
    assert outside["opened"] == outside["changed"] == "2026-03-03T06:00:00.000000+00:00"
    assert outside["reviews"] == [
        {
            "verdict": "confirmed",
            "name": "A. Berg",
            "comment": "Seen on the image of 2022.",
            "time": "2026-03-01T06:00:00.000000+00:00",
        }
    ]
    assert outside["geometry"]["type"] in ("Polygon", "MultiPolygon")
    assert client.get(f"/api/alerts/{OUTSIDE}").json() == outside


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"site={SITE}", [OUTSIDE, GROWTH, GONE]),
        ("site=elsewhere", []),
        ("status=confirmed", [OUTSIDE]),
        ("status=open", [OUTSIDE, GROWTH]),
        ("review=none", [GROWTH, GONE]),
        ("review=confirmed&status=resolved", []),
    ],
)
def test_alerts_are_filtered(client: TestClient, query: str, expected: list[str]) -> None:
    assert [alert["id"] for alert in client.get(f"/api/alerts?{query}").json()["alerts"]] == expected


def test_pictures_before_and_after_are_those_of_the_watch(client: TestClient, app_folder: Path) -> None:
    pictures = client.get(f"/api/alerts/{OUTSIDE}").json()["pictures"]
    for moment, year in (("before", 2019), ("after", 2022)):
        answer = client.get(pictures[moment])
        written = (app_folder / "watch" / "pictures" / OUTSIDE / f"{moment}_{year}.png").read_bytes()
        assert (answer.headers["content-type"], answer.content) == ("image/png", written)
    assert client.get(f"/api/alerts/{GROWTH}").json()["pictures"] == {"before": None, "after": None}
    assert client.get(f"/api/alerts/{GROWTH}/pictures/after").status_code == 404


def test_the_feeds_hold_every_alert(client: TestClient) -> None:
    answer = client.get("/api/alerts.geojson")
    assert answer.headers["content-type"] == "application/geo+json"
    assert [each["id"] for each in answer.json()["features"]] == [OUTSIDE, GROWTH, GONE]
    assert answer.json()["features"][0]["properties"]["sentence"].startswith("Mined ground of 1.60 ha")
    feed = ElementTree.fromstring(client.get("/alerts.atom").content)
    assert len(feed.findall("{http://www.w3.org/2005/Atom}entry")) == 3


def test_a_verdict_is_kept_in_the_state(own_client: TestClient, own_app_folder: Path) -> None:
    body = {"verdict": "rejected", "name": " B.\nTal ", "comment": "A <i>quarry</i> road."}
    answer = own_client.post(f"/api/alerts/{GROWTH}/review", json=body)
    assert answer.status_code == 200
    assert answer.json()["rejected"] is True
    with WatchState(own_app_folder / "watch") as state:
        stored = {each.alert.id: each for each in state.alerts()}
    (review,) = stored[GROWTH].reviews
    assert (review["verdict"], review["name"]) == ("rejected", "B. Tal")
    assert review["comment"] == "A <i>quarry</i> road."
    assert own_client.get("/api/alerts?review=rejected").json()["alerts"][0]["id"] == GROWTH
    assert (own_app_folder / "watch" / "alerts.geojson").exists()  # the watch's own feed has it, too


@pytest.mark.parametrize(
    ("identity", "body", "status", "words"),
    [
        (GROWTH, {"verdict": "illegal", "name": "B. Tal"}, 422, "found 'illegal'; expected"),
        (GROWTH, {"verdict": "rejected", "name": "  "}, 400, "found no name"),
        (GROWTH, {"verdict": "rejected", "name": "x" * 201}, 422, "expected another value"),
        (GROWTH[:6], {"verdict": "rejected", "name": "B. Tal"}, 404, "found no"),
        ("0" * 16, {"verdict": "rejected", "name": "B. Tal"}, 404, "found no"),
    ],
)
def test_wrong_verdicts_are_refused(client: TestClient, identity, body, status, words) -> None:
    answer = client.post(f"/api/alerts/{identity}/review", json=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_a_run_at_work_is_waited_for(own_client: TestClient, own_app_folder: Path) -> None:
    body = {"verdict": "rejected", "name": "B. Tal"}
    with lock_folder(own_app_folder / "watch"):
        answer = own_client.post(f"/api/alerts/{GROWTH}/review", json=body)
    assert answer.status_code == 409
    assert "found another run at work" in answer.json()["error"]
    assert own_client.post(f"/api/alerts/{GROWTH}/review", json=body).status_code == 200


def test_a_verdict_has_the_name_of_the_account(own_app_folder: Path) -> None:
    users = {"anna": password_hash("correct horse", cost=2)}
    app = create_app(AppSettings(own_app_folder, users=users))
    client = TestClient(app, base_url="http://localhost")
    client.post("/sign-in", data={"name": "anna", "password": "correct horse"})
    names = []
    for name in ("", "anna", "Somebody Else"):
        body = {"verdict": "confirmed", "name": name}
        names.append(client.post(f"/api/alerts/{GROWTH}/review", json=body).json()["reviews"][-1]["name"])
    assert names == ["anna", "anna", "Somebody Else (anna)"]


def test_a_public_app_shows_no_reviewers_and_takes_no_verdicts(settings: AppSettings) -> None:
    client = TestClient(create_app(replace(settings, host="0.0.0.0")))
    (review,) = client.get(f"/api/alerts/{OUTSIDE}").json()["reviews"]
    assert sorted(review) == ["time", "verdict"]
    assert "A. Berg" not in client.get("/api/alerts.geojson").text
    answer = client.post(f"/api/alerts/{GROWTH}/review", json={"verdict": "rejected", "name": "Mallory"})
    assert answer.status_code == 403


def test_without_its_configuration_an_alert_cannot_be_reviewed(
    own_client: TestClient, own_app_folder: Path
) -> None:
    (own_app_folder / "watch.yaml").unlink()
    answer = own_client.post(f"/api/alerts/{GROWTH}/review", json={"verdict": "rejected", "name": "B. Tal"})
    assert answer.status_code == 403
    assert "--watch CONFIG.yaml" in answer.json()["error"]


def test_without_a_watch_there_are_no_alerts(own_client: TestClient, own_app_folder: Path) -> None:
    (own_app_folder / "watch" / "watch.sqlite").unlink()
    assert own_client.get("/api/alerts").json() == {"alerts": []}
    assert own_client.get(f"/api/alerts/{OUTSIDE}").status_code == 404


def test_open_alerts_are_counted_by_site(app_folder: Path) -> None:
    alerts = WatchAlerts(lambda: app_folder / "watch", None, app_folder)
    assert alerts.open_by_site() == {SITE: 2}
    run = alerts.latest_run()
    assert run is not None
    assert (run["finished"], run["failures"]) == ("2026-03-01T06:03:00.000000+00:00", 0)
