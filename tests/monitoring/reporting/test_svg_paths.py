"""Outlines as SVG paths."""

import re

import numpy as np

from euromine.monitoring.reporting.svg_paths import outline_path


def test_an_outline_encloses_just_the_pixels_of_its_mask():
    mask = np.random.default_rng(0).random((23, 31)) < 0.5
    path = outline_path(mask)
    # By hand: a pixel is inside if a ray to its right crosses the outline an odd number of times.
    inside = np.zeros_like(mask)
    for ring in path.rstrip("z").split("z"):
        start, *steps = re.findall(r"M-?\d+ -?\d+|[hv]-?\d+", ring)
        x, y = map(int, start[1:].split())
        begin = x
        for step in [*steps, None]:
            if step is None:
                assert x == begin or y == int(start[1:].split()[1])
                target = int(start[1:].split()[1])
                low, high = sorted((y, target))
                inside[low:high, :x] ^= True
            elif step[0] == "h":
                x += int(step[1:])
            else:
                low, high = sorted((y, y + int(step[1:])))
                inside[low:high, :x] ^= True
                y += int(step[1:])
    np.testing.assert_array_equal(inside, mask)
