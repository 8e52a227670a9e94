"""GeoTIFFs over HTTP, from a server on this machine."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from euromine.modeling import BANDS
from euromine.monitoring.scenes import remote_images
from euromine.monitoring.scenes.scene import open_scene
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import SceneError

from .range_server import Server
from .scene_files import WriteScene, read

IMAGE = np.random.default_rng(5).integers(1, 9000, (10, 300, 280)).astype("uint16")
OPTIONS = SceneOptions(offset=0)


@pytest.fixture
def cog(write_scene: WriteScene, tmp_path: Path) -> Path:
    """Incompressible, so that it has several blocks of a megabyte."""
    return write_scene("mine_2019.tif", IMAGE, tiled=True, blockxsize=64, blockysize=64)


def test_a_geotiff_is_read_by_ranges_and_nothing_else_is_asked_for(server: Server, cog: Path) -> None:
    cog.with_suffix(".json").write_text("{}")
    cog.with_name(f"{cog.name}.aux.xml").write_text("<PAMDataset/>")
    address = f"{server.address}/mine_2019.tif?sig=secret"
    values, valid = read(address, OPTIONS)
    np.testing.assert_array_equal(values, IMAGE)
    assert valid.all()
    assert set(server.handler.requests) == {"/mine_2019.tif?sig=secret"}
    # Blocks of a megabyte, each asked for once.
    assert len(server.handler.requests) <= cog.stat().st_size // 2**20 + 2


def test_a_remote_scene_has_a_name_a_year_and_a_fingerprint_by_its_version(server: Server, cog: Path) -> None:
    address = f"{server.address}/mine_2019.tif"
    with open_scene(f"{address}?sig=secret", OPTIONS) as scene:
        assert (scene.year, scene.location.stem, scene.path) == (2019, "mine_2019", None)
        first = scene.fingerprint()
        assert "secret" not in repr(first) + scene.location.shown
    with open_scene(f"{address}?sig=another", OPTIONS) as scene:
        assert scene.fingerprint() == first
    server.handler.etag = '"second"'
    with open_scene(address, OPTIONS) as scene:
        assert scene.fingerprint() != first


def test_failures_that_may_pass_are_tried_again(server: Server, cog: Path) -> None:
    server.handler.answers[:] = [(503, {}), (429, {})]
    values, _ = read(f"{server.address}/mine_2019.tif", OPTIONS)
    np.testing.assert_array_equal(values, IMAGE)
    server.handler.answers[:] = [(503, {})] * 3
    with pytest.raises(OSError, match=r"cannot be read from its server \(status 503, 3 attempts\)"):
        open_scene(f"{server.address}/mine_2019.tif")


def test_a_failure_in_the_middle_says_what_the_server_answered(
    server: Server, cog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_images, "_BLOCK", 65536)
    with open_scene(f"{server.address}/mine_2019.tif", OPTIONS) as scene:
        server.handler.answers[:] = [(403, {})] * 9
        with pytest.raises(SceneError, match="found the answer 403 Forbidden; expected a file"):
            scene.read(Window(0, 100, 280, 200), BANDS)
    server.handler.answers.clear()
    with open_scene(f"{server.address}/mine_2019.tif", OPTIONS) as scene:
        server.handler.etag = '"another"'
        with pytest.raises(SceneError, match="found another version of the file than at the beginning"):
            scene.read(Window(0, 100, 280, 200), BANDS)


@pytest.mark.parametrize(
    "target", ["ftp://127.0.0.1/mine_2019.tif", "file:///etc/hostname", "http://example.org/mine_2019.tif"]
)
def test_redirections_to_other_schemes_are_refused(server: Server, cog: Path, target: str) -> None:
    server.handler.answers[:] = [(302, {"Location": target})]
    with pytest.raises(SceneError, match=r"found no address that is read|found http, which anybody"):
        open_scene(f"{server.address}/mine_2019.tif")


def test_redirections_are_followed_five_times_at_most(
    server: Server, cog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_images, "_BLOCK", 65536)
    server.handler.answers[:] = [(302, {"Location": "/mine_2019.tif"})]
    with open_scene(f"{server.address}/latest.tif", OPTIONS) as scene:
        assert scene.location.stem == "latest"
        values, _ = scene.read(Window(0, 0, 280, 300), BANDS)
        np.testing.assert_array_equal(values, IMAGE)
    server.handler.answers[:] = [(302, {"Location": "/mine_2019.tif"})] * 6
    with pytest.raises(SceneError, match="found more than 5 redirections; expected fewer"):
        open_scene(f"{server.address}/latest.tif")


def test_what_cannot_be_read_by_ranges_is_refused(
    server: Server, cog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.handler.answers[:] = [(200, {})]
    with pytest.raises(
        SceneError, match="found a server that gives whole files only; expected one that gives"
    ):
        open_scene(f"{server.address}/mine_2019.tif")
    with pytest.raises(SceneError, match="found the answer 404 File not found; expected a file"):
        open_scene(f"{server.address}/missing.tif")
    cog.with_name("text.tif").write_text("no image")
    with pytest.raises(SceneError, match=r"text.tif: found a file that is no GeoTIFF; expected one"):
        open_scene(f"{server.address}/text.tif")
    monkeypatch.setattr(remote_images, "LARGEST", 1000)
    with pytest.raises(SceneError, match=r"found a file of .* GB; expected at most"):
        open_scene(f"{server.address}/mine_2019.tif")


def test_a_vrt_on_a_server_is_no_geotiff(server: Server, tmp_path: Path) -> None:
    (tmp_path / "scene.tif").write_text(
        "<VRTDataset><SourceFilename>/etc/hostname</SourceFilename></VRTDataset>"
    )
    with pytest.raises(SceneError, match="found a file that is no GeoTIFF"):
        open_scene(f"{server.address}/scene.tif")


def test_an_unreachable_server_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_images, "WAITS", ())
    with pytest.raises(
        OSError, match=r"http://127.0.0.1:9/a.tif: cannot be read from its server \(Connection"
    ):
        open_scene("http://127.0.0.1:9/a.tif")


def test_addresses_of_other_kinds_are_refused() -> None:
    for address, message in {
        "ftp://example.org/a.tif": "found no address that is read",
        "s3://bucket/a.tif": "found an object store",
        "http://user:word@example.org/a.tif": "http://example.org/a.tif: found http, which anybody",
        "https://example.org/": "found no file name",
        "https:///a.tif": "found no address that is read",
        "https://[/a.tif": "found no address that is read",
    }.items():
        with pytest.raises(SceneError, match=message):
            open_scene(address)


def test_memory_for_blocks_is_bounded(server: Server, cog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_images, "_BLOCK", 4096)
    monkeypatch.setattr(remote_images, "_KEPT_BLOCKS", 3)
    with rasterio.Env(GDAL_CACHEMAX=1):
        values, _ = read(f"{server.address}/mine_2019.tif", OPTIONS)
    np.testing.assert_array_equal(values, IMAGE)
