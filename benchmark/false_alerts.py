"""False alerts of a watch: its rules on an archive with labels, image by image, raw and confirmed.

`python -m euromine.benchmark.false_alerts CHECKPOINT ARCHIVE` prints a Markdown table: for each rule and its
hectares, the alerts for each site and year, the false ones among them, and the true changes that were found.
The years arrive one after the other, as they would in a watch. The outlines of permits are the labels of the
first year, so that all growth lies outside.

With `--water`, the rules on water and recovery are judged, too, on a simulated archive, whose water is known.
Its closed ground greens for eight years, so each alert of stalled recovery is false.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from euromine.benchmark.hardware import processor
from euromine.dataset_script.archive import Archive
from euromine.dataset_script.site_scene import Site
from euromine.monitoring.history.impact_settings import RECOVERY_INDEX, WATER_INDEX, ImpactSettings
from euromine.monitoring.history.polygons import footprint_polygons
from euromine.monitoring.history.series import make_series
from euromine.monitoring.history.series_settings import SeriesSettings
from euromine.monitoring.history.vector_files import write_polygons
from euromine.monitoring.monitor import MineMonitor
from euromine.monitoring.scenes.grids import Grid
from euromine.simulation.spectra import LandCover
from euromine.support.errors import ArgumentError, reported_errors
from euromine.support.ground_areas import HECTARE, pixel_areas
from euromine.support.markdown import table
from euromine.support.rasters import crs_name
from euromine.watch.alert_rules import advance
from euromine.watch.alerts import Alert
from euromine.watch.series_facts import SeriesFacts
from euromine.watch.watch_config import Growth, OutsidePermit, ReclamationStalled, Rules, WaterGrowth

HECTARES = (0.25, 0.5, 1.0, 2.0, 4.0)
_TRUE_SHARE = 0.5
_FIRST_YEARS = 2  # that a watch has when it begins


@dataclass
class RuleCounts:
    """Alerts of a rule at one threshold.

    Attributes:
        suspected: New alerts.
        false_suspected: Those that the labels contradict.
        confirmed: Alerts confirmed by a second image.
        false_confirmed: Those that the labels contradict.
        changes: Changes in the labels that the rule should find.
        found: Those of them that an alert touches.
    """

    suspected: int = 0
    false_suspected: int = 0
    confirmed: int = 0
    false_confirmed: int = 0
    changes: int = 0
    found: int = 0


@dataclass
class AlertCounts:
    """All counts, by rule and hectares, and the number of site-years that were judged."""

    site_years: int = 0
    rules: dict[tuple[str, float], RuleCounts] = field(default_factory=dict)

    def of(self, rule: str, hectares: float) -> RuleCounts:
        """The counts of a rule at a threshold."""
        return self.rules.setdefault((rule, hectares), RuleCounts())


@dataclass(frozen=True)
class SiteTruth:
    """The labels of a site.

    Attributes:
        years: The years.
        labels: (years, height, width) uint8, 1 mine, 0 not, 255 unknown.
        grid: Their grid.
        water: (years, height, width) bool, the water on ground that was mined so far; None if unknown.
    """

    years: list[int]
    labels: NDArray[np.uint8]
    grid: Grid
    water: NDArray[np.bool_] | None = None

    def of(self, year: int) -> NDArray[np.uint8]:
        """A year's labels."""
        return self.labels[self.years.index(year)]

    def inside(self, geometry: Any) -> NDArray[np.bool_]:
        """The pixels of a geometry in the grid's coordinate system."""
        from rasterio.features import geometry_mask

        mask: NDArray[np.bool_] = geometry_mask([geometry], self.grid.shape, self.grid.transform, invert=True)
        return mask

    def new_parts(self, year: int, hectares: float) -> list[Any]:
        """Connected new mines of a year, since the year before and outside those of the first year."""
        before = self.years[self.years.index(year) - 1]
        earlier = np.where(self.labels[0] == 1, 1, self.of(before))
        new = ((self.of(year) == 1) & (earlier == 0)).astype(np.uint8)
        if not new.any():
            return []
        frame = footprint_polygons([new], [year], self.grid, minimum_mapping_unit=hectares)
        return list(frame.geometry)

    def gain(self, year_1: int, year_2: int) -> float:
        """Hectares that the later year has and the earlier one has not."""
        return self._hectares((self.of(year_2) == 1) & (self.of(year_1) == 0))

    def water_of(self, year: int) -> float:
        """Hectares of water on ground that was mined by a year."""
        assert self.water is not None
        return self._hectares(self.water[self.years.index(year)])

    def _hectares(self, pixels: NDArray[np.bool_]) -> float:
        areas = pixel_areas(crs_name(self.grid.crs), tuple(self.grid.transform)[:6], *self.grid.shape)
        return float(areas.sums(areas.counts(pixels))) / HECTARE


