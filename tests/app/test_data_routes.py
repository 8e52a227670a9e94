"""The sites' data over HTTP."""

import hashlib
import json
import shutil

import pytest
import shapely
from starlette.testclient import TestClient

from euromine.app.app_settings import AppSettings
from euromine.app.server import create_app

from .drawn_app import SECOND, SECOND_ID, SITE, SITE_ID

LONGITUDE, LATITUDE = 15.0026, 46.0522
AREA = shapely.geometry.mapping(shapely.box(15.001, 46.0505, 15.004, 46.0525))


def test_the_portfolio_lists_sites_alerts_and_features(client) -> None:
    found = client.get("/api/portfolio").json()
    assert [(site["id"], site["name"]) for site in found["sites"]] == [(SECOND_ID, SECOND), (SITE_ID, SITE)]
    assert [site["open_alerts"] for site in found["sites"]] == [0, 2]
    assert found["problems"] == []
    assert found["watch"]["open_alerts"] == 2
    assert found["watch"]["latest_run"]["started"].startswith("2026-03-01T06:00")
    assert (found["user"], found["features"]["uploads"]) == (None, False)


def test_a_damaged_site_is_a_problem_without_a_path_and_hides_no_other(own_app_folder) -> None:
    table = own_app_folder / "sites" / SITE / "areas.csv"
    table.write_text("year\n2018\n")
    shutil.copytree(own_app_folder / "sites" / "second", own_app_folder / "sites" / "third")
    (own_app_folder / "sites" / "third" / "series.json").write_text("{}")
    (own_app_folder / "watch" / "watch.sqlite").write_bytes(b"no database")
    client = TestClient(create_app(AppSettings(folder=own_app_folder)), base_url="http://localhost")
    found = client.get("/api/portfolio").json()
    assert [site["id"] for site in found["sites"]] == [SECOND_ID]
    assert found["watch"] is None
    assert len(found["problems"]) == 3
    assert str(own_app_folder.parent) not in json.dumps(found)
    answer = client.get(f"/api/sites/{SITE_ID}")
    assert (answer.status_code, str(own_app_folder) in answer.text) == (422, False)
    assert "found no column area_ha" in answer.json()["error"]


def test_a_site_has_facts_and_layers_and_is_not_sent_twice(client) -> None:
    answer = client.get(f"/api/sites/{SITE_ID}")
    found = answer.json()
    assert [row["year"] for row in found["areas"]] == [2018, 2019, 2021, 2022]
    assert {"natural", "ndvi", "change"} <= {layer["key"] for layer in found["layers"]}
    assert found["open_alerts"] == 2
    again = client.get(f"/api/sites/{SITE_ID}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_images_that_went_are_not_said_to_be_there(own_app_folder) -> None:
    client = TestClient(create_app(AppSettings(folder=own_app_folder)), base_url="http://localhost")

    def found():
        return [scene["found"] for scene in client.get(f"/api/sites/{SITE_ID}").json()["facts"]["scenes"]]

    assert found() == [True] * 4
    (own_app_folder / "images" / SITE / "image" / "Year2019.tif").unlink()
    assert found() == [True, False, True, True]


@pytest.mark.parametrize(
    "path",
    [
        "footprints/2019",
        "components/ground/2019",
        "changes/2018-2022",
        "permits/all",
        "outside_permits/2022",
        "reclamation/all",
    ],
)
def test_outlines_come_as_geojson(client, path) -> None:
    answer = client.get(f"/api/sites/{SITE_ID}/vectors/{path}.geojson")
    assert answer.headers["content-type"] == "application/geo+json"
    assert answer.json()["features"]
    assert client.get(f"/api/sites/{SITE_ID}/vectors/{path}.geojson").content == answer.content


@pytest.mark.parametrize(
    "path",
    [
        "sites/none",
        "sites/none/point?longitude=1&latitude=1",
        f"sites/{SITE_ID}/vectors/footprints/2020.geojson",
        f"sites/{SITE_ID}/vectors/footprints/20x0.geojson",
        f"sites/{SITE_ID}/vectors/changes/2019.geojson",
        f"sites/{SITE_ID}/vectors/permits/2019.geojson",
        f"sites/{SITE_ID}/vectors/components/none/2019.geojson",
        f"sites/{SECOND_ID}/vectors/permits/all.geojson",
        f"sites/{SITE_ID}/files/none.csv",
        f"sites/{SITE_ID}/files/..%2F..%2Fwatch.yaml",
        f"sites/{SITE_ID}/files/%2Fetc%2Fpasswd",
        f"sites/..%2F{SITE_ID}/files/areas.csv",
    ],
)
def test_what_is_not_there_is_404_in_a_sentence(client, path) -> None:
    answer = client.get(f"/api/{path}")
    assert answer.status_code == 404
    assert list(answer.json()) == ["error"]


def test_points_and_areas_are_answered(client) -> None:
    point = client.get(f"/api/sites/{SITE_ID}/point?longitude={LONGITUDE}&latitude={LATITUDE}").json()
    assert point["inside"] is True
    assert len(point["years"]) == 4
    area = client.post(f"/api/sites/{SITE_ID}/area", json=AREA)
    assert area.status_code == 200
    assert area.json()["area_ha"] == pytest.approx(5.16, abs=0.05)


@pytest.mark.parametrize(
    ("query", "status"),
    [("longitude=200&latitude=1", 400), ("longitude=x&latitude=1", 422), ("longitude=1", 422)],
)
def test_points_that_are_none_are_refused(client, query, status) -> None:
    answer = client.get(f"/api/sites/{SITE_ID}/point?{query}")
    assert answer.status_code == status
    assert "; expected " in answer.json()["error"]


def test_areas_that_are_none_are_refused(client) -> None:
    headers = {"Content-Type": "application/geo+json"}
    for body, status in ((b"{", 400), (b" " * (257 * 1024), 413), (b" " * (2 * 2**20), 413)):
        answer = client.post(f"/api/sites/{SITE_ID}/area", content=body, headers=headers)
        assert answer.status_code == status
        assert "; expected " in answer.json()["error"]
    assert client.post(f"/api/sites/{SITE_ID}/area", content=b"{}").status_code == 415


def test_files_come_whole_in_parts_and_not_twice(client, series_site) -> None:
    path = series_site.series.path / "footprint_2018.tif"
    address = f"/api/sites/{SITE_ID}/files/footprint_2018.tif"
    whole = client.get(address)
    assert whole.content == path.read_bytes()
    assert whole.headers["etag"] == f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"'
    assert whole.headers["content-type"] == "image/tiff"
    assert whole.headers["content-disposition"] == f'attachment; filename="{SITE_ID}_footprint_2018.tif"'
    part = client.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, path.read_bytes()[10:20])
    stale = client.get(address, headers={"Range": "bytes=10-19", "If-Range": '"old"'})
    assert (stale.status_code, stale.content) == (200, path.read_bytes())
    again = client.get(address, headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(address, headers={"Range": "bytes=99999999-"}).status_code == 416


def test_every_download_of_a_site_can_be_fetched(client) -> None:
    downloads = client.get(f"/api/sites/{SECOND_ID}").json()["downloads"]
    assert len(downloads) > 10
    for each in downloads:
        assert len(client.get(each["url"]).content) == each["bytes"]
