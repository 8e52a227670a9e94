"""Uploads: images of several years become a site; what does not fit is refused, and nothing of it remains."""

import asyncio
import json
import shutil
import time
from io import BytesIO

import numpy as np
import pytest
import rasterio
import torch
from fastapi import FastAPI
from rasterio import Affine
from rasterio.io import MemoryFile
from starlette.requests import Request
from starlette.testclient import TestClient

from euromine.app import upload_stream
from euromine.app.app_context import AppContext
from euromine.app.app_errors import add_error_answers
from euromine.app.app_settings import AppSettings
from euromine.app.job_limits import JobLimits
from euromine.app.job_routes import routes
from euromine.app.job_runner import usual_command
from euromine.app.server import create_app
from euromine.app.upload_stream import receive_upload
from euromine.modeling import BANDS, EuroMineImageProcessor, create_model
from euromine.monitoring.mapping.engine_choice import EngineChoice
from euromine.support.errors import DataError

from .stand_in_job import command

LIMITS = {"files": 3, "file_bytes": 2**20, "numbers": 10**7, "memory": 4 * 2**30}
OPTIONS = json.dumps({"offset": 0, "indices": "ndvi", "smoothing": "none"})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    torch.manual_seed(0)
    sizes = {"hidden_sizes": [8] * 4, "depths": [1] * 4, "num_attention_heads": [1] * 4}
    create_model("segformer-b0", decoder_hidden_size=8, **sizes).save_pretrained(folder)
    EuroMineImageProcessor().save_pretrained(folder)
    return folder


@pytest.fixture
def serve(tmp_path, checkpoint):
    """Makes a client of an app with uploads, below a folder of the test."""
    clients = []

    def serve(run=command, host="127.0.0.1", engine="auto", **limits):
        folder = tmp_path / "mines"
        folder.mkdir(exist_ok=True)
        chosen = {"models": (str(checkpoint),), "engine": EngineChoice(engine)}
        settings = AppSettings(folder, uploads=True, host=host, **chosen)
        if run is usual_command:
            app = create_app(settings)
        else:
            app, context = FastAPI(), AppContext.from_settings(settings)
            add_error_answers(app, [folder])
            app.include_router(routes(context, JobLimits(**{**LIMITS, **limits}), run))
        client = TestClient(app, base_url="http://localhost").__enter__()
        clients.append(client)
        return client

    yield serve
    for client in clients:
        client.__exit__(None, None, None)


def geotiff(year=2015, names=BANDS, height=40, width=48):
    """The bytes of an image of ten bands."""
    values = np.random.default_rng(year).integers(300, 3000, (10, height, width)).astype(np.int16)
    profile = {"driver": "GTiff", "count": 10, "height": height, "width": width, "dtype": "int16"}
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_100_000)}
    with MemoryFile() as memory:
        with memory.open(**profile, **place) as file:
            file.write(values)
            if names:
                file.descriptions = names
        return memory.read()


def post(client, files, **fields):
    """An upload of (name, bytes)."""
    data = {"name": "Own mine", "options": OPTIONS, **fields}
    sent = [("files[]", (name, content, "image/tiff")) for name, content in files]
    return client.post("/api/jobs", data=data, files=sent)


def leftovers(tmp_path):
    return [path for path in (tmp_path / "mines").rglob("*") if path.is_file() and path.suffix != ".lock"]


def ended(client, job_id):
    limit = time.monotonic() + 120
    while (job := client.get(f"/api/jobs/{job_id}").json())["state"] in ("waiting", "running"):
        assert time.monotonic() < limit
        time.sleep(0.05)
    return job