def judge_site(
    monitor: MineMonitor,
    scenes: Mapping[int, Path],
    truth: SiteTruth,
    name: str,
    folder: Path,
    counts: AlertCounts,
) -> None:
    """Let a site's years arrive one after the other, and judge the alerts.

    Args:
        monitor: The model.
        scenes: The image of each year.
        truth: The labels.
        name: The site's name.
        folder: An empty folder for its series.
        counts: What is counted.
    """
    permits = folder / "permits.gpkg"
    write_polygons(footprint_polygons(truth.labels[:1], truth.years[:1], truth.grid), permits)
    alerts: dict[float, dict[str, Alert]] = {hectares: {} for hectares in HECTARES}
    shown: dict[float, dict[str, Alert]] = {hectares: {} for hectares in HECTARES}
    for number in range(_FIRST_YEARS, len(truth.years) + 1):
        years = truth.years[:number]
        settings = SeriesSettings(
            pairs="consecutive",
            minimum_mapping_unit=0.1,
            permits=permits,
            site=name,
            simulated=True,
            impact=ImpactSettings(indices=() if truth.water is None else (WATER_INDEX, RECOVERY_INDEX)),
        )
        series = make_series(
            monitor.models, {year: scenes[year] for year in years}, folder / "series", settings
        )
        facts = SeriesFacts(name, series, {year: f"Year{year}.tif" for year in years})
        is_first = number == _FIRST_YEARS
        for hectares in HECTARES:
            rules = Rules(
                outside_permit=OutsidePermit(hectares=hectares),
                growth=Growth(hectares=hectares),
                water_growth=None if truth.water is None else WaterGrowth(hectares=hectares),
                reclamation_stalled=None if truth.water is None else ReclamationStalled(hectares=hectares),
                no_data=None,
            )
            for year in years if is_first else years[-1:]:
                alerts[hectares], events = advance(facts, year, rules, alerts[hectares])
                if is_first:
                    continue
                for event in events:
                    of_rule = counts.of(event.alert.rule, hectares)
                    is_false = not _is_true(event.alert, facts, truth, year)
                    if event.kind == "suspected":
                        of_rule.suspected += 1
                        of_rule.false_suspected += is_false
                        shown[hectares][event.alert.id] = event.alert
                    elif event.kind == "confirmed":
                        of_rule.confirmed += 1
                        of_rule.false_confirmed += is_false
                    shown[hectares][event.alert.id] = event.alert
            if not is_first:
                _count_found(facts, truth, years[-1], hectares, shown[hectares], counts)
        counts.site_years += not is_first


def _is_true(alert: Alert, facts: SeriesFacts, truth: SiteTruth, year: int) -> bool:
    """Whether the truth agrees: most of the ground is new in it, or its gain is half of the alert's."""
    if alert.rule == "reclamation_stalled":
        return False  # closed ground greens for eight years in the simulator
    assert alert.before_year is not None
    if alert.rule == "water_growth":
        gain = truth.water_of(alert.year) - truth.water_of(alert.before_year)
        return gain >= _TRUE_SHARE * (alert.area_ha or 0)
    if alert.rule == "growth":
        return truth.gain(alert.before_year, alert.year) >= _TRUE_SHARE * (alert.area_ha or 0)
    assert alert.geometry is not None
    inside = truth.inside(facts.projected(alert.geometry))
    new = (truth.of(year) == 1) & (truth.labels[0] == 0)
    return bool(inside.any() and new[inside].mean() >= _TRUE_SHARE)


def _count_found(
    facts: SeriesFacts,
    truth: SiteTruth,
    year: int,
    hectares: float,
    shown: Mapping[str, Alert],
    counts: AlertCounts,
) -> None:
    """Count the year's changes in the truth, and those that an alert touches or is of."""
    before = facts.before(year)
    assert before is not None
    outlines = [
        truth.inside(facts.projected(alert.geometry))
        for alert in shown.values()
        if alert.rule == "outside_permit" and alert.geometry is not None
    ]
    outside = counts.of("outside_permit", hectares)
    for part in truth.new_parts(year, hectares):
        inside = truth.inside(part)
        outside.changes += 1
        outside.found += any((outline & inside).any() for outline in outlines)
    growth = counts.of("growth", hectares)
    if truth.gain(before, year) >= hectares:
        growth.changes += 1
        growth.found += any(alert.rule == "growth" and alert.year == year for alert in shown.values())
    if truth.water is None:
        return
    earlier, now = truth.water_of(before), truth.water_of(year)
    if now - earlier >= max(hectares, WaterGrowth().percent / 100 * earlier):
        water = counts.of("water_growth", hectares)
        water.changes += 1
        water.found += any(alert.rule == "water_growth" and alert.year == year for alert in shown.values())


