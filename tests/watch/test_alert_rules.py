"""The rules, on series of one to five images with a known story."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import shapely
from pyproj import CRS

from euromine.watch.alert_rules import advance
from euromine.watch.series_facts import Gain, Persistence, StalledGround
from euromine.watch.watch_config import Growth, OutsidePermit, Rules

UTM = CRS.from_epsg(32633)
ONLY_OUTSIDE = Rules(growth=None, water_growth=None, reclamation_stalled=None, no_data=None)
ONLY_GROWTH = Rules(outside_permit=None, water_growth=None, reclamation_stalled=None, no_data=None)


ONLY_WATER = Rules(outside_permit=None, growth=None, reclamation_stalled=None, no_data=None)
ONLY_STALLED = Rules(outside_permit=None, growth=None, water_growth=None, no_data=None)


def square(left: float, top: float, side: float) -> Any:
    """A square in metres from a corner in the middle of zone 33, where metres are almost metres."""
    return shapely.box(500_000 + left, 5_000_000 + top, 500_000 + left + side, 5_000_000 + top + side)


@dataclass
class Model:
    source: str = "org/mapper"
    digest: str = "f" * 64


@dataclass
class Manifest:
    simulated: bool = False


@dataclass
class Series:
    manifest: Manifest = field(default_factory=Manifest)


@dataclass
class Story:
    """The facts of a site, told by hand."""

    mined: dict[int, Any]
    new: dict[int, list[Any]] = field(default_factory=dict)
    gains: dict[tuple[int, int], Gain] = field(default_factory=dict)
    lakes: dict[int, tuple[float, float]] = field(default_factory=dict)
    recovery: dict[int, list[StalledGround]] = field(default_factory=dict)
    unseen: dict[int, Any] = field(default_factory=dict)
    images: dict[int, str] = field(default_factory=dict)
    maps: dict[int, str] = field(default_factory=dict)
    site: str = "pit"
    permits: str = "p.gpkg@1"
    models: list[str] = field(default_factory=lambda: ["org/mapper@ffff"])
    pixel_size: float = 10.0
    series: Series = field(default_factory=Series)

    def __post_init__(self) -> None:
        self.images = self.images or {year: f"Year{year}.tif@{year}" for year in self.mined}

    def evidence(self, year: int) -> str:
        return self.maps.get(year, self.images[year])

    def before(self, year: int) -> int | None:
        return max((other for other in self.mined if other < year), default=None)

    has_permits: bool = True
    outlines: Any = None

    def permitted_share(self, geometry: Any) -> float:
        return 0.0 if self.outlines is None else geometry.intersection(self.outlines).area / geometry.area

    def new_outside(self, year: int) -> list[Any]:
        return self.new.get(year, [])

    def gain(self, year_1: int, year_2: int) -> Gain | None:
        return self.gains.get((year_1, year_2))

    def water(self, year: int) -> tuple[float, float] | None:
        return self.lakes.get(year)

    def recovering(self, year: int) -> list[StalledGround]:
        return self.recovery.get(year, [])

    def persistence(self, geometry: Any, year: int) -> Persistence:
        unseen = self.unseen.get(year, shapely.Polygon())
        known = geometry.difference(unseen)
        if known.area == 0:
            return Persistence(0.0, 0.0)
        return Persistence(known.area / geometry.area, known.intersection(self.mined[year]).area / known.area)

    def hectares(self, geometry: Any) -> float:
        return geometry.area / 1e4

    def degrees(self, geometry: Any) -> Any:
        return shapely.transform(geometry, lambda corners: (corners - [500_000, 5_000_000]) / 1e5)

    def projected(self, geometry: Any) -> Any:
        shape = shapely.geometry.shape(geometry)
        return shapely.transform(shape, lambda corners: corners * 1e5 + [500_000, 5_000_000])


def told(story: Story, rules: Rules, years=None):
    """Each year's events and the alerts at the end."""
    alerts, events = {}, []
    for year in years or sorted(story.mined):
        alerts, found = advance(story, year, rules, alerts)
        events.append([(event.kind, round(event.alert.area_ha or 0, 2)) for event in found])
    return events, alerts


A, B = square(0, 0, 100), square(100, 0, 80)  # 1 ha and 0.64 ha, side by side
NOTHING = shapely.Polygon()


