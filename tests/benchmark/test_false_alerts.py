"""The counting of false alerts, on a site whose maps and labels are drawn by hand."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine

from euromine.benchmark import false_alerts
from euromine.benchmark.false_alerts import AlertCounts, SiteTruth, judge_site, report
from euromine.modeling import BANDS, EuroMineImageProcessor
from euromine.modeling.tasks import SEGMENTATION
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.monitor import MineMonitor
from euromine.monitoring.scenes.grids import Grid

from .red_network import RedNetwork

SIDE = 64
GRID = Grid(CRS.from_epsg(32633), Affine(10, 0, 500_000, 0, -10, 5_100_000), SIDE, SIDE)
PIT, REAL, WRONG = np.s_[5:25, 5:25], np.s_[40:50, 40:50], np.s_[40:50, 5:15]
LAKE, SHADOW = np.s_[5:25, 5:15], np.s_[5:25, 15:20]


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> AlertCounts:
    """Five years: a real new part from the third on, and one that only the images show, not the labels.

    A lake of two hectares is there from the fourth on; the fifth shows another of one, which is none.
    """
    tmp_path = tmp_path_factory.mktemp("judged")
    years = [2018, 2019, 2020, 2021, 2022]
    labels = np.zeros((5, SIDE, SIDE), np.uint8)
    water = np.zeros((5, SIDE, SIDE), bool)
    water[(slice(3, None), *LAKE)] = True
    scenes: dict[int, Path] = {}
    for place, year in enumerate(years):
        labels[(place, *PIT)] = 1
        if year >= 2020:
            labels[(place, *REAL)] = 1
        image = np.full((10, SIDE, SIDE), 900, np.int16)
        image[:, labels[place] == 1] = 3000
        if year == 2021:
            image[(slice(None), *WRONG)] = 3000
        for where, begins in ((LAKE, 2021), (SHADOW, 2022)):
            if year >= begins:
                image[(1, *where)], image[(8, *where)] = 3000, 100  # B03 and B11: MNDWI is above 0
        scenes[year] = tmp_path / "pit" / "image" / f"Year{year}.tif"
        scenes[year].parent.mkdir(parents=True, exist_ok=True)
        profile = {"count": 10, "height": SIDE, "width": SIDE, "dtype": "int16", "crs": GRID.crs}
        with rasterio.open(scenes[year], "w", driver="GTiff", transform=GRID.transform, **profile) as file:
            file.write(image)
            file.descriptions = BANDS
    processor = EuroMineImageProcessor(do_normalize=False)
    monitor = MineMonitor([LoadedModel("red", SEGMENTATION, RedNetwork().eval(), processor)])
    counts = AlertCounts()
    folder = tmp_path / "work"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(false_alerts, "HECTARES", (0.5, 2.0))
        judge_site(monitor, scenes, SiteTruth(years, labels, GRID, water), "pit", folder, counts)
    return counts


def test_true_and_false_alerts_are_told_apart(judged) -> None:
    assert judged.site_years == 3
    outside = judged.of("outside_permit", 0.5)
    # The real part is suspected in 2020 and confirmed in 2021. The median of three years removes the other,
    # but while 2021 is the last year.
    assert (outside.suspected, outside.false_suspected) == (2, 1)
    assert (outside.confirmed, outside.false_confirmed) == (1, 0)
    assert (outside.changes, outside.found) == (1, 1)
    growth = judged.of("growth", 0.5)
    assert (growth.suspected, growth.false_suspected) == (2, 1)
    assert (growth.changes, growth.found) == (1, 1)
    assert judged.of("outside_permit", 2.0).suspected == 0


def test_water_is_judged_by_the_water_that_is_known(judged) -> None:
    water = judged.of("water_growth", 0.5)
    assert (water.suspected, water.false_suspected) == (2, 1)
    assert (water.confirmed, water.false_confirmed) == (1, 0)
    assert (water.changes, water.found) == (1, 1)


def test_the_water_of_a_simulated_archive_is_that_on_ground_mined_so_far(tmp_path) -> None:
    (tmp_path / "truth").mkdir()
    mined = np.array([[[0, 1, 1]], [[0, 0, 1]], [[1, 0, 1]]], np.uint8)
    classes = np.array([[[24, 24, 1]], [[24, 10, 24]], [[24, 1, 24]]], np.uint8)  # pit water, water, others
    np.savez(tmp_path / "truth" / "pit.npz", truth=mined, classes=classes, years=[2019, 2020, 2021])
    truth = SiteTruth([2019, 2021], mined[[0, 2]], GRID)
    water = false_alerts._simulated_water(tmp_path / "EuroMineNet", "pit", truth)
    assert water.tolist() == [[[False, True, False]], [[True, False, True]]]


def test_the_report_has_rates_and_shares(judged) -> None:
    rows = {tuple(line.split("|")[1:3]): line for line in report(judged).splitlines()}
    (line,) = [
        text
        for (rule, hectares), text in rows.items()
        if rule.strip() == "outside_permit" and "0.5" in hectares
    ]
    cells = [cell.strip() for cell in line.split("|")[3:-1]]
    assert cells == ["0.67", "0.33", "0.33", "0.00", "50 %", "0 %", "100 % of 1"]
