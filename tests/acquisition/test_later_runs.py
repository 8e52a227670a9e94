"""Later runs of a site: the options of its record, years to renew, and images without their record."""

import json
from dataclasses import replace

import pytest
import rasterio

from euromine.acquisition import AcquisitionOptions, acquire_site, read_acquisition, site_acquisition
from euromine.acquisition.dry_run import describe_acquisition
from euromine.support.errors import ArchiveError, ArgumentError, RecordError
from euromine.support.records import write_record

from .small_world import box_of

BOX = box_of(90, 80, 40, 30)


@pytest.fixture
def acquire(serve, world, tmp_path):
    """Acquire Pit_1; later runs give no option but the years."""
    catalogue = serve(world.items)

    def run(*years, **others):
        there = (tmp_path / "EuroMineNet" / "Pit_1" / "acquisition.json").exists()
        first = {} if there else {"catalogue": catalogue.address, "margin": 20, "months": (7,), "scenes": 3}
        options = AcquisitionOptions(years=years or (2021,), **(first | others))
        return acquire_site(tmp_path, "Pit_1", options, bbox=None if there else BOX)

    run.catalogue = catalogue
    return run


def image(site, year=2021):
    return (site.folder / "image" / f"Year{year}.tif").read_bytes()


def test_a_later_year_has_the_options_of_the_record(world, acquire):
    world.add("20210710")
    world.add("20220710")
    world.add("20220810")  # outside of the first run's months
    before = read_acquisition(acquire(2021, fill="nodata").folder)
    site = acquire(2022)
    record = read_acquisition(site.folder)
    assert (record.settings, record.catalogue) == (before.settings, acquire.catalogue.address)
    assert (record.settings.margin, record.settings.months, record.settings.fill) == (20, (7,), "nodata")
    assert [item.id for item in record.years["2022"].items] == ["S2A_33TWN_20220710_0_L2A"]
    with pytest.raises(RecordError, match=r"found --margin 20 in earlier years and 500 now.* Leave the"):
        acquire(2022, margin=500.0)
    older = replace(record, catalogue=None)  # as before the catalogue was recorded
    write_record(site.folder / "acquisition.json", older)
    assert AcquisitionOptions(years=(2023,)).completed(older).catalogue == "earth-search"


def test_a_season_that_goes_on_is_renewed_with_its_later_scenes(world, acquire):
    world.add("20210705")
    first = acquire(2021)
    assert acquire(2021).renewable == ()
    world.add("20210725")
    world.add("20210702")  # published late: an earlier scene alone makes no new season
    kept = acquire(2021)
    assert (kept.kept, kept.renewable, image(kept)) == ((2021,), (2021,), image(first))
    assert kept.notes[0] == "2021: a scene of 2021-07-25 is new in the catalogue."
    renewed = acquire(2021, renew=True)
    assert renewed.made == (2021,)
    used = [item.time[:10] for item in read_acquisition(renewed.folder).years["2021"].items]
    assert sorted(used) == ["2021-07-02", "2021-07-05", "2021-07-25"]
    assert acquire(2021, renew=True).kept == (2021,)


def test_a_year_whose_scene_could_not_be_read_is_kept_until_it_is_renewed(
    world, acquire, faults, tmp_path, caplog
):
    world.add("20210710")
    gone = world.add("20210715")
    wrong = world.add("20210720", baseline="05.09", is_added=False)
    world.add("20220710")
    faults.always = (f"{gone['id']}/nir08.tif",)
    first = acquire(2021, 2022)
    before = [image(first, year) for year in (2021, 2022)]
    assert read_acquisition(first.folder).years["2021"].unread == (gone["id"],)
    faults.always = ()
    caplog.clear()
    kept = acquire(2021, 2022)
    assert (kept.kept, kept.renewable, image(kept)) == ((2021, 2022), (2021,), before[0])
    assert [note for note in kept.notes if "2021" in note] == [
        f"2021: {gone['id']} could not be read when the image was composed.",
        "2021: kept, although composites of today would differ. Compose again with --renew.",
    ]
    assert wrong["id"] not in caplog.text  # its numbers are as they were
    renewing = AcquisitionOptions(years=(2021, 2022), renew=True)
    dry = describe_acquisition(tmp_path, "Pit_1", renewing, None)
    assert f"2021: {gone['id']} could not be read when" in dry
    assert "2021-07-15" in dry
    assert "2022: is complete and will be kept.\n" in dry + "\n"
    renewed = acquire(2021, 2022, renew=True)
    assert (renewed.made, renewed.kept, renewed.renewable) == ((2021,), (2022,), ())
    assert image(renewed) != before[0]
    assert image(renewed, 2022) == before[1]
    record = read_acquisition(renewed.folder).years["2021"]
    assert {item.id for item in record.items} == {"S2A_33TWN_20210710_0_L2A", gone["id"]}
    assert record.unread == ()
    assert acquire(2021).renewable == ()