def test_a_new_part_is_suspected_once_and_confirmed_by_the_next_image() -> None:
    story = Story({2020: NOTHING, 2021: A, 2022: A, 2023: A}, new={2021: [A]})
    events, alerts = told(story, ONLY_OUTSIDE)
    assert events == [[], [("suspected", 1.0)], [("confirmed", 1.0)], []]
    (alert,) = alerts.values()
    assert (alert.year, alert.before_year, alert.last_year) == (2021, 2020, 2023)
    assert alert.images == ["Year2021.tif@2021", "Year2022.tif@2022", "Year2023.tif@2023"]
    assert alert.low_ha == pytest.approx(0.81)  # 90 x 90 m
    assert 1.2 < alert.high_ha < 1.21  # 110 x 110 m with round corners
    assert (alert.permits, alert.models) == ("p.gpkg@1", ["org/mapper@ffff"])


def test_the_same_image_again_changes_nothing_and_another_of_the_same_year_confirms() -> None:
    story = Story({2020: NOTHING, 2021: A}, new={2021: [A]})
    _, alerts = told(story, ONLY_OUTSIDE)
    again, events = advance(story, 2021, ONLY_OUTSIDE, alerts)
    assert (again, events) == (alerts, [])
    renewed = replace(story, images={**story.images, 2021: "Year2021.tif@other"})
    _, events = advance(renewed, 2021, ONLY_OUTSIDE, alerts)
    assert [event.kind for event in events] == ["confirmed"]
    # The same pixels in a new file are no second image.
    rewritten = replace(renewed, maps={2021: story.images[2021]})
    again, events = advance(rewritten, 2021, ONLY_OUTSIDE, alerts)
    assert events == []
    assert {alert.status for alert in again.values()} == {"suspected"}


def test_a_part_that_is_gone_is_resolved_and_opened_again_under_its_id() -> None:
    story = Story({2020: NOTHING, 2021: A, 2022: NOTHING, 2023: NOTHING, 2024: A}, new={2021: [A], 2024: [A]})
    events, alerts = told(story, ONLY_OUTSIDE)
    assert events == [[], [("suspected", 1.0)], [("resolved", 1.0)], [], [("suspected", 1.0)]]
    assert len(alerts) == 1
    assert next(iter(alerts.values())).images == ["Year2024.tif@2024"]


def test_growth_belongs_to_the_alert_that_it_touches() -> None:
    both = shapely.union_all([A, B])
    story = Story({2020: NOTHING, 2021: A, 2022: both}, new={2021: [A], 2022: [B]})
    events, alerts = told(story, ONLY_OUTSIDE)
    assert events == [[], [("suspected", 1.0)], [("confirmed", 1.64)]]
    assert len(alerts) == 1
    late = Story({2020: NOTHING, 2021: A, 2022: A, 2023: both}, new={2021: [A], 2023: [B]})
    assert told(late, ONLY_OUTSIDE)[0][-1] == [("grown", 1.64)]


def test_small_parts_are_left_out_and_ground_without_data_decides_nothing() -> None:
    small = square(0, 0, 60)  # 0.36 ha
    assert told(Story({2020: NOTHING, 2021: small}, new={2021: [small]}), ONLY_OUTSIDE)[1] == {}
    story = Story({2020: NOTHING, 2021: A, 2022: NOTHING}, new={2021: [A]}, unseen={2022: square(0, 0, 70)})
    assert told(story, ONLY_OUTSIDE)[0][-1] == [("resolved", 1.0)]  # 51 % of it is seen
    hidden = replace(story, unseen={2022: square(0, 0, 80)})
    assert told(hidden, ONLY_OUTSIDE)[0][-1] == []
    assert next(iter(told(hidden, ONLY_OUTSIDE)[1].values())).images == ["Year2021.tif@2021"]


def test_two_parts_apart_are_two_alerts_with_places_of_their_own() -> None:
    far = square(300, 300, 100)
    both = shapely.union_all([A, far])
    _, alerts = told(Story({2020: NOTHING, 2021: both}, new={2021: [A, far]}), ONLY_OUTSIDE)
    assert len(alerts) == 2
    _, alone = told(Story({2020: NOTHING, 2021: A}, new={2021: [A]}), ONLY_OUTSIDE)
    assert set(alone) < set(alerts)


@pytest.mark.parametrize(
    ("gain", "is_alert"),
    [
        (Gain(1.2, None, None, A), True),
        (Gain(0.9, None, None, A), False),
        (Gain(1.2, 0.4, 2.0, A), True),
        (Gain(1.2, -0.1, 2.5, A), False),
        (Gain(1.2, 0.0, 2.5, A), False),
    ],
)
def test_growth_needs_its_hectares_and_an_interval_above_zero(gain, is_alert) -> None:
    story = Story({2020: NOTHING, 2021: A}, gains={(2020, 2021): gain})
    events, _ = told(story, ONLY_GROWTH)
    assert events == [[], [("suspected", 1.2)] if is_alert else []]


