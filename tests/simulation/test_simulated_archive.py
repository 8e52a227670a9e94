"""The simulated archive: like the real one in what is published of it, and reproducible to the byte."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from euromine.dataset_script.archive import Archive, is_simulated_image
from euromine.dataset_script.archive_bands import BANDS
from euromine.dataset_script.site_facts import SiteFacts, read_site_facts
from euromine.dataset_script.splits import assign_splits
from euromine.simulation import simulated_archive, spectra
from euromine.simulation.mines import FIRST_YEAR
from euromine.simulation.simulated_archive import simulate_archive, site_names
from euromine.simulation.simulated_site import LABEL_REACH, SimulatedSite, simulate_site
from euromine.simulation.spectra import MEASURED, LandCover
from euromine.support.errors import BusyError
from euromine.support.files import torn_file_error
from euromine.support.locks import lock_folder

TWENTY_METRES = ("B05", "B06", "B07", "B8A", "B11", "B12")
MINE = {
    "BENCH",
    "PIT_FLOOR",
    "DUMP",
    "VEGETATED_DUMP",
    "TAILINGS",
    "WET_TAILINGS",
    "PIT_WATER",
    "HAUL_ROAD",
    "YARD",
    "STOCKPILE",
    "MINE_BUILDING",
}


@pytest.fixture(scope="module")
def sites() -> dict[str, SimulatedSite]:
    """Twelve sites of ten years."""
    return {name: simulate_site(name, height=200, width=200, seed=0) for name in site_names(12)}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small archive, written by one process without interruption; not to be written to."""
    return make(tmp_path_factory.mktemp("simulated") / "archive")


def make(path: Path, **arguments: object) -> Path:
    defaults: dict = {"sites": 3, "years": [2016, 2018], "size": (65, 48), "seed": 5, "workers": 1}
    return simulate_archive(path, progress=False, **(defaults | arguments))


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder by its path, and every empty folder."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b""
        for path in sorted(root.rglob("*"))
        if path.is_file() or not any(path.iterdir())
    }


def smoothness(image: np.ndarray) -> np.ndarray:
    """Mean squared step between neighbouring pixels over the variance, for each band."""
    values = image.astype(float)
    steps = (np.diff(values, axis=-1) ** 2).mean((-1, -2)) + (np.diff(values, axis=-2) ** 2).mean((-1, -2))
    return steps / 2 / values.var(axis=(-1, -2))


# What the paper and the release publish


def test_footprints_cover_and_change_about_as_much_as_in_the_papers_tables(sites):
    labels = np.stack([site.labels for site in sites.values()]).astype(bool)
    before = labels[:, :-1].sum()
    assert labels.mean() == pytest.approx(0.19, abs=0.04)
    assert (labels[:, 1:] & ~labels[:, :-1]).sum() / before == pytest.approx(0.028, abs=0.008)
    assert (labels[:, :-1] & ~labels[:, 1:]).sum() / before == pytest.approx(0.019, abs=0.007)


def test_band_means_and_deviations_are_near_the_published_ones(sites):
    published_mean = [1090, 1004, 913, 1158, 1956, 2314, 2250, 2552, 1921, 1186]
    published_std = [311, 366, 545, 499, 612, 786, 787, 872, 871, 752]  # times the sqrt(2) that was lost
    images = np.stack([site.images for site in sites.values()]).astype(np.float64)
    np.testing.assert_allclose(images.mean((0, 1, 3, 4)), published_mean, rtol=0.15)
    np.testing.assert_allclose(images.std((0, 1, 3, 4)), published_std, rtol=0.35)


