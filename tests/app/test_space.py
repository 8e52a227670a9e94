"""A Space's repository: its files, and the app in it, started as the Hub would."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from gradio_client import Client
from gradio_client.exceptions import AppError
from typer.testing import CliRunner

from euromine.app.space import REQUIRED, app_folders, space_contents, unsimulated, write_space
from euromine.commands import app
from euromine.hub import Contents
from euromine.support.errors import ArgumentError, DataError
from euromine.watch import WatchState

from .drawn_app import SITE, SITE_ID, YEARS

# Libraries that a Space does not install. An import of one ends in an error.
NOT_INSTALLED = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "transformers", "datasets", "accelerate", "evaluate", "safetensors"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="module")
def contents(app_folder: Path) -> Contents:
    return space_contents(app_folder, title="Two mines")


@pytest.fixture(scope="module")
def space(contents: Contents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("space") / "repository"
    write_space(contents, folder)
    return folder


@pytest.fixture(scope="module")
def address(space: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app of the repository, started by `python app.py` on one port, beside none of our sources."""
    absent = tmp_path_factory.mktemp("absent")
    (absent / "sitecustomize.py").write_text(NOT_INSTALLED)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "PYTHONPATH": str(absent)}
    log = absent / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=space, env=environment, stdout=output, stderr=output
        )
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                httpx.get(f"{address}healthz", timeout=60)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130, log.read_text()
        assert "Traceback" not in log.read_text()


