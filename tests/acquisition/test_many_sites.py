"""A site for each feature of a file, in processes."""

import geopandas
import pytest
import rasterio
import shapely

from euromine.acquisition import AcquisitionOptions, acquire_sites
from euromine.acquisition.many_sites import described_sites
from euromine.support.errors import DataError

from .small_world import box_of

FIRST, SECOND = box_of(20, 20, 40, 30), box_of(120, 100, 50, 40)


@pytest.fixture
def sites(tmp_path):
    def written(**boxes):
        frame = geopandas.GeoDataFrame(
            {"name": list(boxes)}, geometry=[shapely.box(*box) for box in boxes.values()], crs=4326
        )
        frame.to_crs(32633).to_file(tmp_path / "sites.gpkg")
        return tmp_path / "sites.gpkg"

    return written


def test_sites_are_acquired_in_processes(world, serve, sites, tmp_path):
    world.add("20210710")
    options = AcquisitionOptions(years=(2021,), catalogue=serve(world.items).address, margin=0)
    done = acquire_sites(tmp_path, sites(North_2=FIRST, South_1=SECOND), options, workers=2)
    assert [(site.name, site.made) for site in done] == [("North_2", (2021,)), ("South_1", (2021,))]
    shapes = []
    for site in done:
        with rasterio.open(site.folder / "image" / "Year2021.tif") as dataset:
            shapes.append(dataset.shape)
    assert shapes == [(30, 40), (40, 50)]


def test_a_site_that_fails_stops_no_other(world, serve, sites, tmp_path):
    world.add("20210710")
    options = AcquisitionOptions(years=(2021,), catalogue=serve(world.items).address, margin=0)
    path = sites(Elsewhere_1=(9.0, 50.0, 9.01, 50.01), North_2=FIRST)
    with pytest.raises(
        DataError,
        match=r"sites\.gpkg: found 1 of 2 sites that could not be acquired \(Elsewhere_1\); expected all",
    ):
        acquire_sites(tmp_path, path, options, workers=1)
    described = described_sites(tmp_path, path, options)
    assert "Elsewhere_1: cannot be acquired. Elsewhere_1: found no scene of 2021; expected at" in described
    assert "\n\nNorth_2: 40 x 30 pixels of 10 m" in described
    assert (tmp_path / "EuroMineNet" / "North_2" / "image" / "Year2021.tif").exists()
    assert not (tmp_path / "EuroMineNet" / "Elsewhere_1").exists()


def test_sites_are_acquired_on_a_dask_cluster(world, serve, sites, tmp_path):
    distributed = pytest.importorskip("distributed")
    world.add("20210710")
    options = AcquisitionOptions(years=(2021,), catalogue=serve(world.items).address, margin=0)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        done = acquire_sites(tmp_path, sites(North_2=FIRST), options, dask=cluster.scheduler_address)
    assert [site.made for site in done] == [(2021,)]