def test_a_logistic_regression_on_the_bands_stays_under_three_quarters_on_held_out_sites(sites):
    linear_model = pytest.importorskip("sklearn.linear_model")
    metrics = pytest.importorskip("sklearn.metrics")
    training = assign_splits(sites, "corrected")["train"]
    drawn = np.random.default_rng(0).integers(0, 200 * 200, 2000)

    def pixels(names):
        chosen = [
            (sites[name].images[year], sites[name].labels[year]) for name in names for year in (1, 5, 8)
        ]
        images = np.concatenate([image.reshape(10, -1)[:, drawn].T for image, _ in chosen]).astype(float)
        return images, np.concatenate([label.ravel()[drawn] for _, label in chosen])

    images, labels = pixels(training)
    held_out, expected = pixels(set(sites) - set(training))
    mean, std = images.mean(0), images.std(0)
    model = linear_model.LogisticRegression(max_iter=1000).fit((images - mean) / std, labels)
    score = metrics.f1_score(expected, model.predict((held_out - mean) / std))
    assert 0.4 < score < 0.75


def test_bands_of_20_m_are_smoother_than_those_of_10_m(sites):
    rough = np.mean([smoothness(site.images[3]) for site in sites.values()], axis=0)
    by_band = dict(zip(BANDS, rough, strict=True))
    assert by_band["B8A"] < 0.8 * by_band["B08"]
    assert by_band["B05"] < 0.8 * by_band["B04"]
    assert max(by_band[band] for band in TWENTY_METRES) < min(
        by_band[b] for b in set(BANDS) - set(TWENTY_METRES)
    )


def test_texture_is_as_rough_as_in_real_scenes(sites, real_data):
    real = []
    for path in sorted((real_data / "real" / "terramind_examples" / "S2L1C").glob("*.tif")):
        with rasterio.open(path, driver="GTiff") as dataset:
            # All but B01, B09 and B10.
            real.append(smoothness(dataset.read([2, 3, 4, 5, 6, 7, 8, 9, 12, 13])))
    simulated = np.mean([smoothness(site.images[3]) for site in sites.values()], axis=0)
    assert (simulated > 0.5 * np.min(real, axis=0)).all()
    assert (simulated < 1.5 * np.max(real, axis=0)).all()


# What a scene shows


def test_labels_stray_from_the_truth_near_its_borders_only(sites):
    strayed = 0
    window = 2 * LABEL_REACH + 1
    for site in sites.values():
        for label, truth in zip(site.labels, site.truth, strict=True):
            far_from_border = ndimage.maximum_filter(truth, window) == ndimage.minimum_filter(truth, window)
            assert (label == truth)[far_from_border].all()
            strayed += int((label != truth).sum())
    footprint = sum(int(site.truth.sum()) for site in sites.values())
    assert 0.005 * footprint < strayed < 0.1 * footprint


def test_annotators_redraw_a_little_of_a_border_that_did_not_move(sites):
    flips = still = 0
    for site in sites.values():
        for year in range(9):
            changes = site.truth[year] != site.truth[year + 1]
            moved = ndimage.maximum_filter(changes, 2 * LABEL_REACH + 1)
            border = ndimage.morphological_gradient(site.truth[year], 3) > 0
            changed = site.labels[year] != site.labels[year + 1]
            flips += int((changed & border & ~moved).sum())
            still += int((border & ~moved).sum())
    assert 0 < flips < 0.15 * still


def test_each_pixel_opens_once_and_closes_once_at_most(sites):
    for site in sites.values():
        steps = np.diff(site.truth.astype(np.int8), axis=0)
        assert ((steps == 1).sum(axis=0) <= 1).all()
        assert ((steps == -1).sum(axis=0) <= 1).all()
        assert not (site.truth[0] & (steps == 1).any(axis=0)).any()


def test_mines_grow_at_their_fronts(sites):
    near = opened = 0
    for site in sites.values():
        for before, after in zip(site.truth, site.truth[1:], strict=False):
            distance = ndimage.distance_transform_edt(before == 0)
            near += int((distance[after > before] <= 6).sum())
            opened += int((after > before).sum())
    assert opened > 0
    assert near > 0.9 * opened