def test_the_card_has_what_the_hub_asks_for(space: Path) -> None:
    _, head, text = (space / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(head)
    assert (card["sdk"], card["app_file"], card["title"]) == ("gradio", "app.py", "Two mines")
    assert re.fullmatch(r"\d+\.\d+\.\d+", card["sdk_version"])
    assert len(card["short_description"]) <= 60
    assert "hf_oauth" not in card
    assert SITE in text.replace("\\", "")
    assert "<b>" not in text


def test_the_requirements_are_those_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    known = set(project["dependencies"]).union(*project["optional-dependencies"].values())
    assert set(REQUIRED) <= known
    assert not any(name.startswith("torch") for name in REQUIRED)


def test_the_folders_that_the_app_imports_are_published_and_no_others() -> None:
    named = "acquisition app dataset_script hub metrics modeling monitoring support watch"
    assert app_folders() == named.split()


def test_sites_images_and_alerts_are_published_and_nothing_else(contents: Contents, app_folder: Path) -> None:
    paths = [file.path for file in contents.files]
    assert paths[0] == "README.md"
    assert len(set(paths)) == len(paths)
    assert {f"mines/{SITE_ID}/image/Year{year}.tif" for year in YEARS} <= set(paths)
    assert f"mines/{SITE_ID}/series.json" in paths
    assert sum(path.startswith("mines/watch/pictures/") for path in paths) == 2
    assert not [path for path in paths if "given" in path or "yaml" in path or "__pycache__" in path]
    assert not any(file.size > 10 * 2**20 for file in contents.files)
    assert unsimulated(contents) == ["Grube <b>Süd</b>"]
    without = space_contents(app_folder, with_images=False)
    assert not [file.path for file in without.files if "/image/" in file.path]


def test_reviewers_stay_at_home(space: Path) -> None:
    with WatchState(space / "mines" / "watch") as state:
        reviews = [review for each in state.alerts() for review in each.reviews]
        assert state.deliveries() == []
    assert [(each["verdict"], each["name"], each["comment"]) for each in reviews] == [("confirmed", "", "")]
    assert b"A. Berg" not in (space / "mines" / "watch" / "watch.sqlite").read_bytes()


def test_no_path_of_this_machine_is_published(contents: Contents, app_folder: Path) -> None:
    for file in contents.files:
        if file.path.startswith(("mines/", "app.py", "README")):
            data = file.source if isinstance(file.source, bytes) else file.source.read_bytes()
            assert str(app_folder.parent).encode() not in data, file.path


def test_a_space_with_members_asks_the_hub_who_signs_in(app_folder: Path) -> None:
    files = {
        file.path: file.source for file in space_contents(app_folder, members=["anna", "mine-org"]).files
    }
    assert b"hf_oauth: true" in bytes(files["README.md"])
    assert b"members=['anna', 'mine-org']" in bytes(files["app.py"])
    with pytest.raises(ArgumentError, match="--member: found 'an na'"):
        space_contents(app_folder, members=["an na"])


def test_a_space_holds_no_more_than_the_hub_takes(app_folder: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(DataError, match="found no finished series"):
        space_contents(tmp_path)
    monkeypatch.setattr("euromine.app.space.LARGEST_SPACE", 1000)
    with pytest.raises(DataError, match="--without-images"):
        space_contents(app_folder)


def test_another_space_is_not_replaced(contents: Contents) -> None:
    own = next(file.source for file in contents.files if file.path == "app.py")
    assert contents.difference({"app.py": bytes(own)}) is None
    assert contents.difference({"app.py": b"import gradio"}) == "a Space of something else"
    assert contents.difference({}) == "a Space of something else"


def test_a_dry_run_lists_the_files_and_sends_nothing(app_folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = CliRunner().invoke(app, ["publish", "app", str(app_folder), "me/mines", "--dry-run"])
    assert "1 of the sites is not simulated and will be open to everybody" in result.output
    assert re.search(r"[\d,]+  app\.py\n", result.output)
    assert "Nothing can be sent" in result.output


def test_the_space_runs_its_own_copy_and_serves_the_page(address: str) -> None:
    get = httpx.Client(timeout=60).get
    page = get(address)
    assert page.status_code == 200
    assert "https://huggingface.co" in page.headers["content-security-policy"]
    portfolio = get(f"{address}api/portfolio").json()
    assert [site["name"] for site in portfolio["sites"]] == ["Grube <b>Süd</b>", SITE]
    assert portfolio["features"] == {
        "uploads": False,
        "review": False,
        "sign_in": False,
        "sign_out": False,
        "basemap": None,
    }
    layers = get(f"{address}api/sites/{SITE_ID}").json()["layers"]
    kind = next(layer["format"] for layer in layers if layer["key"] == "natural")
    picture = get(f"{address}api/sites/{SITE_ID}/pictures/natural/{YEARS[0]}.{kind}")
    assert picture.headers["content-type"].startswith("image/")


def test_gradio_client_calls_the_functions(address: str) -> None:
    client = Client(address, verbose=False, httpx_kwargs={"timeout": 60})
    sites = client.predict(api_name="/sites")
    assert [site["id"] for site in sites] == ["Grube-b-Sud-b", SITE_ID]
    assert sites[1]["open_alerts"] == 2
    values = client.predict(SITE_ID, sites[1]["longitude"], sites[1]["latitude"], api_name="/point_values")
    assert values["inside"] is True
    assert [each["year"] for each in values["years"]] == list(YEARS)
    west, south, east, north = sites[1]["bounds"]
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    area = client.predict(SITE_ID, {"type": "Polygon", "coordinates": [ring]}, api_name="/area_values")
    assert area["covered_share"] > 0.9
    assert len(client.predict(SITE, "confirmed", api_name="/alerts")) == 1
    assert client.predict(SITE_ID, api_name="/site")["years"] == list(YEARS)
    with pytest.raises(AppError, match="found no 'nowhere'"):
        client.predict("nowhere", api_name="/site")


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/upload",
        "gradio_api/file=/etc/passwd",
        "gradio_api/file/etc/passwd",
        "gradio_api/proxy=https://huggingface.co/",
        "gradio_api/runs",
        "gradio_api/vibe-code",
        "gradio_api/dev/reload",
        "gradio_api/custom_component/1/client/component/index.js",
        "monitoring",
        "login",
        "logout",
        "svelte/index.js",
        "docs",
    ],
)
def test_gradio_s_own_routes_are_closed(address: str, path: str) -> None:
    assert httpx.get(f"{address}{path}", timeout=60).status_code == 404
    assert httpx.post(f"{address}{path}", files={"files": b"x"}, timeout=60).status_code == 404
