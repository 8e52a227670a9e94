"""Windows of remote files: the same pixels as by other libraries, through faults that pass."""

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from euromine.acquisition import catalogues
from euromine.acquisition.remote_rasters import RemoteFile, read_on_grid, window_bytes
from euromine.acquisition.scene_items import RefusedItemError
from euromine.acquisition.site_grids import SiteGrid

from .small_world import LEFT, PIXELS, TOP, write_band

GRID = SiteGrid("EPSG:32633", LEFT + 200, TOP - 400, 100, 80)


@pytest.fixture
def file(world):
    generator = np.random.default_rng(0)

    def written(side=10, epsg=32633, corner=(LEFT, TOP), name="a", dtype=np.uint16):
        pixels = generator.integers(1, 4000, (PIXELS * 10 // side,) * 2).astype(dtype)
        write_band(world.folder / f"{name}.tif", pixels, side, epsg, corner)
        return RemoteFile(name, "B02", f"{world.address}/{name}.tif", False)

    return written


def warped(world, name, grid, factor=1):
    """The nearest pixels by GDAL's warper on the file itself."""
    side = 10 * factor
    with (
        rasterio.open(world.folder / f"{name}.tif") as dataset,
        WarpedVRT(
            dataset,
            crs=grid.crs,
            transform=rasterio.Affine(side, 0, grid.left, 0, -side, grid.top),
            width=grid.width // factor,
            height=grid.height // factor,
            resampling=Resampling.nearest,
        ) as there,
    ):
        return there.read(1)


@pytest.mark.parametrize(
    ("side", "factor", "corner", "grid"),
    [
        (10, 1, (LEFT, TOP), GRID),
        (20, 1, (LEFT, TOP), GRID),
        (20, 2, (LEFT, TOP), GRID),
        (60, 1, (LEFT, TOP), GRID),
        (60, 2, (LEFT, TOP), SiteGrid("EPSG:32633", LEFT + 20, TOP - 40, 50, 50)),
        (10, 1, (LEFT, TOP), SiteGrid("EPSG:32633", LEFT - 300, TOP + 200, 60, 50)),  # over a corner
        (20, 1, (LEFT, TOP), SiteGrid("EPSG:32633", LEFT + 10 * PIXELS - 200, TOP - 2000, 60, 80)),
        (10, 1, (LEFT - 3, TOP + 4), GRID),  # on another lattice
        (10, 1, (LEFT, TOP), SiteGrid("EPSG:32632", LEFT + 450_000, TOP + 6000, 120, 100)),
    ],
)
def test_pixels_are_the_warpers_nearest(world, file, side, factor, corner, grid):
    found = read_on_grid(file(side, corner=corner), grid, factor)
    np.testing.assert_array_equal(found, warped(world, "a", grid, factor))


def test_a_grid_beside_a_file_has_no_data(file):
    beside = SiteGrid("EPSG:32633", LEFT + 90_000, TOP, 10, 20)
    assert not read_on_grid(file(), beside).any()
    assert np.isnan(read_on_grid(file(name="b", dtype=np.float32), beside)).all()


@pytest.mark.parametrize("kind", [429, 500, 503, 404, "drop"])
def test_faults_that_pass_lose_nothing(world, file, faults, kind):
    there = [file(name=f"{kind}{place}") for place in range(4)]
    faults.kind, faults.every = kind, 3
    for one in there:
        np.testing.assert_array_equal(read_on_grid(one, GRID), warped(world, one.item, GRID))
    assert faults.failed > 0


def test_a_file_that_stays_away_is_named(file, faults):
    there = file()
    faults.always = ("a.tif",)
    with pytest.raises(
        RefusedItemError, match=r"a B02: found no such file at 127\.0\.0\.1:\d+ \(404\)"
    ) as caught:
        read_on_grid(there, GRID)
    assert caught.value.item == "a"
    faults.status = 503
    with pytest.raises(OSError, match=r"a B02: 127.* does not give out the file \(503\)\. Run the same"):
        read_on_grid(there, GRID)
    faults.status = 403
    with pytest.raises(OSError, match=r"a B02: 127\.0\.0\.1:\d+ gives no access \(403\)\."):
        read_on_grid(there, GRID)


def test_a_server_that_is_down_is_named():
    with pytest.raises(OSError, match=r"a B02: 127.*:9 does not give out the file \(ConnectionError\)"):
        read_on_grid(RemoteFile("a", "B02", "http://127.0.0.1:9/a.tif", False), GRID)


def test_files_of_other_kinds_are_refused(world):
    vrt = '<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
    (world.folder / "vrt.tif").write_text(vrt)
    with pytest.raises(RefusedItemError, match="vrt B02: found a file that is damaged or no GeoTIFF"):
        read_on_grid(RemoteFile("vrt", "B02", f"{world.address}/vrt.tif", False), GRID)
    shape = {"height": 64, "width": 64, "dtype": "uint16", "driver": "GTiff"}
    with rasterio.open(world.folder / "three.tif", "w", count=3, crs="EPSG:32633", **shape) as dataset:
        dataset.write(np.zeros((3, 64, 64), np.uint16))
    with pytest.raises(RefusedItemError, match="found 3 bands of uint16; expected one band"):
        read_on_grid(RemoteFile("three", "B02", f"{world.address}/three.tif", False), GRID)
    with rasterio.open(world.folder / "placeless.tif", "w", count=1, **shape) as dataset:
        dataset.write(np.zeros((1, 64, 64), np.uint16))
    with pytest.raises(RefusedItemError, match="found no place on a map, as in radar geometry"):
        read_on_grid(RemoteFile("placeless", "B02", f"{world.address}/placeless.tif", False), GRID)


def test_links_are_signed_each_time_they_are_opened(world, file, faults, monkeypatch):
    """A token that has expired since the search is replaced, and so is one that expires in between."""
    tokens = iter(["old", "new", "new", "new"])
    monkeypatch.setattr("planetary_computer.sign_url", lambda href: f"{href}?token={next(tokens)}")
    there = file()
    faults.token = "token=new"
    signed = RemoteFile(there.item, there.band, there.link, True)
    np.testing.assert_array_equal(read_on_grid(signed, GRID), warped(world, "a", GRID))
    assert any("token=old" in path for path in faults.requests)


def test_a_token_that_is_not_issued_is_an_error(file, monkeypatch):
    monkeypatch.setenv("PC_SDK_SAS_URL", "http://127.0.0.1:9/token")
    monkeypatch.setattr("planetary_computer.sas.TOKEN_CACHE", {})
    monkeypatch.setattr("planetary_computer.sas.get_token.__defaults__", (0, 0.0))
    link = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/a.tif"
    with pytest.raises(OSError, match=r"gives out no token for sentinel2l2a01.* set PC_SDK_SUBSCRIPTION_KEY"):
        catalogues.signed_link(link, True)


def test_the_size_is_that_of_the_blocks_under_a_grid(world, file):
    there = file()
    with rasterio.open(world.folder / "a.tif") as dataset:
        # Columns 20 to 120 and rows 40 to 120, in blocks of 64.
        sizes = [
            int(dataset.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=1))
            for row in (0, 1)
            for column in (0, 1)
        ]
    assert window_bytes(there, GRID) == sum(sizes)
