"""Runs of pixels, against COCO's own tools and against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from euromine.annotation.run_lengths import checked_runs, mask_runs, unpacked_counts
from euromine.support.errors import AnnotationError

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@settings(max_examples=100, deadline=None)
@given(MASKS)
def test_runs_down_columns_are_those_of_cocos_tools(mask):
    coco = pytest.importorskip("pycocotools.mask")
    height, width = mask.shape
    packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    counts = unpacked_counts(packed["counts"].decode(), "here")
    np.testing.assert_array_equal(checked_runs(counts, (0, 0, width, height), "columns", "here").mask(), mask)
    theirs = coco.frPyObjects({"counts": mask_runs(mask, "columns"), "size": [height, width]}, height, width)
    np.testing.assert_array_equal(coco.decode(theirs), mask)


@settings(max_examples=100, deadline=None)
@given(MASKS)
def test_runs_along_rows_paint_pixel_after_pixel(mask):
    counts = mask_runs(mask, "rows")
    painted = [pixel for place, count in enumerate(counts) for pixel in [place % 2 == 1] * count]
    assert painted == mask.ravel().tolist()
    assert min(counts[1:], default=1) > 0
    runs = checked_runs(counts, (3, 4, mask.shape[1], mask.shape[0]), "rows", "here")
    np.testing.assert_array_equal(runs.mask(), mask)
    assert runs.pixels == mask.sum()


@settings(max_examples=100, deadline=None)
@given(MASKS, st.sampled_from(["rows", "columns"]))
def test_a_mask_without_its_empty_border_lies_in_the_same_place(mask, order):
    height, width = mask.shape
    runs = checked_runs(mask_runs(mask, order), (2, 5, width, height), order, "here").cropped()
    found = np.zeros((height + 9, width + 9), bool)
    found[runs.top : runs.top + runs.height, runs.left : runs.left + runs.width] = runs.mask()
    np.testing.assert_array_equal(found[5 : 5 + height, 2 : 2 + width], mask)
    assert found.sum() == mask.sum()
    if mask.any():
        lines = runs.mask().any(axis=1 if order == "rows" else 0)
        assert lines[0]
        assert lines[-1]


def test_large_counts_that_shrink_are_unpacked():
    coco = pytest.importorskip("pycocotools.mask")
    mask = np.zeros((2000, 900), np.uint8, order="F")
    mask[100:1900, 100:101] = 1
    mask[3, 500:] = 1
    packed = coco.encode(mask)["counts"].decode()
    runs = checked_runs(unpacked_counts(packed, "here"), (0, 0, 900, 2000), "columns", "here")
    np.testing.assert_array_equal(runs.mask(), mask)


@pytest.mark.parametrize("text", ["l029OH080H091d", "\x07", "~~~~~~~~~~", "oooooooooooooooooo"])
def test_damaged_strings_are_refused(text):
    with pytest.raises(AnnotationError, match=r"packed runs that are damaged|found runs of"):
        checked_runs(unpacked_counts(text, "here"), (0, 0, 16, 12), "columns", "here")


@pytest.mark.parametrize(
    "counts", [[4, 4.5, 1], ["a"], [None], [True, 8], [9, -1], [9.0, 1], [10**30], [4, 4]]
)
def test_runs_that_do_not_fill_their_box_are_refused(counts):
    with pytest.raises(AnnotationError, match="here: found "):
        checked_runs(counts, (0, 0, 3, 3), "rows", "here")
