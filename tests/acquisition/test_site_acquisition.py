"""Sites from a catalogue and files on this machine: the same pixels as by odc-stac, resumed bit for bit."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime

import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.warp import transform
from scipy.ndimage import binary_dilation

from euromine.acquisition import AcquisitionOptions, acquire_site, read_acquisition
from euromine.dataset_script import Archive
from euromine.modeling import BANDS
from euromine.monitoring.history.yearly_images import find_scenes
from euromine.support.errors import ArchiveError, ArgumentError, DataError, RecordError, SceneError

from .small_world import LEFT, NAMES, PIT, SIDES, TOP, box_of

SITE = (90, 80, 80, 60)  # left, top, columns, rows; the pit is inside
BOX = box_of(*SITE)
ROWS, COLUMNS = slice(80, 140), slice(90, 170)


def options(catalogue, *years, **others):
    return AcquisitionOptions(years=years or (2021,), catalogue=catalogue.address, margin=0, **others)


def pixels(site, year, folder="image"):
    with rasterio.open(site.folder / folder / f"Year{year}.tif") as dataset:
        return dataset.read()


def from_odc_stac(items, offsets):
    """The composite of items by odc-stac, SciPy and NumPy; every scene masked alone, the clearest first."""
    box = GeoBox((60, 80), rasterio.Affine(10, 0, LEFT + 900, 0, -10, TOP - 800), "EPSG:32633")
    coarse = GeoBox((30, 40), rasterio.Affine(20, 0, LEFT + 900, 0, -20, TOP - 800), "EPSG:32633")
    how = {"groupby": "id", "dtype": "uint16", "nodata": 0}
    there = [pystac.Item.from_dict(item) for item in items]
    classes = odc.stac.load(there, bands=["scl"], geobox=coarse, **how)["scl"].values
    unclear = np.stack(
        [binary_dilation(np.isin(each, (0, 1, 3, 8, 9, 10, 11)), np.ones((3, 3))) for each in classes]
    )
    loaded = odc.stac.load(there, bands=list(NAMES.values()), geobox=box, **how)
    order = np.argsort(unclear.mean(axis=(1, 2)), kind="stable")
    shifts = np.array(offsets)[:, None, None]
    composite = []
    for band in BANDS:
        raw = loaded[NAMES[band]].values.astype(int)
        numbers = np.where(raw == 0, 0, np.maximum(raw + shifts, 1)).astype(float)
        usable = ~unclear.repeat(2, 1).repeat(2, 2) & (numbers > 0)
        numbers, usable = numbers[order], usable[order]
        for scene in range(len(numbers)):  # pixels without a clear scene come from the clearest one
            usable[scene] |= ~usable.any(axis=0) & (numbers[scene] > 0)
        composite.append(np.rint(np.nanmedian(np.where(usable, numbers, np.nan), axis=0)))
    return np.array(composite).astype(np.int16)


def test_a_composite_is_that_of_odc_stac_bit_for_bit(world, serve, tmp_path):
    """Baselines before and after 04.00, an offset already taken out, clouds, and the border of a swath.

    Three dates are too few to tell bright ground from cloud, which the reference does not do.
    """
    world.add("20210710", clouds=(slice(90, 120), slice(100, 130)))
    world.add("20210711", baseline="04.00", applied=True, clouds=(slice(80, 100), slice(90, 140)))
    world.add("20210712", baseline="05.09", swath=100)
    site = acquire_site(tmp_path, "Pit_1", options(serve(world.items)), bbox=BOX)
    np.testing.assert_array_equal(pixels(site, 2021), from_odc_stac(world.items, [0, 0, -1000]))


def test_a_large_site_is_composed_in_parts_without_a_seam(world, serve, tmp_path, monkeypatch):
    for place in range(4):
        world.add(
            f"202107{10 + place}",
            clouds=(slice(80 + 9 * place, 110), slice(90, 130)),
            pit_class=9 * (place > 0),
        )
    catalogue = serve(world.items)
    whole = acquire_site(tmp_path / "whole", "Pit_1", options(catalogue), bbox=BOX)
    monkeypatch.setattr("euromine.acquisition.scene_reading.PART", 34)
    parts = acquire_site(tmp_path / "parts", "Pit_1", options(catalogue), bbox=BOX)
    for name in ("image/Year2021.tif", "acquisition.json"):
        assert (parts.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_an_image_says_what_made_each_pixel(world, serve, tmp_path):
    world.add("20210710", baseline="05.09", clouds=(slice(80, 100), slice(90, 170)))
    world.add("20210720", clouds=(slice(80, 100), slice(90, 130)))
    site = acquire_site(tmp_path, "Pit_1", options(serve(world.items)), bbox=BOX)
    path = site.folder / "image" / "Year2021.tif"
    with rasterio.open(path) as dataset:
        assert dataset.descriptions == BANDS
        assert (dataset.dtypes[0], dataset.nodata, dataset.shape) == ("int16", 0, (60, 80))
        assert dataset.transform[:6] == (10, 0, LEFT + 900, 0, -10, TOP - 800)
        assert dataset.tags()["PROCESSING_LEVEL"] == "L2A"
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        tag = json.loads(dataset.tags()["EUROMINE_ACQUISITION"])
    used = [one["items"][0] for one in tag["passes"]]
    assert [item["id"] for item in used] == ["S2A_33TWN_20210720_0_L2A", "S2A_33TWN_20210710_0_L2A"]
    assert [(item["baseline"], item["offset"]) for item in used] == [("03.01", 0), ("05.09", -1000)]
    # Clouds over 20 rows of all 80 columns, or of 40, grown by a pixel of 20 m.
    clear = np.ones((2, 30, 40), bool)
    clear[0, :11, :21] = False
    clear[1, :11] = False
    assert [one["clear_share"] for one in tag["passes"]] == clear.mean(axis=(1, 2)).round(4).tolist()
    counts = np.bincount(clear.sum(axis=0).ravel()) * 4
    assert tag["clear_counts"] == {str(number): int(count) for number, count in enumerate(counts)}
    assert tag["filled_share"] == counts[0] / counts.sum()
    record = read_acquisition(site.folder)
    assert record.years["2021"].digest == tag["digest"]
    assert record.settings.level == tag["level"] == "L2A"
    assert datetime.fromisoformat(used[0]["time"]).date().isoformat() == "2021-07-20"


def test_bright_ground_that_the_classification_calls_cloud_is_not_lost(world, serve, tmp_path):
    for place in range(5):
        world.add(f"202107{10 + place}", pit_class=9 if place else 5)
    site = acquire_site(tmp_path, "Pit_1", options(serve(world.items), fill="nodata"), bbox=BOX)
    truth = np.median([world.seen[item["id"]].numbers["B02"] for item in world.items], axis=0)[PIT]
    found = pixels(site, 2021)[0][PIT[0].start - 80 : PIT[0].stop - 80, PIT[1].start - 90 : PIT[1].stop - 90]
    np.testing.assert_array_equal(found, truth)


@pytest.mark.parametrize(
    ("fill", "words"),
    [("nodata", "has no data"), ("least-cloudy", "has no clear day and shows the least cloudy")],
)
def test_ground_without_a_clear_date_gives_a_warning(fill, words, world, serve, tmp_path, caplog):
    world.add("20210710", clouds=(slice(0, 90), slice(0, 240)))
    world.add("20220710")
    site = acquire_site(tmp_path, "Pit_1", options(serve(world.items), 2021, 2022, fill=fill), bbox=BOX)
    # 12 of 60 rows: see the next test.
    assert f"Pit_1 2021: 20% of the image {words}" in caplog.text
    assert len(site.notes) == 1


def test_pixels_without_a_clear_date_can_be_left_out(world, serve, tmp_path):
    world.add("20210710", clouds=(slice(0, 90), slice(0, 240)))
    site = acquire_site(tmp_path, "Pit_1", options(serve(world.items), fill="nodata"), bbox=BOX)
    image = pixels(site, 2021)
    assert not image[:, :12].any()  # 10 rows of cloud and one pixel of 20 m
    assert (image[:, 12:] > 0).all()
    assert read_acquisition(site.folder).years["2021"].empty_share == 12 / 60


def test_a_site_without_labels_is_an_archives_member(world, serve, tmp_path):
    world.add("20210710")
    world.add("20220710")
    site = acquire_site(tmp_path, "Pit_1", options(serve(world.items), 2021, 2022), bbox=BOX)
    found = Archive(tmp_path).sites["Pit_1"]
    assert found.years == (2021, 2022)
    assert list(find_scenes(site.folder)) == [2021, 2022]


def test_tiles_of_a_pass_are_joined_without_a_seam(world, serve, tmp_path):
    """The tile ends in the middle of the site; the rest lies on the tile beside."""
    east = world.add("20210710", tile="33TWN")
    for item in world.items:
        item["geometry"]["coordinates"] = [
            [[15.5, 47.4], [15.6, 47.4], [15.6, 47.5], [15.5, 47.5], [15.5, 47.4]]
        ]
    whole = acquire_site(tmp_path / "one", "Pit_1", options(serve(world.items)), bbox=BOX)
    half = slice(0, 130)
    for key, side in ((NAMES[band], SIDES[band]) for band in BANDS):
        path = world.folder / east["id"] / f"{key}.tif"
        with rasterio.open(path) as dataset:
            profile, image = dataset.profile, dataset.read()
        step = side // 10
        right = image[:, :, half.stop // step :].copy()
        image[:, :, half.stop // step :] = 0
        with rasterio.open(path, "w", **profile) as dataset:
            dataset.write(image)
        other = world.folder / "other" / f"{key}.tif"
        other.parent.mkdir(exist_ok=True)
        moved = profile["transform"] @ rasterio.Affine.translation(half.stop // step, 0)
        with rasterio.open(other, "w", **profile | {"transform": moved, "width": right.shape[2]}) as dataset:
            dataset.write(right)
    beside = json.loads(json.dumps(east).replace(east["id"], "other").replace("33TWN", "33TXN"))
    beside["id"] = "S2A_33TXN_20210710_0_L2A"
    shutil.copy(world.folder / east["id"] / "scl.tif", world.folder / "other" / "scl.tif")
    near = [[[15.0, 47.0], [15.548, 47.0], [15.548, 47.9], [15.0, 47.9], [15.0, 47.0]]]
    for item in (east, beside):
        item["geometry"]["coordinates"] = near
    joined = acquire_site(tmp_path / "two", "Pit_1", options(serve([east, beside])), bbox=BOX)
    assert len(read_acquisition(joined.folder).years["2021"].passes) == 1
    np.testing.assert_array_equal(pixels(joined, 2021), pixels(whole, 2021))


def test_a_scene_whose_numbers_contradict_its_offset_is_left_out_and_named(world, serve, tmp_path, caplog):
    world.add("20210710")
    without = world.add("20210715", baseline="05.09", is_added=False)  # flags: 1000 added; numbers: not
    added = world.add("20210720", baseline="05.09", applied=True, is_added=True)  # the other way round
    flags = world.add("20210725", baseline="04.00")
    flags["properties"]["s2:product_uri"] = flags["properties"]["s2:product_uri"].replace("N0400", "N0301")
    site = acquire_site(tmp_path, "Pit_1", options(serve(world.items)), bbox=BOX)
    record = read_acquisition(site.folder).years["2021"]
    assert [item.id for item in record.items] == ["S2A_33TWN_20210710_0_L2A"]
    reasons = ((without, "contradict its offset"), (added, "contradict its offset"), (flags, "each other"))
    for item, words in reasons:
        (sentence,) = [each for each in record.refused if each.startswith(item["id"])]
        assert words in sentence
        assert f"left out {item['id']}" in caplog.text
        assert sum(item["id"] in note for note in site.notes) == 1


def test_a_scene_whose_file_is_gone_is_left_out_and_named(world, serve, faults, tmp_path, caplog):
    world.add("20210710")
    gone = world.add("20210715")
    faults.always = (f"{gone['id']}/nir08.tif",)
    site = acquire_site(tmp_path, "Pit_1", options(serve(world.items)), bbox=BOX)
    assert [item.id for item in read_acquisition(site.folder).years["2021"].items] == [
        "S2A_33TWN_20210710_0_L2A"
    ]
    assert f"left out {gone['id']} B8A: found no such file" in caplog.text
    faults.always = ("nir08.tif",)
    with pytest.raises(SceneError, match=r"Give other --years or --months\.$"):
        acquire_site(tmp_path, "Pit_2", options(serve(world.items)), bbox=BOX)


def test_a_year_without_scenes_gives_a_warning_and_is_never_borrowed(world, serve, tmp_path, caplog):
    world.add("20210710")
    world.add("20220510")  # out of season; the server does not look at times
    site = acquire_site(tmp_path, "Pit_1", options(serve(world.items), 2020, 2021, 2022), bbox=BOX)
    assert (site.made, site.missing) == ((2021,), (2020, 2022))
    assert "2022: no scene of months 6,7,8" in caplog.text
    assert sorted(path.name for path in (site.folder / "image").iterdir()) == ["Year2021.tif"]
    assert read_acquisition(site.folder).missing_years == (2020, 2022)


def test_of_many_scenes_the_clearest_are_taken_and_what_covers_the_rest(world, serve, tmp_path):
    for place in range(4):
        world.add(f"202107{10 + place}", clouds=(slice(80, 80 + 10 * place), slice(0, 240)))
    rest = world.add("20210730", swath=150)  # clear on the right alone
    for item in world.items[:-1]:
        for band in (*NAMES.values(), "scl"):  # the others have no data there
            path = world.folder / item["id"] / f"{band}.tif"
            with rasterio.open(path, "r+") as dataset:
                image = dataset.read()
                image[:, :, 150 * image.shape[2] // 240 :] = 0
                dataset.write(image)
    site = acquire_site(tmp_path, "Pit_1", options(serve(world.items), scenes=2), bbox=BOX)
    used = [item.id for item in read_acquisition(site.folder).years["2021"].items]
    assert used == ["S2A_33TWN_20210710_0_L2A", "S2A_33TWN_20210711_0_L2A", rest["id"]]
    assert (pixels(site, 2021) > 0).all()


def test_later_years_keep_the_old_bytes_and_grid(world, serve, tmp_path):
    world.add("20210710")
    catalogue = serve(world.items)
    first = acquire_site(tmp_path, "Pit_1", options(catalogue), bbox=BOX)
    before = (first.folder / "image" / "Year2021.tif").read_bytes()
    x, y = transform("EPSG:32633", "EPSG:32632", [LEFT + 1200], [TOP - 1200])
    corner = (round(x[0] / 20 - 60) * 20, round(y[0] / 20 + 60) * 20)
    world.add("20220710", epsg=32632, corner=corner, tile="32TQT")
    for item in world.items:
        item["geometry"]["coordinates"] = [
            [[15.5, 47.4], [15.6, 47.4], [15.6, 47.5], [15.5, 47.5], [15.5, 47.4]]
        ]
    second = acquire_site(tmp_path, "Pit_1", options(catalogue, 2021, 2022))  # the area of the first run
    assert (second.made, second.kept) == ((2022,), (2021,))
    assert (second.folder / "image" / "Year2021.tif").read_bytes() == before
    with rasterio.open(second.folder / "image" / "Year2022.tif") as dataset:
        assert (dataset.crs.to_epsg(), dataset.transform[:6]) == (
            32633,
            (10, 0, LEFT + 900, 0, -10, TOP - 800),
        )


def test_a_reprocessed_item_gives_a_warning_and_the_image_is_kept(world, serve, tmp_path, caplog):
    item = world.add("20210710")
    catalogue = serve(world.items)
    site = acquire_site(tmp_path, "Pit_1", options(catalogue), bbox=BOX)
    before = (site.folder / "image" / "Year2021.tif").read_bytes()
    anew = json.loads(json.dumps(item).replace("03.01", "05.10").replace("N0301", "N0510"))
    anew["id"] = "S2A_33TWN_20210710_1_L2A"
    catalogue.items.append(anew)
    again = acquire_site(tmp_path, "Pit_1", options(catalogue), bbox=BOX)
    assert again.kept == (2021,)
    assert "S2A_33TWN_20210710_0_L2A (baseline 03.01, " in caplog.text
    assert "is now S2A_33TWN_20210710_1_L2A (baseline 05.10, " in caplog.text
    assert (site.folder / "image" / "Year2021.tif").read_bytes() == before
    catalogue.items.clear()
    acquire_site(tmp_path, "Pit_1", options(catalogue), bbox=BOX)
    assert "S2A_33TWN_20210710_0_L2A is no longer in" in caplog.text


def test_other_settings_than_those_of_earlier_years_are_refused(world, serve, tmp_path):
    world.add("20210710")
    catalogue = serve(world.items)
    acquire_site(tmp_path, "Pit_1", options(catalogue), bbox=BOX)
    with pytest.raises(
        RecordError, match=r"acquisition\.json: found --months 6,7,8 in earlier years and 5 now"
    ):
        acquire_site(tmp_path, "Pit_1", options(catalogue, months=(5,)), bbox=BOX)
    with pytest.raises(RecordError, match="found another area in earlier years; expected the same"):
        acquire_site(tmp_path, "Pit_1", options(catalogue), bbox=box_of(0, 0, 50, 50))


def test_files_that_no_run_wrote_are_neither_kept_nor_replaced(world, serve, tmp_path):
    world.add("20210710")
    catalogue = serve(world.items)
    site = acquire_site(tmp_path, "Pit_1", options(catalogue), bbox=BOX)
    path = site.folder / "image" / "Year2021.tif"
    with rasterio.open(path) as dataset:
        profile = dataset.profile
    changed = path.read_bytes() + b"changed"
    path.write_bytes(changed)
    with pytest.raises(ArchiveError, match="found a file that has changed since it was acquired"):
        acquire_site(tmp_path, "Pit_1", options(catalogue), bbox=BOX)
    assert path.read_bytes() == changed
    (site.folder / "acquisition.json").unlink()
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(np.ones((10, 60, 80), np.int16))
    with pytest.raises(
        ArchiveError, match="found an image that was not acquired for this site; expected none"
    ):
        acquire_site(tmp_path, "Pit_1", options(catalogue), bbox=BOX)


@pytest.mark.parametrize("kind", [503, 404, "drop"])
def test_faults_that_pass_change_no_byte(world, serve, faults, tmp_path, kind):
    world.add("20210710", clouds=(slice(90, 120), slice(100, 130)))
    world.add("20210715", baseline="05.09")
    catalogue = serve(world.items)
    whole = acquire_site(tmp_path / "whole", "Pit_1", options(catalogue), bbox=BOX)
    faults.kind, faults.every, catalogue.failures = kind, 3, 2
    again = acquire_site(tmp_path / "again", "Pit_1", options(catalogue), bbox=BOX)
    assert faults.failed > 5
    assert not again.notes
    for name in ("image/Year2021.tif", "acquisition.json"):
        assert (again.folder / name).read_bytes() == (whole.folder / name).read_bytes()


RUN = """
import sys
from euromine.acquisition import AcquisitionOptions, acquire_site
options = AcquisitionOptions(years=(2021, 2022, 2023), catalogue=sys.argv[2], margin=0)
acquire_site(sys.argv[1], "Pit_1", options, bbox=tuple(map(float, sys.argv[3:])))
"""


def test_a_killed_run_is_resumed_bit_for_bit(world, serve, faults, tmp_path):
    for day in ("20210710", "20210720", "20220710", "20230710"):
        world.add(day)
    catalogue = serve(world.items)
    whole = acquire_site(tmp_path / "whole", "Pit_1", options(catalogue, 2021, 2022, 2023), bbox=BOX)
    faults.pause = 0.05
    out = tmp_path / "out"
    command = [sys.executable, "-c", RUN, str(out), catalogue.address, *map(str, BOX)]
    with subprocess.Popen(command) as run:
        done = out / "EuroMineNet" / "Pit_1" / "image" / "Year2021.tif"
        draft = done.with_name("_Year2022.tif.draft")
        deadline = time.monotonic() + 60
        while not (done.exists() and draft.exists()) and time.monotonic() < deadline:
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
    assert draft.exists()
    assert not done.with_name("Year2022.tif").exists()
    faults.pause = 0
    first = done.stat().st_mtime_ns
    again = acquire_site(out, "Pit_1", options(catalogue, 2021, 2022, 2023), bbox=BOX)
    assert (again.kept, again.made, done.stat().st_mtime_ns) == ((2021,), (2022, 2023), first)
    expected = {path.relative_to(whole.folder): path.read_bytes() for path in whole.folder.rglob("*.*")}
    assert {
        path.relative_to(again.folder): path.read_bytes() for path in again.folder.rglob("*.*")
    } == expected


def test_an_image_whose_run_was_killed_before_recording_it_is_kept(world, serve, tmp_path):
    world.add("20210710")
    world.add("20220710")
    catalogue = serve(world.items)
    site = acquire_site(tmp_path, "Pit_1", options(catalogue, 2021), bbox=BOX)
    image, record = site.folder / "image" / "Year2022.tif", site.folder / "acquisition.json"
    before = record.read_bytes()
    acquire_site(tmp_path, "Pit_1", options(catalogue, 2021, 2022), bbox=BOX)
    after, time_of_image = record.read_bytes(), image.stat().st_mtime_ns
    record.write_bytes(before)
    again = acquire_site(tmp_path, "Pit_1", options(catalogue, 2021, 2022), bbox=BOX)
    assert again.kept == (2021, 2022)
    assert (record.read_bytes(), image.stat().st_mtime_ns) == (after, time_of_image)


def test_nothing_half_written_stays_when_a_server_ends_in_between(world, serve, faults, tmp_path):
    world.add("20210710")
    faults.always, faults.status = ("swir22.tif",), 503
    with pytest.raises(
        OSError, match=r"B12: .* does not give out the file \(503\)\. Run the same command again"
    ):
        acquire_site(tmp_path / "out", "Pit_1", options(serve(world.items)), bbox=BOX)
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_where_there_is_no_scene_or_no_catalogue(world, serve, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(
        SceneError, match="Pit_1: found no scene of 2021 in months 6, 7, 8; expected at least one"
    ):
        acquire_site(out, "Pit_1", options(serve([])), bbox=BOX)
    with pytest.raises(OSError, match=r"127\.0\.0\.1:9 does not answer as a STAC catalogue does"):
        acquire_site(
            out, "Pit_1", AcquisitionOptions(years=(2021,), catalogue="http://127.0.0.1:9"), bbox=BOX
        )
    with pytest.raises(ArgumentError, match="Pit_1: found no area; expected --bbox or --geometry"):
        acquire_site(out, "Pit_1", options(serve([])))
    cloudy = world.add("20210710")
    with rasterio.open(world.folder / cloudy["id"] / "scl.tif", "r+") as dataset:
        dataset.write(np.full(dataset.shape, 9, np.uint8), 1)
    with pytest.raises(
        SceneError, match=r"found no scene that shows the site in 2021; .* --fill least-cloudy"
    ):
        acquire_site(out, "Pit_1", options(serve(world.items), fill="nodata"), bbox=BOX)
    assert not out.exists()


def test_catalogues_that_answer_something_else_are_named(world, serve, tmp_path):
    catalogue = serve([], "landsat", "sentinel-1-grd")
    with pytest.raises(DataError, match="found the collections landsat, sentinel-1-grd; expected sentinel-2"):
        acquire_site(tmp_path, "Pit_1", options(catalogue), bbox=BOX)
    for body in (b"<html>", b"[]", b'{"type": "Catalog"}', b"\xff\xfe"):
        catalogue.body = body
        with pytest.raises((DataError, OSError), match=r"127\.0\.0\.1:\d+"):
            acquire_site(tmp_path, "Pit_1", options(catalogue), bbox=BOX)


def test_scenes_above_the_atmosphere_are_masked_by_brightness(world, serve, tmp_path):
    world.add("20210710", level="l1c", clouds=(slice(90, 120), slice(100, 130)))
    world.add("20210715", level="l1c")
    world.add("20210720", level="l1c", clouds=(slice(80, 90), slice(90, 170)))
    catalogue = serve(world.items, "sentinel-2-l1c")
    site = acquire_site(tmp_path, "Pit_1", options(catalogue, level="l1c"), bbox=BOX)
    with rasterio.open(site.folder / "image" / "Year2021.tif") as dataset:
        assert dataset.tags()["PROCESSING_LEVEL"] == "L1C"
        image = dataset.read(1)
    assert image[:40, 20:40].max() < 5000  # the clouds' 7000 are gone


@pytest.fixture
def rustac(tmp_path):
    """Serve items by rustac's STAC API."""
    running = []

    def served(items):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
        program = shutil.which("rustac", path=str(sys.prefix) + "/bin") or "rustac"
        running.append(
            subprocess.Popen(
                [program, "serve", "--create-collections", "-a", address, str(tmp_path / "items.json")],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        host, port = address.split(":")
        for _ in range(200):
            try:
                socket.create_connection((host, int(port))).close()
                return f"http://{address}"
            except OSError:
                time.sleep(0.05)
        raise AssertionError("rustac does not answer")

    yield served
    for each in running:
        each.kill()
        each.wait()


def test_another_servers_catalogue_gives_the_same_image(world, serve, rustac, tmp_path):
    world.add("20210710")
    world.add("20210720", baseline="05.09")
    world.add("20220710")
    ours = acquire_site(tmp_path / "ours", "Pit_1", options(serve(world.items)), bbox=BOX)
    address = rustac(world.items)
    theirs = acquire_site(
        tmp_path / "theirs", "Pit_1", AcquisitionOptions(years=(2021,), catalogue=address, margin=0), bbox=BOX
    )
    np.testing.assert_array_equal(pixels(theirs, 2021), pixels(ours, 2021))
