"""The grid of patches against its definition, written out pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from euromine.dataset_script.patches import PATCH_SIZE, Patch, cut, owned_mask, patch_grid, stitch

# Small windows show every case of a large one, and leave room for many examples.
lengths = st.integers(1, 40)
sizes = st.integers(1, 11)
exhaustively = settings(max_examples=300, deadline=None)


def windows_by_definition(height: int, width: int, size: int) -> list[tuple[int, int]]:
    """Top and left of each window of a scene that is at least one window large, in the release's order."""
    tops = [top for top in range(0, height, size) if top + size <= height]
    lefts = [left for left in range(0, width, size) if left + size <= width]
    windows = [(top, left) for top in tops for left in lefts]
    if height % size:
        windows += [(height - size, left) for left in lefts]
    if width % size:
        windows += [(top, width - size) for top in tops]
    if height % size and width % size:
        windows.append((height - size, width - size))
    return windows


def test_whole_windows_come_first_then_the_bottom_row_the_right_column_and_the_corner() -> None:
    patches = patch_grid(330, 500)
    assert PATCH_SIZE == 160
    assert [(patch.top, patch.left, patch.own) for patch in patches] == [
        (0, 0, (0, 0, 160, 160)),
        (0, 160, (0, 0, 160, 160)),
        (0, 320, (0, 0, 160, 160)),
        (160, 0, (0, 0, 160, 160)),
        (160, 160, (0, 0, 160, 160)),
        (160, 320, (0, 0, 160, 160)),
        (170, 0, (150, 0, 160, 160)),
        (170, 160, (150, 0, 160, 160)),
        (170, 320, (150, 0, 160, 160)),
        (0, 340, (0, 140, 160, 160)),
        (160, 340, (0, 140, 160, 160)),
        (170, 340, (150, 140, 160, 160)),
    ]


@pytest.mark.parametrize(
    ("height", "width", "windows"),
    [
        (1, 1, [(0, 0, (0, 0, 1, 1))]),
        (160, 160, [(0, 0, (0, 0, 160, 160))]),
        (159, 161, [(0, 0, (0, 0, 159, 160)), (0, 1, (0, 159, 159, 160))]),
        (320, 40, [(0, 0, (0, 0, 160, 40)), (160, 0, (0, 0, 160, 40))]),
    ],
)
def test_small_and_whole_scenes_have_the_windows_written_here(
    height: int, width: int, windows: list[tuple[int, int, tuple[int, int, int, int]]]
) -> None:
    assert [(patch.top, patch.left, patch.own) for patch in patch_grid(height, width)] == windows


@exhaustively
@given(sizes, st.integers(0, 30), st.integers(0, 30))
def test_windows_and_their_order_are_those_of_the_definition(size: int, rows: int, columns: int) -> None:
    height, width = size + rows, size + columns
    patches = patch_grid(height, width, size)
    assert [(patch.top, patch.left) for patch in patches] == windows_by_definition(height, width, size)


@exhaustively
@given(lengths, lengths, sizes)
def test_every_pixel_is_owned_once_by_the_first_window_that_contains_it(
    height: int, width: int, size: int
) -> None:
    patches = patch_grid(height, width, size)
    owner = np.full((height, width), -1)
    for number, patch in enumerate(patches):
        inside = owner[patch.top : patch.top + size, patch.left : patch.left + size]
        inside[inside == -1] = number
    counted = np.zeros((height, width), dtype=int)
    for number, patch in enumerate(patches):
        top, left, bottom, right = patch.own
        assert 0 <= top < bottom <= size
        assert 0 <= left < right <= size
        box = np.s_[patch.top + top : patch.top + bottom, patch.left + left : patch.left + right]
        counted[box] += 1
        assert (owner[box] == number).all()
    assert (counted == 1).all()


@exhaustively
@given(lengths, lengths, sizes, st.sampled_from([(), (3,), (2, 4)]), st.sampled_from(["i2", "u1", "f4"]))
def test_cutting_and_stitching_gives_the_scene_back(
    height: int, width: int, size: int, leading: tuple[int, ...], dtype: str
) -> None:
    shape = (*leading, height, width)
    scene = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    patches = patch_grid(height, width, size)
    cuts = [cut(scene, patch, size) for patch in patches]
    assert {array.shape for array in cuts} == {(*leading, size, size)}
    stitched = stitch((array for array in cuts), patches, height, width)
    assert stitched.dtype == scene.dtype
    np.testing.assert_array_equal(stitched, scene)


@exhaustively
@given(lengths, lengths, sizes)
def test_pixels_outside_the_owned_box_do_not_reach_the_stitched_scene(
    height: int, width: int, size: int
) -> None:
    scene = np.arange(height * width).reshape(height, width)
    patches = patch_grid(height, width, size)
    cuts = [np.where(owned_mask(patch.own, size), cut(scene, patch, size), -1) for patch in patches]
    np.testing.assert_array_equal(stitch(cuts, patches, height, width), scene)


@given(st.integers(1, 200), st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_a_scene_under_a_patch_is_wrapped_as_numpy_pads_it(height: int, width: int) -> None:
    scene = np.arange(2 * height * width).reshape(2, height, width)
    patch = patch_grid(height, width)[0]
    below, beside = max(160 - height, 0), max(160 - width, 0)
    padded = np.pad(scene, ((0, 0), (0, below), (0, beside)), mode="wrap")
    np.testing.assert_array_equal(cut(scene, patch), padded[:, :160, :160])


def test_the_smallest_scene_fills_its_patch_with_its_only_pixel() -> None:
    assert (cut(np.array([[7]], dtype=np.int16), patch_grid(1, 1)[0]) == 7).all()


def test_owned_mask_is_true_inside_the_box_alone() -> None:
    mask = owned_mask([1, 0, 3, 2], size=4)
    assert mask.tolist() == [
        [False, False, False, False],
        [True, True, False, False],
        [True, True, False, False],
        [False, False, False, False],
    ]
    assert owned_mask((0, 0, 160, 160)).shape == (160, 160)


@pytest.mark.parametrize(("height", "width", "size"), [(0, 5, 160), (5, 0, 160), (-3, 5, 160), (5, 5, 0)])
def test_sizes_under_one_pixel_are_refused(height: int, width: int, size: int) -> None:
    with pytest.raises(ValueError, match="expected at least 1 pixel"):
        patch_grid(height, width, size)


@pytest.mark.parametrize("patch", [Patch(41, 0, (0, 0, 1, 1)), Patch(0, -1, (0, 0, 1, 1))])
def test_a_window_that_is_not_in_the_scene_is_refused(patch: Patch) -> None:
    with pytest.raises(ValueError, match="expected one of patch_grid"):
        cut(np.zeros((200, 200)), patch)


def test_patches_that_do_not_make_up_the_scene_are_refused() -> None:
    patches = patch_grid(200, 200)
    arrays = [np.zeros((160, 160))] * len(patches)
    with pytest.raises(ValueError, match="which own 40000"):
        stitch(arrays[:-1], patches[:-1], 200, 200)
    with pytest.raises(ValueError, match="arrays: found 3 for 4 patches"):
        stitch(arrays[:-1], patches, 200, 200)
    with pytest.raises(ValueError, match="arrays: found more than the 4"):
        stitch([*arrays, arrays[0]], patches, 200, 200)
