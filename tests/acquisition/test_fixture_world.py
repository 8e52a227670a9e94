"""The prepared world of ../shared/data: real items on files that mimic them, with its own faulty servers."""

import json
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.warp import transform_bounds

from euromine.acquisition import AcquisitionOptions, acquire_site, read_acquisition
from euromine.acquisition.catalogue_search import search_items
from euromine.acquisition.catalogues import Catalogue

from .faulty_servers import stac_api

TOOLS = Path(__file__).parents[3] / "shared" / "data" / "fixtures" / "tools"
SIZE = 160
# The tools write at row and column 4000 of tile 33TWN.
LEFT, TOP = 499_980 + 40_000, 5_300_040 - 40_000


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The folder that `world.py` writes, its items for the port that `flaky.py` serves them on."""
    if not (TOOLS / "world.py").is_file():
        pytest.skip(f"needs the prepared world of {TOOLS}")
    folder = tmp_path_factory.mktemp("world")
    subprocess.run(
        [sys.executable, TOOLS / "world.py", folder, str(SIZE), "http://127.0.0.1:PORT"],
        check=True,
        timeout=120,
    )
    return folder


@pytest.fixture
def acquired(world, tmp_path):
    """Acquire the world's site while its files are served with a fault."""
    running = []

    def acquire(fault, name="out", years=(2022,)):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        running.append(
            subprocess.Popen(
                [sys.executable, TOOLS / "flaky.py", world, str(port), fault], stderr=subprocess.DEVNULL
            )
        )
        wait_for(port)
        items = json.loads((world / "stac" / "items.json").read_text().replace("PORT", str(port)))["features"]
        bounds = (LEFT + 205, TOP - 10 * SIZE + 205, LEFT + 10 * SIZE - 205, TOP - 205)
        with stac_api(items) as catalogue:
            return acquire_site(
                tmp_path / name,
                "Pit_1",
                AcquisitionOptions(years=years, catalogue=catalogue.address, margin=0),
                bbox=transform_bounds("EPSG:32633", "EPSG:4326", *bounds),
            )

    yield acquire
    for each in running:
        each.kill()
        each.wait()


def wait_for(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the server does not answer")


def test_the_known_ground_is_found_with_its_pit_through_dropped_connections(world, acquired):
    site = acquired("drop:3", years=(2021, 2022))
    record = read_acquisition(site.folder)
    used = {item.id: item for item in record.years["2022"].items}
    # A datastrip processed anew replaces the first; an offset that was taken out stays so.
    assert "S2B_33TWN_20220704_1_L2A" in used
    assert "S2B_33TWN_20220704_0_L2A" not in used
    assert (used["S2B_33TWN_20220704_1_L2A"].offset, used["S2B_33TWN_20220724_0_L2A"].offset) == (-1000, 0)
    truth = np.load(world / "truth.npz")
    grid = record.grid
    rows = slice((TOP - grid.top) // 10, (TOP - grid.top) // 10 + grid.height)
    columns = slice((grid.left - LEFT) // 10, (grid.left - LEFT) // 10 + grid.width)
    pit = truth["pit"][rows, columns]
    for year in (2021, 2022):
        with rasterio.open(site.folder / "image" / f"Year{year}.tif") as dataset:
            blue, red = dataset.read(1), dataset.read(3)
        assert (blue > 0).all()
        for found, band in ((blue, "blue"), (red, "red")):
            expected = 10_000 * truth[band][rows, columns]
            # The pit is called cloud on all dates but one of 2021, and on all of 2022.
            assert np.median(np.abs(found - expected)[pit]) < 60
            assert np.median(np.abs(found - expected)[~pit]) < 25


def test_faults_of_the_prepared_server_change_no_pixel(acquired):
    whole, through = acquired("none:1", "whole"), acquired("503:4", "through")
    first, second = (read_pixels(site.folder / "image" / "Year2022.tif") for site in (whole, through))
    np.testing.assert_array_equal(first, second)


def test_a_search_through_the_prepared_proxy_finds_all(world, tmp_path):
    """Rustac behind a proxy that answers 502 to every third request; both have fixed places."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 7822)) == 0:
            pytest.skip("needs port 7822, to which proxy.py forwards")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stac = TOOLS.parent / "stac"
    program = shutil.which("rustac", path=f"{sys.prefix}/bin") or "rustac"
    commands = [
        [program, "serve", "-a", "127.0.0.1:7822", stac / "sentinel-2-l2a.json", stac / "items.json"],
        [sys.executable, TOOLS / "proxy.py", str(port), "502:3"],
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with ExitStack() as running:
        for command, there in zip(commands, (7822, port), strict=True):
            running.callback(running.enter_context(subprocess.Popen(command, **quiet)).kill)
            wait_for(there)
        catalogue = Catalogue(
            "here", f"http://127.0.0.1:{port}", ("sentinel-2-l2a",), checks_collections=True
        )
        for year, number in ((2021, 4), (2022, 6), (2020, 0)):
            days = (f"{year}-06-01", f"{year}-08-31")
            assert len(search_items(catalogue, shapely.box(15.5, 47.4, 15.6, 47.5), days)) == number


def read_pixels(path):
    with rasterio.open(path) as dataset:
        return dataset.read()