def test_now_and_then_a_whole_pit_is_reclaimed(sites):
    given_up = 0
    for site in sites.values():
        for before, after in zip(site.truth, site.truth[1:], strict=False):
            pits, count = ndimage.label(before)
            size = np.bincount(pits.ravel(), minlength=count + 1)[1:]
            left = np.bincount(pits.ravel(), after.ravel(), count + 1)[1:]
            given_up += int(((size > 40) & (left == 0)).sum())
    assert 1 <= given_up <= 12


def test_mine_covers_lie_inside_the_true_footprint_and_nowhere_else(sites):
    seen: set[int] = set()
    inside = np.isin(np.arange(256), [LandCover[name] for name in MINE])
    for site in sites.values():
        assert (inside[site.classes] == site.truth.astype(bool)).all()
        seen |= set(np.unique(site.classes).tolist())
    # A farm track is narrower than a pixel, so it never is what a pixel shows.
    assert seen == {int(cover) for cover in LandCover} - {LandCover.TRACK}


def test_closed_ground_becomes_reclaimed_land_that_turns_green(sites):
    young, old = [], []
    for site in sites.values():
        red, infrared = (site.images[:, BANDS.index(band)].astype(float) for band in ("B04", "B08"))
        index = (infrared - red) / (infrared + red)
        closed = (site.truth[1] == 1) & (site.truth[2] == 0)
        assert np.isin(site.classes[2][closed], [LandCover.RECLAIMED, LandCover.ROAD]).all()
        if closed.sum() > 50:
            young.append(index[2][closed].mean() - index[1][closed].mean())
            old.append(index[9][closed].mean() - index[1][closed].mean())
    assert np.mean(old) > np.mean(young) + 0.1


def test_other_fields_lie_bare_every_year(sites):
    for site in sites.values():
        bare = site.classes == LandCover.BARE_FIELD
        assert bare.any(axis=(1, 2)).all()
        always = bare.all(axis=0).sum()
        assert always < 0.2 * bare.any(axis=0).sum()


def test_bare_land_outside_the_mine_looks_like_bare_land_inside(sites):
    # Were it not so, a threshold would find the mines.
    distances = []
    for site in sites.values():
        image = site.images[4].astype(float)
        field = image[:, site.classes[4] == LandCover.BARE_FIELD]
        dump = image[:, site.classes[4] == LandCover.DUMP]
        distances.append(np.abs(field.mean(1) - dump.mean(1)) / (field.std(1) + dump.std(1)))
    assert np.nanmean(distances) < 1


# Reproducibility


def test_the_same_arguments_give_the_same_arrays_and_another_seed_others():
    one, same, other = (simulate_site("Spain_3", height=70, width=50, seed=seed) for seed in (1, 1, 2))
    for name in ("images", "labels", "truth", "classes"):
        assert (getattr(one, name) == getattr(same, name)).all()
        assert (getattr(one, name) != getattr(other, name)).any()
    assert one.transform == same.transform


def test_a_site_of_fewer_years_is_a_slice_of_the_site_of_more():
    long = simulate_site("Poland_5", years=range(2015, 2023), height=90, width=80, seed=3)
    short = simulate_site("Poland_5", years=(2016, 2019), height=90, width=80, seed=3)
    assert short.years == (2016, 2019)
    for name in ("images", "labels", "truth", "classes"):
        assert (getattr(short, name) == getattr(long, name)[[1, 4]]).all()


def test_neither_the_processes_nor_the_other_sites_matter(archive, tmp_path):
    names = site_names(3)
    assert contents(make(tmp_path / "two", workers=2)) == contents(archive)
    alone = contents(make(tmp_path / "alone", sites=names[1:2]))
    everyone = contents(archive)
    site_files = {
        path for path in everyone if names[1] in Path(path).parts or path.endswith(f"{names[1]}.npz")
    }
    assert len(site_files) == 6  # two images, two labels, the mark and the truth
    assert {path: alone[path] for path in site_files} == {path: everyone[path] for path in site_files}


