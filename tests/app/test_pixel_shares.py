"""The share of each pixel inside an outline, against each pixel cut by itself."""

import numpy as np
import pytest
import shapely

from euromine.app.pixel_shares import pixel_shares

SPAN = ((2, 43), (5, 70))


def cut_one_by_one(outline, span):
    (top, bottom), (left, right) = span
    return np.array(
        [
            [outline.intersection(shapely.box(x, y, x + 1, y + 1)).area for x in range(left, right)]
            for y in range(top, bottom)
        ]
    )


@pytest.mark.parametrize(
    "outline",
    [
        shapely.Point(30.3, 20.7).buffer(14.2),
        shapely.Polygon([(6.2, 3.1), (66, 12.5), (20, 41.9)], [[(20, 15), (25, 14), (24, 20)]]),
        shapely.MultiPolygon([shapely.box(7.25, 4, 9, 6.5), shapely.Point(60, 30).buffer(0.2)]),
        shapely.box(-10, -10, 100, 100),
        shapely.box(5, 2, 70, 43),
        shapely.box(0, 0, 4, 4),
        shapely.LineString([(6, 6), (60, 40)]).buffer(0.05),
    ],
)
def test_shares_are_exact(outline) -> None:
    found = pixel_shares(outline, SPAN)
    np.testing.assert_allclose(found, cut_one_by_one(outline, SPAN), atol=1e-8)
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-9