def test_own_images_become_a_site(serve, tmp_path, checkpoint):
    client = serve(usual_command)
    (model,) = client.get("/api/models").json()["models"]
    assert model["id"] == "tiny"
    assert model["bands"] == list(BANDS)
    refused = post(client, [("../../Year2015.tif", geotiff(names=None))])
    assert refused.status_code == 422
    sentence = refused.json()["error"]
    assert sentence.startswith("Year2015.tif: found 10 bands without names; expected B02, ")
    assert sentence.endswith("Name the bands in their order with the option bands.")
    assert not leftovers(tmp_path)
    added = post(client, [("b.tif", geotiff(2018)), ("mine 2015.tif", geotiff(2015))], years=["2018", ""])
    assert added.status_code == 201, added.text
    assert added.headers["location"] == f"/api/jobs/{added.json()['id']}"
    assert added.json()["years"] == [2015, 2018]
    job = ended(client, added.json()["id"])
    assert (job["state"], job["error"], job["progress"]) == ("done", None, 1.0)
    time.sleep(2.1)  # the catalogue looks every two seconds
    job = client.get(f"/api/jobs/{job['id']}").json()
    site = client.get(f"/api/sites/{job['site']}").json()
    assert (site["name"], site["years"]) == ("Own mine", [2015, 2018])
    place = client.app.state.context.catalogue.place(job["site"])
    with rasterio.open(place.image(2018)) as image:
        np.testing.assert_array_equal(
            image.read(), rasterio.open(BytesIO(geotiff(2018)), driver="GTiff").read()
        )
    assert str(tmp_path) not in json.dumps([job, site])


def test_a_job_keeps_the_engine_with_which_it_was_taken_in(serve, tmp_path):
    added = post(serve(engine="eager"), [("mine 2015.tif", geotiff(2015))])
    assert added.status_code == 201, added.text
    (record,) = (tmp_path / "mines").rglob("job.json")
    assert json.loads(record.read_text())["engine"]["engine"] == "eager"


def bomb():
    """A sparse TIFF of 140 terabytes."""
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=10, height=900_000, width=900_000, dtype="int16", tiled=True,
            blockxsize=8192, blockysize=8192, SPARSE_OK=True, BIGTIFF="YES",
        ):  # fmt: skip
            pass
        return memory.read()


def test_an_image_that_claims_too_much_is_refused_by_its_header(serve, tmp_path):
    client = serve(usual_command)
    answer = post(client, [("a.tif", bomb())], years=["2015"])
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("a.tif: found 900000 x 900000 pixels in 10 bands")
    assert not leftovers(tmp_path)


MANY = [(f"{year}.tif", b"II*\0") for year in range(2015, 2019)]


@pytest.mark.parametrize(
    ("files", "fields", "status", "sentence"),
    [
        ([], {}, 400, "files: found none; expected a GeoTIFF for each year."),
        (MANY, {}, 413, "files: found more than 3; expected at most that."),
        (
            [("a.tif", b"II*\0" + bytes(2**20))],
            {},
            413,
            "a.tif: found more than 1 MiB; expected at most that.",
        ),
        ([("a.vrt", b"<VRTDataset/>")], {}, 422, "a.vrt: found no TIFF; expected a GeoTIFF."),
        ([("a.tif", b"")], {}, 422, "a.tif: found an empty file; expected a GeoTIFF."),
        ([("a.tif", b"II*\0")], {}, 400, "years: found no year in a.tif; expected its year."),
        ([("a.tif", b"II*\0")], {"years": "20x5"}, 400, "years: found '20x5' for a.tif; expected a year"),
        (MANY[:2], {"years": ["2015"]}, 400, "years: found 1 for 2 files; expected one for each"),
        (MANY[:2], {"years": ["2015", "2015"]}, 400, "years: found 2015 twice; expected one image per year."),
        (MANY[:1], {"name": " "}, 400, "name: found nothing; expected the name of the site."),
        (MANY[:1], {"name": "a\u202eb"}, 400, "name: found a character that cannot be printed"),
        (MANY[:1], {"model": "/etc/passwd"}, 400, "model: found 'passwd'; expected tiny."),
        (MANY[:1], {"model": "../tiny"}, 400, "model: found '../tiny'; expected tiny."),
        (MANY[:1], {"options": '{"permits": "/etc"}'}, 400, "options: found 'permits'; expected some of"),
        (MANY[:1], {"options": '{"scale": "a"}'}, 400, "options: found "),
        (MANY[:1], {"options": "x" * 70_000}, 413, "options: found a long text"),
        (MANY[:1], {"name": ["x"] * 20}, 413, "body: found too many parts; expected a file and a year"),
        (MANY[:1], {"out": "x"}, 400, "body: found a part 'out'; expected files, years, model"),
    ],
)
def test_uploads_that_do_not_fit_are_refused_in_a_sentence(serve, tmp_path, files, fields, status, sentence):
    client = serve()
    answer = client.post(
        "/api/jobs",
        data={"name": "Own mine", "options": OPTIONS, **fields},
        files=[("files", file) for file in files] or {"options": (None, OPTIONS)},
    )
    assert (answer.status_code, answer.json()["error"][: len(sentence)]) == (status, sentence)
    assert not leftovers(tmp_path)
    assert client.get("/api/jobs").json() == {"jobs": []}