def test_growth_is_confirmed_or_resolved_by_the_next_image_and_then_stands() -> None:
    gains = {(2020, 2021): Gain(1.2, 0.4, 2.0, A)}
    stays = Story({2020: NOTHING, 2021: A, 2022: A, 2023: NOTHING}, gains=gains)
    assert told(stays, ONLY_GROWTH)[0] == [[], [("suspected", 1.2)], [("confirmed", 1.2)], []]
    flickers = Story({2020: NOTHING, 2021: A, 2022: NOTHING}, gains=gains)
    assert told(flickers, ONLY_GROWTH)[0][-1] == [("resolved", 1.2)]


@pytest.mark.parametrize(
    ("lakes", "events"),
    [
        # Year by year: hectares of water, share with data.
        ([(1, 1), (2, 1), (2, 1), (2, 1)], [[], [("suspected", 1.0)], [("confirmed", 1.0)], []]),
        ([(1, 1), (2, 1), (1, 1)], [[], [("suspected", 1.0)], [("resolved", 1.0)]]),
        ([(1, 1), (2, 1), (0, 0.4), (2, 1)], [[], [("suspected", 1.0)], [], [("confirmed", 1.0)]]),
        ([(1, 1), (1.4, 1)], [[], []]),  # below half a hectare
        ([(10, 1), (11, 1)], [[], []]),  # below 20 %
        ([(0, 1), (0.5, 1)], [[], [("suspected", 0.5)]]),
        ([(1, 0.4), (2, 1)], [[], []]),  # too little was seen before
    ],
)
def test_water_grows_by_hectares_and_percent(lakes, events) -> None:
    years = range(2020, 2020 + len(lakes))
    story = Story(dict.fromkeys(years, A), lakes=dict(zip(years, lakes, strict=True)))
    assert told(story, ONLY_WATER)[0] == events


def test_stalled_ground_keeps_its_alert_when_its_outline_changes_and_closes_when_it_recovers() -> None:
    shifted = square(10, 0, 100)
    story = Story(
        dict.fromkeys(range(2020, 2025), A),
        recovery={
            2020: [StalledGround(A, 0.4, 1.0, 1.0)],
            2021: [StalledGround(A, 0.6, 1.0, 1.0)],
            2022: [StalledGround(shifted, 0.9, 0.0, 0.3)],  # mostly without data
            2023: [StalledGround(shifted, 0.7, 1.0, 1.0)],
            2024: [StalledGround(shifted, 0.1, 1.0, 1.0)],
        },
    )
    events, alerts = told(story, ONLY_STALLED)
    assert events == [[], [("suspected", 0.6)], [], [("confirmed", 0.7)], [("resolved", 0.7)]]
    (alert,) = alerts.values()
    assert "0.70 ha have gained no vegetation for three years (image of 2023)" in alert.sentence


def test_rules_that_are_off_find_nothing() -> None:
    story = Story({2020: NOTHING, 2021: A}, new={2021: [A]}, gains={(2020, 2021): Gain(5, 4, 6, A)})
    assert told(story, Rules(outside_permit=None, growth=None))[0] == [[], []]
    strict = Rules(outside_permit=OutsidePermit(hectares=2), growth=Growth(hectares=9))
    assert told(story, strict)[0] == [[], []]


def test_ground_that_other_outlines_cover_is_not_outside_them_any_more() -> None:
    story = Story({2020: NOTHING, 2021: A, 2022: A}, new={2021: [A]})
    _, alerts = told(story, ONLY_OUTSIDE, [2020, 2021])
    story.outlines = square(0, 0, 40)  # a sixth
    assert told(story, ONLY_OUTSIDE)[0][2] == [("confirmed", 1.0)]
    story.outlines = square(0, 0, 90)  # four fifths
    _, events = advance(story, 2022, ONLY_OUTSIDE, alerts)
    assert [event.kind for event in events] == ["resolved"]


def test_without_outlines_nothing_is_decided_about_ground_outside_them() -> None:
    story = Story({2020: NOTHING, 2021: A, 2022: NOTHING}, new={2021: [A]})
    _, alerts = told(story, ONLY_OUTSIDE, [2020, 2021])
    story.has_permits = False
    assert advance(story, 2022, ONLY_OUTSIDE, alerts) == (alerts, [])
