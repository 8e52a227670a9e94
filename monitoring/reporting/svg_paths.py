"""Outlines of masks and polygons as SVG paths."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def outline_path(mask: NDArray[np.bool_]) -> str:
    """The boundary of a mask along the pixels' edges, as the `d` of an SVG path in pixels.

    Holes are separate rings: a filled path needs `fill-rule="evenodd"`.

    Args:
        mask: (height, width).
    """
    from rasterio.features import shapes

    rings = [
        [(round(x), round(y)) for x, y in ring]
        for geometry, _ in shapes(mask.astype(np.uint8), mask=mask, connectivity=4)
        for ring in geometry["coordinates"]
    ]
    return "".join(map(_edge_path, rings))


def geometry_path(
    geometries: Iterable[Any],
    transform: tuple[float, float, float, float, float, float],
    scale: tuple[float, float],
) -> str:
    """Polygons as the `d` of an SVG path over a map.

    Args:
        geometries: Polygons and multipolygons of shapely, in the coordinate system of the map.
        transform: Affine coefficients of the map's full grid.
        scale: Columns and rows of the drawing per column and row of that grid.
    """
    from rasterio import Affine

    a, b, c, d, e, f = (~Affine(*transform))[:6]
    across, down = scale
    parts = []
    for geometry in geometries:
        for polygon in getattr(geometry, "geoms", [geometry]):
            for ring in (polygon.exterior, *polygon.interiors):
                points = [(a * x + b * y + c, d * x + e * y + f) for x, y, *_ in ring.coords]
                line = "L".join(f"{column * across:.1f} {row * down:.1f}" for column, row in points)
                parts.append(f"M{line}z")
    return "".join(parts)


def _edge_path(points: Sequence[tuple[int, int]]) -> str:
    """A closed ring of horizontal and vertical edges, each written as its length, the shortest notation."""
    path = [f"M{points[0][0]} {points[0][1]}"]
    for (x_1, y_1), (x_2, y_2) in pairwise(points[:-1]):
        path.append(f"h{x_2 - x_1}" if y_1 == y_2 else f"v{y_2 - y_1}")
    return "".join(path) + "z"