def test_an_upload_for_which_the_disk_has_no_room_is_refused(serve, tmp_path, monkeypatch):
    client = serve()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(upload_stream.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    answer = post(client, MANY[:1])
    assert answer.status_code == 507
    assert answer.json()["error"].startswith("disk: found no space left; expected some.")
    assert not leftovers(tmp_path)


def test_a_folder_that_cannot_be_written_to_refuses_uploads_and_shows_its_sites(serve, tmp_path, caplog):
    jobs = tmp_path / "mines" / ".euromine-jobs"
    jobs.parent.mkdir()
    jobs.write_text("a file of somebody")
    client = serve()
    assert "Uploads are off for now." in caplog.text
    assert client.get("/api/jobs").json() == {"jobs": []}
    answer = post(client, MANY[:1])
    assert answer.status_code == 400
    assert answer.json()["error"] == (
        ".euromine-jobs: found a file; expected a folder, or nothing yet. Choose another place."
    )
    assert jobs.read_text() == "a file of somebody"


def test_a_body_that_breaks_off_is_refused(serve, tmp_path):
    client = serve()
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="2015.tif"\r\n\r\nII*\0abc'
    for sent, status in ((body, 422), (b"no form", 400)):
        answer = client.post(
            "/api/jobs", content=sent, headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
        assert answer.status_code == status, answer.text
    assert not leftovers(tmp_path)


def test_an_upload_that_stalls_is_given_up(tmp_path):
    async def silence():
        await asyncio.sleep(60)

    header = (b"content-type", b"multipart/form-data; boundary=x")
    request = Request({"type": "http", "headers": [header]}, silence)
    with pytest.raises(DataError, match=r"body: found no data for 0.05 seconds; expected"):
        asyncio.run(receive_upload(request, tmp_path, JobLimits(idle_seconds=0.05)))


def test_jobs_are_listed_and_cancelled(serve, tmp_path):
    client = serve()
    added = [post(client, MANY[:1], name=name).json() for name in ("sleep", "at once")]
    assert [job["id"] for job in client.get("/api/jobs").json()["jobs"]] == [added[1]["id"], added[0]["id"]]
    for job in added:
        assert client.delete(f"/api/jobs/{job['id']}").json() == {"id": job["id"]}
        assert ended(client, job["id"])["state"] == "cancelled"
    for name in ("nothing", "..%2f..%2fetc", "a%0ab", added[0]["id"].upper()):
        assert client.get(f"/api/jobs/{name}").status_code == 404
        assert client.delete(f"/api/jobs/{name}").status_code == 404


def test_without_uploads_there_are_no_jobs(client):
    for path in ("/api/jobs", "/api/models", "/api/jobs/bcdfghjkmnpq"):
        assert client.get(path).status_code == 404
    assert client.post("/api/jobs", files={"files": ("2015.tif", b"II*\0")}).status_code in (404, 405)


def test_an_open_server_takes_no_uploads(serve, tmp_path):
    client = serve(host="0.0.0.0")
    assert post(client, MANY[:1]).status_code == 403
    assert client.delete("/api/jobs/bcdfghjkmnpq").status_code == 403
    assert not leftovers(tmp_path)