def report(counts: AlertCounts) -> str:
    """The counts as a Markdown table."""
    header = (
        "rule",
        "hectares",
        "alerts a site-year",
        "false a site-year",
        "confirmed",
        "false",
        "false share, raw",
        "false share, confirmed",
        "true changes found",
    )
    rows = []
    for (rule, hectares), one in sorted(counts.rules.items()):
        rows.append(
            (
                rule,
                f"{hectares:g}",
                _rate(one.suspected, counts.site_years),
                _rate(one.false_suspected, counts.site_years),
                _rate(one.confirmed, counts.site_years),
                _rate(one.false_confirmed, counts.site_years),
                _percent(one.false_suspected, one.suspected),
                _percent(one.false_confirmed, one.confirmed),
                f"{_percent(one.found, one.changes)} of {one.changes}",
            )
        )
    return table(header, rows)


def _rate(count: int, site_years: int) -> str:
    return f"{count / site_years:.2f}" if site_years else "-"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="euromine.benchmark.false_alerts",
        description="The false alerts of a watch's rules on an archive with labels.",
    )
    parser.add_argument("checkpoint", help="a footprint mapper: a folder or a Hub repository")
    parser.add_argument("archive", type=Path, help="an archive with labels, as of `euromine simulate`")
    parser.add_argument("--sites", help="names, separated by commas; by default all of the archive")
    parser.add_argument(
        "--water",
        action="store_true",
        help="judge the rules on water and recovery, too; simulated archives only",
    )
    options = parser.parse_args(arguments)
    archive = Archive(options.archive)
    names = options.sites.split(",") if options.sites else list(archive.sites)
    if unknown := [name for name in names if name not in archive.sites]:
        raise ArgumentError(
            f"--sites: found {', '.join(unknown)}; expected sites of the archive: {', '.join(archive.sites)}."
        )
    if options.water and not archive.simulated:
        raise ArgumentError(
            f"--water: found {options.archive}, which is not simulated; expected an archive of "
            "`euromine simulate`, whose water is known."
        )
    monitor = MineMonitor.from_pretrained(options.checkpoint)
    counts = AlertCounts()
    with tempfile.TemporaryDirectory() as folder:
        for name in tqdm(names, unit="site"):
            site = archive.sites[name]
            work = Path(folder) / name
            work.mkdir()
            scenes = {year: Path(path) for year, path in site.image_paths.items()}
            truth = _truth(site)
            if options.water:
                truth = replace(truth, water=_simulated_water(options.archive, name, truth))
            judge_site(monitor, scenes, truth, name, work, counts)
    kind = "simulated" if archive.simulated else "real"
    sys.stdout.write(
        f"{len(names)} {kind} sites, {counts.site_years} site-years; {processor()}.\n\n{report(counts)}\n"
    )


def _truth(site: Site) -> SiteTruth:
    """The labels of a site."""
    from rasterio.crs import CRS
    from rasterio.transform import Affine

    with site.open() as scene:
        labels = np.stack([scene.read_label(year) for year in scene.years])
        grid = Grid(CRS.from_user_input(scene.crs), Affine(*scene.transform), scene.width, scene.height)
        return SiteTruth(list(scene.years), labels, grid)


def _simulated_water(archive: Path, name: str, truth: SiteTruth) -> NDArray[np.bool_]:
    """The water on ground that was mined so far, from the truth beside a simulated archive."""
    places = [folder / "truth" / f"{name}.npz" for folder in (archive, archive.absolute().parent)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise ArgumentError(
            f"--water: found no {places[0]}; expected the truth that `euromine simulate` wrote."
        )
    with np.load(found) as arrays:
        years = arrays["years"].tolist()
        mined = np.logical_or.accumulate(arrays["truth"] == 1, axis=0)
        water = mined & np.isin(arrays["classes"], (LandCover.WATER, LandCover.PIT_WATER))
    result: NDArray[np.bool_] = water[[years.index(year) for year in truth.years]]
    return result


if __name__ == "__main__":
    with reported_errors("euromine.benchmark.false_alerts"):
        main(sys.argv[1:])