def test_complete_sites_are_kept_and_missing_ones_are_made_again(archive, tmp_path):
    root = make(tmp_path / "archive", sites=2)
    kept = root / "EuroMineNet" / site_names(1)[0] / "image" / "Year2016.tif"
    stamp = kept.stat().st_mtime_ns
    (kept.parents[1] / "site.json").unlink()  # as earlier versions left a site
    (root / ".partial" / "Austria_1-17").mkdir(parents=True)
    (root / ".partial" / "Austria_1-17" / "truth.npz").write_bytes(b"half")
    assert contents(make(root)) == contents(archive)
    assert kept.stat().st_mtime_ns == stamp


def test_a_site_that_is_copied_from_its_archive_is_still_simulated(archive, tmp_path):
    site = shutil.copytree(archive / "EuroMineNet" / site_names(1)[0], tmp_path / "mines" / "Mine_1")
    assert is_simulated_image(site / "image" / "Year2016.tif")
    assert Archive(tmp_path / "mines").simulated
    facts = read_site_facts(site, "site.json")
    assert facts == SiteFacts(simulated=True)


def test_a_killed_run_started_again_ends_in_the_same_bytes(archive, tmp_path):
    code = (
        "import sys; from euromine.simulation.simulated_archive import simulate_archive\n"
        "if __name__ == '__main__':\n"
        "    simulate_archive(sys.argv[1], sites=3, years=[2016, 2018], size=(65, 48), seed=5, workers=2)"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    root = tmp_path / "archive"
    run = subprocess.Popen([sys.executable, script, root], stderr=subprocess.DEVNULL)
    while run.poll() is None and not any((root / "EuroMineNet").glob("*_*")):
        time.sleep(0.002)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert contents(make(root)) == contents(archive)


# The archive on disk


def test_plain_rasterio_reads_what_was_simulated(archive):
    for name in site_names(3):
        site = simulate_site(name, years=[2016, 2018], height=65, width=48, seed=5)
        truth = np.load(archive / "truth" / f"{name}.npz")
        assert (truth["truth"] == site.truth).all()
        assert (truth["classes"] == site.classes).all()
        assert truth["years"].tolist() == [2016, 2018]
        for index, year in enumerate((2016, 2018)):
            folder = archive / "EuroMineNet" / name
            with rasterio.open(folder / "image" / f"Year{year}.tif") as image:
                assert (image.count, image.dtypes[0], image.crs.to_string()) == (10, "int16", "EPSG:4326")
                assert tuple(image.transform)[:6] == pytest.approx(site.transform)
                assert (image.read() == site.images[index]).all()
            with rasterio.open(folder / "label" / f"Year{year}.tif") as label:
                assert (label.count, label.dtypes[0], label.crs) == (1, "uint8", None)
                assert (label.read(1) == 255 * site.labels[index]).all()


def test_the_archive_shows_its_sites_and_not_the_truth(archive):
    sites = Archive(archive).sites
    assert set(sites) == set(site_names(3))
    assert {site.years for site in sites.values()} == {(2016, 2018)}


def test_the_splits_file_lists_every_site_once(tmp_path):
    names = [*site_names(2), "France_1"]
    root = make(tmp_path / "archive", sites=names, years=[2015], size=(4, 4))
    assigned = assign_splits(Archive(root).sites, root / "splits.json")
    assert sorted(site for sites in assigned.values() for site in sites) == sorted(names)
    published = assign_splits(names[:2], "corrected")
    assert all(set(published[split]) <= set(assigned[split]) for split in published)


def test_images_lie_in_the_country_of_their_site_on_pixels_of_ten_metres():
    # Latitude and longitude of each country's own borders, in whole degrees.
    borders = {"Portuga_4": (36, 43, -10, -6), "Finland_2": (59, 71, 20, 32), "Greece_1": (34, 42, 19, 30)}
    for name, (south, north, west, east) in borders.items():
        step, _, longitude, _, minus_step, latitude = simulate_site(name, height=4, width=4, seed=9).transform
        assert south < latitude < north
        assert west < longitude < east
        assert step == -minus_step
        assert step * 111_195 == pytest.approx(10, rel=0.01)  # a degree on a sphere of 6371 km


# Names


def test_eight_sites_fall_into_five_one_and_two():
    splits = assign_splits(site_names(8), "corrected")
    assert [len(splits[split]) for split in ("train", "validation", "test")] == [5, 1, 2]


def test_the_first_few_sites_already_fill_every_split():
    assert all(assign_splits(site_names(4), "corrected").values())


def test_132_sites_are_the_benchmarks_own_and_more_are_new():
    own = site_names(132)
    assert sum(len(sites) for sites in assign_splits(own, "corrected").values()) == len(set(own)) == 132
    more = site_names(150)
    assert more[:132] == own
    assert len(set(more)) == 150


# Odd sizes, late years


@settings(max_examples=12, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 99))
def test_a_scene_has_any_size_from_one_pixel_up(height, width, seed):
    site = simulate_site("Romania_2", years=[2015, 2017], height=height, width=width, seed=seed)
    assert site.images.shape == (2, 10, height, width)
    assert site.images.dtype == np.int16
    assert site.images.min() > 0
    assert site.labels.shape == site.truth.shape == site.classes.shape == (2, height, width)
    assert set(np.unique(site.labels)) <= {0, 1}


