"""Simulated components and radar: every class in its place and of its size, and speckle as measured."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy import ndimage

from euromine.dataset_script.component_files import read_components
from euromine.dataset_script.label_groups import COMPONENT_CLASSES, annual_label
from euromine.dataset_script.site_facts import MATERIALS, MINE_TYPES
from euromine.simulation.backscatter_drawing import (
    ASSUMED_MEANS,
    BARE,
    BUILT,
    CROPS,
    FOREST,
    MEASURED_MEANS,
    RANGELAND,
    WATER,
    speckle,
)
from euromine.simulation.component_mines import draw_facts, make_component_mines
from euromine.simulation.landscape import REGIONS, Grid, make_landscape
from euromine.simulation.painting import Painter
from euromine.simulation.simulated_archive import simulate_archive, site_names
from euromine.simulation.simulated_site import SimulatedSite, simulate_site
from euromine.simulation.spectra import LandCover
from euromine.support.errors import ArchiveError

SIZE = {"height": 150, "width": 140, "seed": 0}
BIT = {name: 1 << place for place, name in enumerate(COMPONENT_CLASSES)}


def has(bits: np.ndarray, name: str) -> np.ndarray:
    return (bits & BIT[name]) > 0


@pytest.fixture(scope="module")
def sites() -> dict[str, SimulatedSite]:
    """Six sites of three years with components and radar."""
    years = (2015, 2019, 2020)
    return {
        name: simulate_site(name, years=years, components=True, radar=True, **SIZE) for name in site_names(6)
    }


def test_every_class_is_there_with_its_share(sites):
    bits = np.stack([site.components for site in sites.values()])
    total = (bits > 0).sum()
    shares = {name: has(bits, name).sum() / total for name in COMPONENT_CLASSES}
    assert all(share > 0.002 for share in shares.values()), shares
    assert shares["excavation"] == max(shares.values())
    assert 0.3 < shares["excavation"] < 0.7
    assert 0.1 < shares["dumping_ground"] < 0.45


def test_the_label_is_the_total_area_of_the_components(sites):
    for site in sites.values():
        np.testing.assert_array_equal(annual_label(site.components), site.labels)


def test_haul_roads_are_two_to_three_pixels_wide(sites):
    roads = np.stack([has(site.components, "transport_slope") for site in sites.values()]).reshape(
        -1, 150, 140
    )
    kept = {
        side: sum(ndimage.binary_opening(road, np.ones((side, side))).sum() for road in roads)
        for side in (2, 5)
    }
    assert kept[2] > 0.7 * roads.sum()
    assert kept[5] < 0.15 * roads.sum()


def test_ground_is_prepared_in_the_year_in_which_it_is_opened(sites):
    for site in sites.values():
        prepared = has(site.components, "preparatory_works")
        assert not prepared[0].any()  # opened by 2015
        # The years 2019 and 2020 follow each other; outlines waver by a few pixels.
        opened = ndimage.binary_dilation((site.truth[2] > site.truth[1]), iterations=4)
        assert (prepared[2] <= opened).all()


def test_components_overlap_as_they_do_on_the_ground():
    grid = Grid(160, 160, 0.65)
    mines = make_component_mines(
        np.random.default_rng(3), grid, ("opencast", "coal"), 2016, lambda year: np.random.default_rng(year)
    )
    bits = mines.components(np.random.default_rng(0), 2016)
    np.testing.assert_array_equal(bits > 0, mines.footprint(2016))
    assert (has(bits, "dumping_ground") & has(bits, "excavation")).sum() > 100
    assert (has(bits, "production_slope") <= has(bits, "excavation")).all()
    assert (has(bits, "preparatory_works") <= (bits == BIT["preparatory_works"])).all()
    assert not (has(bits, "dam") & has(bits, "tailings_storage_facility")).any()


def test_types_and_materials_are_drawn_by_region_and_differ(sites):
    drawn = [draw_facts(np.random.default_rng(seed), (1, 1, 1, 1)) for seed in range(60)]
    assert {mine_type for mine_type, _ in drawn} == set(MINE_TYPES)
    assert {material for _, material in drawn} == set(MATERIALS)
    coal = [draw_facts(np.random.default_rng(seed), (0, 9, 0, 0))[1] for seed in range(40)]
    assert coal.count("coal") > 25


def red_and_slopes(material: str, mine_type: str) -> tuple[float, float]:
    """Mean red DN of excavations over three sites, and the share of slopes in them."""
    reds, slopes = [], []
    for seed in range(3):
        grid = Grid(90, 90, 0.7)
        facts = mine_type, material
        mines = make_component_mines(np.random.default_rng(seed), grid, facts, 2015, np.random.default_rng)
        land = make_landscape(np.random.default_rng(seed), grid, REGIONS["Germany"])
        painter = Painter(np.random.default_rng(seed), grid, (5, 4, 1, 1), " ".join(facts), land, mines)
        image, _ = painter.paint(2015, partial(drawn_for, seed))
        bits = mines.components(drawn_for(seed, "mine", 2015), 2015)
        pit = has(bits, "excavation")
        reds.append(image[2][pit].mean())
        slopes.append(has(bits, "production_slope")[pit].mean())
    return float(np.mean(reds)), float(np.mean(slopes))


def drawn_for(seed: int, purpose: str, year: int) -> np.random.Generator:
    return np.random.default_rng([seed, len(purpose), year])


def test_coal_is_darker_than_rock_and_summits_have_the_fewest_slopes():
    assert red_and_slopes("coal", "open-pit")[0] < 0.85 * red_and_slopes("rock", "open-pit")[0]
    assert red_and_slopes("rock", "mountain-top")[1] < 0.8 * red_and_slopes("rock", "open-pit")[1]


# Radar


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def test_speckle_is_as_measured():
    intensity = speckle(np.random.default_rng(0), (300, 300))
    decibels = 10 * np.log10(intensity)
    assert intensity.mean() == pytest.approx(1, abs=0.02)
    # The ranges of four real scenes; sd and the model's own numbers with them, in shared/reference.
    assert decibels.std() == pytest.approx(2.3, abs=0.1)
    for first, second in ((decibels[:, :-1], decibels[:, 1:]), (decibels[:-1], decibels[1:])):
        assert 0.65 < correlation(first, second) < 0.72
    for first, second in ((decibels[:, :-2], decibels[:, 2:]), (decibels[:-2], decibels[2:])):
        assert 0.20 < correlation(first, second) < 0.30
    windows = np.lib.stride_tricks.sliding_window_view(intensity, (7, 7))[::3, ::3]
    looks = windows.mean((-1, -2)) ** 2 / windows.var((-1, -2))
    counts, edges = np.histogram(looks, np.arange(0.25, 15, 0.5))
    assert 4 <= edges[counts.argmax()] + 0.25 <= 5


def test_backscatter_has_the_measured_means_and_correlation(sites):
    radar = np.stack([site.radar for site in sites.values()]).astype(float) / 100
    classes = np.stack([site.classes for site in sites.values()])
    ranges = {  # VV and VH in dB: the ranges of the measured scenes, and what a site's own mean adds
        (LandCover.BROADLEAF_FOREST, LandCover.CONIFEROUS_FOREST): ((-10.6, -7.5), (-16.0, -13.0)),
        (LandCover.GREEN_CROP, LandCover.STUBBLE): ((-14.0, -10.0), (-20.0, -17.0)),
    }
    for covers, limits in ranges.items():
        inside = ndimage.binary_erosion(np.isin(classes, covers), np.ones((1, 1, 5, 5)))
        for band, (least, most) in enumerate(limits):
            assert least - 0.5 < 10 * np.log10((10 ** (radar[:, :, band][inside] / 10)).mean()) < most + 0.5
        assert 2.0 < radar[:, :, 0][inside].std() < 3.4
        assert 0.05 < correlation(radar[:, :, 0][inside], radar[:, :, 1][inside]) < 0.4


def test_the_means_are_those_of_the_measured_scenes():
    path = Path(__file__).parents[3] / "shared/data/fixtures/components/s1_backscatter.json"
    if not path.is_file():
        pytest.skip("there are no measured means on this machine")
    by_place = json.loads(path.read_text())["by_place_and_cover"].values()
    for mean, words in (
        (WATER, "water"),
        (FOREST, "trees"),
        (CROPS, "crops"),
        (BUILT, "built"),
        (BARE, "bare"),
    ):
        found = [row for place in by_place for cover, row in place.items() if cover.startswith(words)]
        for value, column in ((mean.vv, 0), (mean.vh, 2)):
            middle = np.mean([min(row[column] for row in found), max(row[column] for row in found)])
            assert value == pytest.approx(middle, abs=1.0), words
    assert -13.6 < RANGELAND.vv < -10.4


def test_bare_ground_of_mines_is_assumed_to_be_like_bare_fields():
    assert MEASURED_MEANS.keys().isdisjoint(ASSUMED_MEANS)
    assert {*MEASURED_MEANS, *ASSUMED_MEANS} == set(LandCover)
    bare = (LandCover.BENCH, LandCover.PIT_FLOOR, LandCover.DUMP, LandCover.TAILINGS, LandCover.STOCKPILE)
    assert {ASSUMED_MEANS[cover][:2] for cover in bare} == {BARE[:2]}


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (2, 3)])
def test_a_scene_has_any_size_from_one_pixel_up(size):
    site = simulate_site(
        "Poland_2", years=(2015, 2016), height=size[0], width=size[1], seed=0, components=True, radar=True
    )
    assert (site.components.shape, site.radar.shape) == ((2, *size), (2, 2, *size))
    np.testing.assert_array_equal(annual_label(site.components), site.labels)


# Archives


def test_radar_changes_nothing_else_and_fewer_years_are_a_slice():
    plain, more = (
        simulate_site("Spain_1", years=(2015, 2016), radar=radar, **SIZE) for radar in (False, True)
    )
    for name in ("images", "labels", "truth", "classes"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(more, name))
    assert plain.radar is plain.components is plain.facts is None
    whole, part = (
        simulate_site("Spain_1", years=years, components=True, radar=True, height=60, width=60, seed=1)
        for years in ((2015, 2016, 2017), (2015, 2016))
    )
    for name in ("images", "components", "radar"):
        np.testing.assert_array_equal(getattr(whole, name)[:2], getattr(part, name))


def test_an_archive_has_components_radar_and_facts(tmp_path):
    options = {
        "sites": ["Germany_2"],
        "years": [2015, 2016],
        "size": (40, 30),
        "progress": False,
        "workers": 1,
    }
    root = simulate_archive(tmp_path / "a", components=True, radar=True, **options)
    site = simulate_site(
        "Germany_2", years=(2015, 2016), height=40, width=30, seed=0, components=True, radar=True
    )
    folder = root / "EuroMineNet" / "Germany_2"
    for index, year in enumerate((2015, 2016)):
        bits, classes = read_components(folder / "components" / f"Year{year}.tif")
        np.testing.assert_array_equal(bits, site.components[index])
        assert classes == COMPONENT_CLASSES
        with rasterio.open(folder / "radar" / f"Year{year}.tif") as dataset:
            np.testing.assert_array_equal(dataset.read(), site.radar[index])
            assert (dataset.descriptions, dataset.nodata) == (("VV", "VH"), -32768)
        with rasterio.open(folder / "image" / f"Year{year}.tif") as image:
            assert (dataset.crs, dataset.transform) == (image.crs, image.transform)
    facts = json.loads((folder / "site.json").read_text())
    assert facts["mine_type"] in MINE_TYPES
    assert facts["annotated"] == list(COMPONENT_CLASSES)
    assert facts["simulated"] is True
    with pytest.raises(ArchiveError, match="found a simulation with components 1 instead of none, radar 1"):
        simulate_archive(tmp_path / "a", **options)
    plain = simulate_archive(tmp_path / "b", **options)
    assert set(json.loads((plain / "simulation.json").read_text())) == {
        *("version", "height", "width", "years", "seed")
    }
    files = {path.name for path in (plain / "EuroMineNet" / "Germany_2").iterdir()}
    assert files == {"image", "label", "site.json"}
