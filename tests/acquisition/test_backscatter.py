"""Yearly backscatter: one relative orbit, the mean of power, on the grid of the images."""

import numpy as np
import pytest
import rasterio

from euromine.acquisition import AcquisitionOptions, acquire_site, read_acquisition
from euromine.acquisition.dry_run import describe_acquisition
from euromine.support.errors import DataError

from .small_world import LEFT, PIXELS, TOP, box_of, stac_item, write_band

BOX = box_of(90, 80, 80, 60)
ROWS, COLUMNS = slice(80, 140), slice(90, 170)


def frame(world, day, orbit, level=0.05, corner=(LEFT, TOP), empty=slice(0)):
    """A frame of power, in linear units."""
    power = {
        name: (level * factor * np.random.default_rng(int(day)).gamma(4, 0.25, (PIXELS, PIXELS))).astype(
            np.float32
        )
        for name, factor in (("vv", 1), ("vh", 0.2))
    }
    name = f"S1A_IW_GRDH_1SDV_{day}_{orbit}_rtc"
    for key, pixels in power.items():
        pixels[:, empty] = -32768  # as Planetary Computer's
        write_band(world.folder / name / f"{key}.tif", pixels, 10, 32633, corner)
    properties = {
        "datetime": f"{day[:4]}-{day[4:6]}-{day[6:]}T05:10:00Z",
        "platform": "sentinel-1a",
        "proj:epsg": 32633,
        "sat:relative_orbit": orbit,
    }
    assets = {key: {"href": f"{world.address}/{name}/{key}.tif", "type": "image/tiff"} for key in power}
    item = stac_item(name, "sentinel-1-rtc", properties, assets, 32633, corner, 10 * PIXELS)
    world.items.append(item)
    return power, item


def options(catalogue, *years):
    return AcquisitionOptions(years=years, catalogue=catalogue.address, margin=0, radar=True)


def test_one_orbit_is_averaged_as_power_in_all_years(world, serve, tmp_path):
    for year in (2021, 2022):
        world.add(f"{year}0710")
    first, _ = frame(world, "20210702", 22)
    second, _ = frame(world, "20210714", 22, empty=slice(100, 110))
    third, _ = frame(world, "20220702", 22)
    for day in ("20210703", "20210709", "20210715"):
        frame(world, day, 124, level=0.5)  # another orbit, in one year alone
    catalogue = serve(world.items, "sentinel-2-l2a", "sentinel-1-rtc")
    site = acquire_site(tmp_path, "Pit_1", options(catalogue, 2021, 2022), bbox=BOX)
    assert site.radar == (2021, 2022)
    record = read_acquisition(site.folder)
    assert record.radar_orbit == 22
    again = describe_acquisition(tmp_path, "Pit_1", options(catalogue, 2021, 2022), None)
    assert "0 scenes" in again
    assert "2022: radar is complete and will be kept." in again
    assert [len(record.radar_years[year].passes) for year in ("2021", "2022")] == [2, 1]
    for year, powers in ((2021, [first, second]), (2022, [third])):
        with (
            rasterio.open(site.folder / "radar" / f"Year{year}.tif") as dataset,
            rasterio.open(site.folder / "image" / f"Year{year}.tif") as image,
        ):
            assert (dataset.descriptions, dataset.dtypes[0]) == (("VV", "VH"), "int16")
            assert (dataset.crs, dataset.transform, dataset.shape) == (
                image.crs,
                image.transform,
                image.shape,
            )
            found = dataset.read()
        for place, name in enumerate(("vv", "vh")):
            stack = np.array([power[name][ROWS, COLUMNS] for power in powers], float)
            mean = np.nanmean(np.where(stack > 0, stack, np.nan), axis=0)
            np.testing.assert_array_equal(found[place], np.rint(1000 * np.log10(mean)))


def test_later_years_keep_the_orbit_and_lack_years_without_it(world, serve, tmp_path, caplog):
    world.add("20210710")
    frame(world, "20210702", 22)
    catalogue = serve(world.items, "sentinel-2-l2a", "sentinel-1-rtc")
    acquire_site(tmp_path, "Pit_1", options(catalogue, 2021), bbox=BOX)
    world.add("20220710")
    for day in ("20210703", "20220703", "20220709"):
        frame(world, day, 124)
    site = acquire_site(tmp_path, "Pit_1", options(catalogue, 2021, 2022), bbox=BOX)
    assert (site.kept, site.made, site.radar) == ((2021,), (2022,), (2021,))
    assert "2022: no backscatter of relative orbit 22" in caplog.text


def test_radar_geometry_is_refused(world, serve, tmp_path):
    world.add("20210710")
    catalogue = serve(world.items, "sentinel-2-l2a", "sentinel-1-grd")
    with pytest.raises(
        DataError, match=r"expected sentinel-1-rtc, as GRD is in radar geometry .* leave --radar out"
    ):
        acquire_site(tmp_path, "Pit_1", options(catalogue, 2021), bbox=BOX)
    assert not any(tmp_path.glob("EuroMineNet"))