def test_a_mine_never_swallows_its_scene():
    site = simulate_site("Romania_2", years=[2015, 2115], height=60, width=60, seed=0)
    assert 0.1 < site.truth[1].mean() < 0.8


# What is wrong is said in a sentence


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"years": []}, "years: found none"),
        ({"years": [2018, 2016]}, "years: found 2018, 2016; expected ascending years"),
        ({"years": [2016, 2016]}, "ascending"),
        ({"years": [2014, 2015]}, f"expected years from {FIRST_YEAR}"),
        ({"years": [2015, 2999]}, "years: found 2015 to 2999; expected years from"),
        ({"size": (0, 10)}, "size: found 0 x 10 pixels"),
        ({"seed": -1}, "seed: found -1"),
        ({"sites": 0}, "sites: found 0; expected at least 1"),
        ({"sites": []}, "sites: found no names"),
        ({"sites": ["../Spain_1"]}, "name: found '../Spain_1'"),
        ({"sites": ["Spain_1", "Spain_1"]}, "sites: found Spain_1 more than once"),
        ({"workers": 0}, "workers: found 0"),
    ],
)
def test_wrong_arguments_are_answered_with_a_sentence(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make(tmp_path / "archive", **arguments)
    assert not (tmp_path / "archive").exists()


def test_a_folder_of_another_simulation_is_left_alone(archive, tmp_path):
    before = contents(archive)
    with pytest.raises(ValueError, match=r"simulation\.json: found a simulation with "):
        make(archive, seed=6)
    with pytest.raises(ValueError, match="found sites besides the requested ones"):
        make(archive, sites=1)
    assert contents(archive) == before


@pytest.mark.parametrize("file", ["build.json", "Spain_1/image/Year2015.tif"])
def test_a_dataset_and_the_folder_of_sites_are_not_written_into(tmp_path, file):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    with pytest.raises(ValueError, match=r"path: found .*; expected a folder apart from the data"):
        make(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")] == [file]


@pytest.mark.parametrize("text", ["{", "[]", '{"version": "1"}', '{"version": 1, "height": 160}'])
def test_a_damaged_record_of_a_simulation_is_a_sentence(tmp_path, text):
    (tmp_path / "simulation.json").write_text(text)
    with pytest.raises(ValueError, match=r"simulation\.json: found .*; expected .*\. Choose a new folder\."):
        make(tmp_path)
    assert (tmp_path / "simulation.json").read_text() == text


def test_a_real_archive_is_not_written_into(tmp_path):
    (tmp_path / "EuroMineNet" / "Spain_1").mkdir(parents=True)
    with pytest.raises(ValueError, match="found an archive that was not simulated"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["EuroMineNet"]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match="taken: found a file"):
        make(tmp_path / "taken")


def test_arrays_need_neither_rasterio_nor_torch():
    code = (
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'rasterio', 'torch', 'datasets', 'sklearn', 'pandas'}:\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
        "from euromine.simulation.simulated_site import simulate_site\n"
        "print(simulate_site('Italy_1', years=[2015], height=8, width=9, seed=0).images.shape)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "(1, 10, 8, 9)"


# The spectra are the measured ones


def test_library_spectra_are_those_of_the_real_tables(real_data):
    library = json.loads((real_data / "real" / "class_stats.json").read_text())
    assert tuple(library["bands"]) == BANDS
    names = {
        "gravel": "bare/gravel",
        "soil": "bare/soil",
        "dirt": "bare/dirt",
        "road": "built/road",
        "concrete": "built/sidewalk",
        "tile": "built/tile",
        "shingle": "built/comp_shingle",
        "metal": "built/metal",
        "char": "burned/char",
        "stubble": "npv/npv",
        "litter": "npv/litter",
    }
    for ours, theirs in names.items():
        np.testing.assert_allclose(MEASURED[ours].mean, library["classes"][theirs]["mean"], atol=6e-4)
        np.testing.assert_allclose(MEASURED[ours].std, library["classes"][theirs]["std"], atol=6e-4)


def test_mine_spectra_are_those_of_the_real_tables(real_data):
    mines = json.loads((real_data / "real" / "real_mine_spectra.json").read_text())
    surface = mines["mine_surface_amazon_gold"]
    measured = [BANDS.index(band) for band in surface["bands"]]
    np.testing.assert_allclose(
        np.array(MEASURED["mine_surface"].mean)[measured], np.array(surface["mean_dn"]) / 1e4, atol=6e-4
    )
    np.testing.assert_allclose(
        MEASURED["tailings"].mean[:3], mines["tailings_brazil"]["mean_reflectance"], atol=6e-4
    )


def test_plant_soil_and_water_spectra_are_those_of_real_scenes(real_data):
    def read(path):
        with rasterio.open(real_data / path, driver="GTiff") as dataset:
            return dataset.read().astype(float) / 1e4

    def level_2(tile):
        return read(f"real/terramind_examples/S2L2A/{tile}.tif")[[1, 2, 3, 4, 5, 6, 7, 8, 10, 11]]

    def vegetation(image):
        return (image[6] - image[2]) / (image[6] + image[2] + 1e-13)

    def wet(image):
        return (image[1] - image[8]) / (image[1] + image[8] + 1e-13)

    france = read("real_archive/EuroMineNet/France_1/image/Year2018.tif")
    # The Chilean scene still carries the offset of processing baseline 04.00.
    chile = level_2("433D_629L_3_1") - 0.1
    denmark, kenya, brazil = (level_2(tile) for tile in ("637U_59R_1_3", "38D_378R_2_3", "282D_485L_3_3"))
    cover = np.rint(1e4 * read("real/terramind_examples/LULC/433D_629L_3_1.tif")[0])
    open_land, green = cover != 2, vegetation(chile)
    chosen = {
        "broadleaf": france[:, vegetation(france) > 0.8],
        "trees": chile[:, cover == 2],
        "meadow": chile[:, open_land & (green > 0.7)],
        "dry_grass": chile[:, open_land & (green > 0.4) & (green < 0.6)],
        "brown_soil": chile[:, (cover == 4) & (green < 0.3) & (wet(chile) < 0)],
        "crop": denmark[:, vegetation(denmark) > 0.8],
        "grey_soil": denmark[:, (vegetation(denmark) < 0.25) & (wet(denmark) < 0) & (denmark[2] < 0.2)],
        "red_soil": kenya[:, vegetation(kenya) < 0.25],
        "riverbed": kenya[:, kenya[2] > 0.25],
        "beach": brazil[:, (vegetation(brazil) < 0.2) & (wet(brazil) < -0.05) & (brazil[2] > 0.25)],
        "water": brazil[:, (wet(brazil) > 0.2) & (brazil[6] < 0.06)],
    }
    for name, pixels in chosen.items():
        np.testing.assert_allclose(MEASURED[name].mean, pixels.mean(axis=1), atol=6e-4, err_msg=name)
        np.testing.assert_allclose(MEASURED[name].std, pixels.std(axis=1), atol=6e-4, err_msg=name)


def test_the_air_is_what_lies_between_real_l1c_and_l2a_scenes(real_data):
    for air, tile, offset in (
        (spectra.CLEAR_AIR, "433D_629L_3_1", 1000),
        (spectra.HAZY_AIR, "637U_59R_1_3", 0),
    ):
        folder = real_data / "real" / "terramind_examples"
        with rasterio.open(folder / "S2L1C" / f"{tile}.tif", driver="GTiff") as dataset:
            above = (dataset.read([2, 3, 4, 5, 6, 7, 8, 9, 12, 13]) - float(offset)) / 1e4
        with rasterio.open(folder / "S2L2A" / f"{tile}.tif", driver="GTiff") as dataset:
            below = (dataset.read([2, 3, 4, 5, 6, 7, 8, 9, 11, 12]) - float(offset)) / 1e4
        fits = [np.polyfit(b.ravel(), a.ravel(), 1) for a, b in zip(above, below, strict=True)]
        np.testing.assert_allclose(air.gain, [gain for gain, _ in fits], atol=6e-4)
        np.testing.assert_allclose(air.path, [path for _, path in fits], atol=6e-4)


def test_every_land_cover_is_made_of_measured_spectra():
    recipes = {**spectra.SURFACES, **{cover: recipe[2] for cover, recipe in spectra.LOCAL_SURFACES.items()}}
    assert set(recipes) == set(LandCover)
    for surface in recipes.values():
        assert set(surface.mixture) <= set(MEASURED)
    for mixture, _ in spectra.ROCKS.values():
        assert sum(mixture.values()) == pytest.approx(1)
        assert set(mixture) <= set(MEASURED)


def test_two_simulations_into_one_folder_exclude_each_other(tmp_path: Path) -> None:
    root = tmp_path / "simulated"
    with lock_folder(root), pytest.raises(BusyError, match=f"^{root}: found another run at work"):
        simulate_archive(root, sites=["Austria_1"], years=[2015], size=(160, 160), workers=1, progress=False)
    assert not root.exists()


def test_an_interrupted_simulation_leaves_no_unfinished_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(root: Path, name: str, **_: Any) -> None:
        assert (root / "truth.npz").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(simulated_archive, "write_site", interrupt)
    with pytest.raises(KeyboardInterrupt):
        simulate_archive(
            tmp_path, sites=["Austria_1"], years=[2015], size=(160, 160), workers=1, progress=False
        )
    assert not list(tmp_path.glob(".*"))
    assert not list((tmp_path / "EuroMineNet").iterdir())


def test_a_site_that_does_not_fit_on_the_disk_is_named_by_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(root: Path, name: str, **_: Any) -> None:
        raise torn_file_error(root / f".{name}.partial" / "image" / "Year2015.tif")

    monkeypatch.setattr(simulated_archive, "write_site", fail)
    expected = rf"^{tmp_path}/EuroMineNet/Austria_1: could not be written in full"
    with pytest.raises(OSError, match=expected):
        simulate_archive(
            tmp_path, sites=["Austria_1"], years=[2015], size=(160, 160), workers=1, progress=False
        )
