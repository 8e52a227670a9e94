"""Recovery of series that are written by hand, with metrics worked out by hand."""

import numpy as np
import pytest

from euromine.monitoring.history.recovery import (
    RECOVERED,
    RECOVERING,
    STALLED,
    UNDECIDED,
    recovery,
    values_before,
)

NAN = float("nan")
YEARS = range(2015, 2025)


def of_pixel(values, start, target, years=YEARS):
    """The recovery of one pixel, each metric as a list by year."""
    found = recovery(np.array(values)[:, None], years, np.array([start]), np.array([target]))
    return {name: getattr(found, name)[..., 0].tolist() for name in found.__dataclass_fields__}


# Forest of 0.6, mined in 2017 and 2018, reclaimed from 2019 on.
FOREST = [0.6, 0.6, -0.2, -0.2, -0.1, 0.0, 0.1, 0.3, 0.49, 0.5]


def test_ground_that_recovers_has_the_metrics_worked_out_by_hand():
    found = of_pixel(FOREST, 2019, 0.6)
    before = [NAN] * 4
    assert found["change"] == pytest.approx([*before, 0, 0.1, 0.2, 0.4, 0.59, 0.6], nan_ok=True)
    assert found["yearly_rate"] == pytest.approx(
        [*before, NAN, 0.1, 0.1, 0.4 / 3, 0.59 / 4, 0.12], nan_ok=True
    )
    # 80 % of 0.6 is 0.48.
    assert found["r80p"] == pytest.approx(
        [*before, -0.1 / 0.48, 0, 0.1 / 0.48, 0.625, 0.49 / 0.48, 0.5 / 0.48], nan_ok=True
    )
    # 0.7 were lost.
    assert found["rri"] == pytest.approx(
        [*before, 0, 0.1 / 0.7, 0.2 / 0.7, 0.4 / 0.7, 0.59 / 0.7, 0.6 / 0.7], nan_ok=True
    )
    assert found["years_to_recovery"] == 4
    assert found["state"] == [0, 0, 0, 0, UNDECIDED, *[RECOVERING] * 3, *[RECOVERED] * 2]


def test_the_recovery_indicator_takes_the_better_of_two_years():
    found = of_pixel([0.6, -0.1, 0.3, 0.2, 0.1], 2016, 0.6, range(2015, 2020))
    assert found["rri"] == pytest.approx([NAN, 0, 0.4 / 0.7, 0.4 / 0.7, 0.3 / 0.7], nan_ok=True)
    # The year before 2020 has no image: 2018 does not stand for it.
    apart = of_pixel([0.6, -0.1, 0.3, 0.2], 2016, 0.6, [2015, 2016, 2018, 2020])
    assert apart["rri"] == pytest.approx([NAN, 0, 0.4 / 0.7, 0.3 / 0.7], nan_ok=True)


def test_ground_without_gain_is_stalled_from_the_third_year_on():
    found = of_pixel([0.6, 0.0, 0.0, -0.1, -0.1, 0.0, 0.1, 0.0], 2016, 0.6, range(2015, 2023))
    assert found["state"] == [
        0, UNDECIDED, UNDECIDED, UNDECIDED, STALLED, STALLED, RECOVERING, UNDECIDED
    ]  # fmt: skip
    assert np.isnan(found["years_to_recovery"])


def test_years_without_data_are_undecided_and_neither_count_nor_break_a_stall():
    values = [0.6, 0.0, -0.1, NAN, -0.1, -0.1, NAN]
    found = of_pixel(values, 2016, 0.6, range(2015, 2022))
    assert found["state"] == [0, *[UNDECIDED] * 4, STALLED, UNDECIDED]
    assert np.isnan([found["change"][3], found["r80p"][3], found["rri"][6]]).all()


def test_a_cloudy_first_year_starts_recovery_with_the_next_one():
    found = of_pixel([0.6, NAN, 0.1, 0.5], 2016, 0.6, range(2015, 2019))
    assert found["change"] == pytest.approx([NAN, NAN, 0, 0.4], nan_ok=True)
    assert found["years_to_recovery"] == 1
    assert found["state"] == [0, UNDECIDED, UNDECIDED, RECOVERED]


def test_calendar_years_count_where_images_are_missing():
    found = of_pixel([0.6, -0.1, 0.2, 0.5], 2016, 0.6, [2015, 2016, 2019, 2024])
    assert found["yearly_rate"] == pytest.approx([NAN, NAN, 0.1, 0.6 / 8], nan_ok=True)
    assert found["years_to_recovery"] == 8


@pytest.mark.parametrize("target", [NAN, 0.0, -0.2])
def test_without_a_target_above_zero_nothing_is_judged(target):
    found = of_pixel(FOREST, 2019, target)
    assert found["state"] == [0, 0, 0, 0, *[UNDECIDED] * 6]
    assert np.isnan(found["r80p"]).all()
    assert found["change"][-1] == pytest.approx(0.6)


def test_nothing_is_lost_where_the_target_is_below_the_start():
    found = of_pixel([0.2, 0.5, 0.6], 2016, 0.2, range(2015, 2018))
    assert np.isnan(found["rri"]).all()
    assert found["state"] == [0, RECOVERED, RECOVERED]
    assert found["years_to_recovery"] == 0


def test_the_recovery_indicator_is_blank_where_little_was_lost():
    """Key and Benson (2006) call a loss of NBR below 0.1 no change."""
    little = of_pixel([0.59, 0.5, 0.58], 2016, 0.59, range(2015, 2018))
    assert np.isnan(little["rri"]).all()
    assert little["change"][-1] == pytest.approx(0.08)
    enough = of_pixel([0.61, 0.5, 0.555], 2016, 0.61, range(2015, 2018))
    assert enough["rri"] == pytest.approx([NAN, 0, 0.5], nan_ok=True)


def test_ground_without_a_start_has_no_recovery():
    found = of_pixel(FOREST, 0, 0.6)
    assert found["state"] == [0] * 10
    assert np.isnan(found["change"]).all()


def test_a_map_is_a_pixel_each():
    random = np.random.default_rng(4)
    values = random.uniform(-0.3, 0.8, (10, 3, 4))
    values[random.random(values.shape) < 0.2] = np.nan
    start = random.integers(2015, 2024, (3, 4)) * (random.random((3, 4)) < 0.8)
    target = random.uniform(0.1, 0.8, (3, 4))
    found = recovery(values, YEARS, start, target)
    for row, column in np.ndindex(3, 4):
        alone = of_pixel(values[:, row, column], start[row, column], target[row, column])
        for name, of_one in alone.items():
            np.testing.assert_array_equal(getattr(found, name)[..., row, column], of_one)


def test_the_value_before_mining_is_the_mean_of_all_years_with_data():
    values = np.array([[0.5, 0.5, NAN], [0.7, NAN, NAN], [-0.2, 0.1, 0.4]])
    before = values_before(values, [2015, 2016, 2017], np.array([2017, 2017, 2017]))
    assert before.tolist() == pytest.approx([0.6, 0.5, NAN], nan_ok=True)
    assert np.isnan(values_before(values, [2015, 2016, 2017], np.array([2015, 2015, 2015]))).all()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="for 3 years"):
        recovery(np.zeros((2, 4)), [2015, 2016, 2017], np.zeros(4, int), 0.5)