def test_a_reprocessed_year_is_renewed_and_a_dropped_one_is_never_lost(world, acquire):
    item = world.add("20210710")
    acquire()
    anew = json.loads(json.dumps(item).replace("03.01", "03.02").replace("N0301", "N0302"))
    acquire.catalogue.items.append(anew)
    assert acquire().renewable == (2021,)
    renewed = acquire(renew=True)
    assert renewed.made == (2021,)
    before = image(renewed)
    assert [used.baseline for used in read_acquisition(renewed.folder).years["2021"].items] == ["03.02"]
    acquire.catalogue.items.clear()
    dropped = acquire(renew=True)
    assert (dropped.made, dropped.kept) == ((), (2021,))
    assert dropped.notes[0].startswith("2021: no scene of months 7 in ")
    assert dropped.notes[0].endswith("; its image is kept.")
    assert image(dropped) == before


def test_a_renewal_that_is_killed_leaves_the_old_image_or_the_new(world, acquire, faults, monkeypatch):
    world.add("20210710")
    gone = world.add("20210715")
    faults.always = (f"{gone['id']}/nir08.tif",)
    old = image(acquire())
    faults.always = ()

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # killed between the new image and its record
        patch.setattr(site_acquisition._Acquisition, "_keep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            acquire(renew=True)
    resumed = acquire(renew=True)
    assert resumed.kept == (2021,)
    assert image(resumed) != old
    assert len(read_acquisition(resumed.folder).years["2021"].items) == 2


@pytest.mark.parametrize("place", ["pixels", "compressed"])
def test_a_changed_image_without_its_record_is_not_adopted(world, acquire, place):
    world.add("20210710")
    site = acquire()
    path = site.folder / "image" / "Year2021.tif"
    whole = (path.read_bytes(), (site.folder / "acquisition.json").read_bytes())
    assert len(read_acquisition(site.folder).years["2021"].pixels) == 32
    (site.folder / "acquisition.json").unlink()
    if place == "pixels":
        with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
            pixels = dataset.read()
            pixels[3, 4, 5] += 1
            dataset.write(pixels)
        words = "found pixels that have changed since they were acquired"
    else:
        at = len(whole[0]) - 4000
        path.write_bytes(whole[0][:at] + bytes([whole[0][at] ^ 1]) + whole[0][at + 1 :])
        words = "damaged or no GeoTIFF|found pixels that have changed"
    with pytest.raises(ArchiveError, match=words):
        acquire()
    path.write_bytes(whole[0])
    assert acquire().kept == (2021,)
    assert (site.folder / "acquisition.json").read_bytes() == whole[1]


def test_a_record_with_another_grid_than_the_images_is_refused(world, acquire):
    for day in ("20210710", "20220710"):
        world.add(day)
    site = acquire(2021)
    before, record = image(site), read_acquisition(site.folder)
    path = site.folder / "acquisition.json"
    write_record(path, replace(record, grid=replace(record.grid, width=record.grid.width - 2)))
    for years in ((2021,), (2022,)):
        with pytest.raises(
            RecordError, match=r"Year2021.tif: found another grid than that in acquisition.json"
        ):
            acquire(*years)
    assert image(site) == before
    assert [each.name for each in (site.folder / "image").iterdir()] == ["Year2021.tif"]


def test_a_site_whose_name_differs_in_case_alone_is_refused(world, acquire, tmp_path):
    world.add("20210710")
    acquire()
    with pytest.raises(ArgumentError, match=r"site: found 'PIT_1' beside 'Pit_1' in .*EuroMineNet; expected"):
        acquire_site(tmp_path, "PIT_1", AcquisitionOptions(years=(2021,)), bbox=BOX)
