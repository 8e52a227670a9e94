"""An app on two small sites."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from euromine.app.app_settings import AppSettings
from euromine.app.server import create_app
from euromine.app.site_catalogue import SiteCatalogue, SitePlace

from .drawn_app import SECOND_ID, SITE_ID, write_app_folder


@pytest.fixture(scope="session")
def app_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app's folder, which no test may change: `drawn_app.write_app_folder`."""
    return write_app_folder(tmp_path_factory.mktemp("app") / "mines")


@pytest.fixture
def own_app_folder(app_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(app_folder, tmp_path / "mines"))


@pytest.fixture(scope="session")
def catalogue(app_folder: Path) -> SiteCatalogue:
    """The sites of the app's folder."""
    return SiteCatalogue(app_folder)


@pytest.fixture(scope="session")
def series_site(catalogue: SiteCatalogue) -> SitePlace:
    """The first site: four years, components, permits, indices, water, land cover, images."""
    return catalogue.place(SITE_ID)


@pytest.fixture(scope="session")
def second_site(catalogue: SiteCatalogue) -> SitePlace:
    """The second site, in degrees: two years, no images, permits or indices, and a name to escape."""
    return catalogue.place(SECOND_ID)


@pytest.fixture(scope="session")
def settings(app_folder: Path) -> AppSettings:
    """The settings of the app on its folder, open to this machine."""
    return AppSettings(folder=app_folder, watch=app_folder / "watch.yaml")


@pytest.fixture(scope="session")
def client(settings: AppSettings) -> Iterator[TestClient]:
    """A program that asks the app."""
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client
