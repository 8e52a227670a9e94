"""Charts as SVG."""

import re

import numpy as np
import pytest

from euromine.monitoring.reporting.charts import area_curve, gain_and_loss_bars


def numbers(svg: str, element: str, attribute: str) -> np.ndarray:
    return np.array([float(value) for value in re.findall(rf'<{element} [^>]*\b{attribute}="([\d.]+)"', svg)])


def test_dots_rise_with_the_area_and_keep_the_distance_of_their_years():
    years, areas = [2015, 2016, 2020], [1.0, 3.0, 2.0]
    svg = area_curve(years, areas, title="Mined area of <A>")
    x, y = numbers(svg, "circle", "cx"), numbers(svg, "circle", "cy")
    np.testing.assert_allclose(np.diff(x) / np.diff(years), np.diff(x).sum() / 5, rtol=1e-2)
    np.testing.assert_allclose(np.diff(y) / np.diff(areas), (y[1] - y[0]) / 2, rtol=1e-2)
    assert y[1] < y[0]
    assert 'aria-label="Mined area of &lt;A&gt;"' in svg


def test_bars_are_as_long_as_gains_and_losses_and_meet_at_zero():
    svg = gain_and_loss_bars([(2015, 2016), (2016, 2018)], [4.0, 2.0], [1.0, 0.0])
    lengths, tops = numbers(svg, "rect", "height"), numbers(svg, "rect", "y")
    np.testing.assert_allclose(lengths / lengths[0], [1, 0.25, 0.5], rtol=1e-2)
    assert re.findall(r'<rect class="(\w+)"', svg) == ["gain", "loss", "gain"]
    np.testing.assert_allclose(tops[0] + lengths[0], tops[1], atol=0.11)
    assert "<title>2016\N{EN DASH}2018: +2.00 ha</title>" in svg


def axis_labels(svg: str) -> list[tuple[float, str]]:
    """The right edge and the text of each label beside the vertical axis, from below."""
    found = re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="end"[^>]*>([^<]+)<', svg)
    return [(float(edge), text) for edge, text in found]


def test_a_mine_without_change_has_an_axis_of_round_hectares():
    svg = gain_and_loss_bars([(2015, 2016)], [0.0], [0.0])
    assert [text for _, text in axis_labels(svg)] == ["0", "+1 ha"]
    assert [text for _, text in axis_labels(area_curve([2015], [0.0]))] == ["0", "1 ha"]
    # Losses alone end the axis at zero, without a tick above it.
    assert axis_labels(gain_and_loss_bars([(2015, 2016)], [0.0], [0.3]))[-1][1] == "0 ha"


@pytest.mark.parametrize("hectares", [0.02, 0.3, 4000.0, 15_000.0])
def test_labels_of_small_and_large_areas_lie_inside_the_drawing(hectares):
    # Widths of Helvetica's glyphs in thousandths of 12 pixels, from its font metrics; the others have 556.
    widths = {"+": 584, "\N{MINUS SIGN}": 584, ".": 278, " ": 278, "\N{NARROW NO-BREAK SPACE}": 200}
    svg = gain_and_loss_bars([(2015, 2016)], [hectares], [hectares])
    for edge, text in axis_labels(svg):
        assert sum(widths.get(letter, 556) for letter in text) * 12 / 1000 <= edge, text
