"""Windows over scenes of any size against a brute-force weighted mean, and blending that rounds nothing."""

import numpy as np
import pytest
from numpy.typing import NDArray

from euromine.monitoring.mapping.tiling import Axis, Blender, Block, BlockBlender, Tiling
from euromine.support.errors import ArgumentError

SIZES = [
    (1, 1),
    (1, 300),
    (7, 5),
    (31, 33),
    (64, 64),
    (65, 130),
    (97, 101),
    (160, 161),
    (255, 32),
    (300, 211),
]
LAYOUTS = [(32, 0), (32, 16), (64, 7), (64, 20), (96, 48), (512, 64)]


def blend(
    tiling: Tiling, answers: NDArray[np.float32], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """All rows of a scene from the answer of each window (windows, rows.size, columns.size)."""
    blender, rows = Blender(tiling), []
    for number, (row, column) in enumerate(tiling):
        complete = blender.add(row, column, answers[number], None if valid is None else valid[number])
        if complete is not None:
            assert complete[0] == sum(len(block) for block in rows)
            rows.append(complete[1].copy())
    return np.concatenate(rows)


def shown(tiling: Tiling, scene: NDArray[np.generic]) -> NDArray[np.generic]:
    """What each window shows of a scene (height, width)."""
    return np.stack(
        [scene[tiling.rows.inside(row)[:, None], tiling.columns.inside(column)] for row, column in tiling]
    )


def weights(axis: Axis) -> NDArray[np.float64]:
    """(windows, length) how much of each window is in each pixel, from the description of the layout.

    A window counts fully between the middle halves of its two overlaps, not at all beyond, and linearly in
    between; the scene begins half an overlap after its first window.
    """
    overlap = axis.size - axis.stride
    unused, margin = overlap // 4, overlap // 2
    blended = overlap - 2 * unused
    table = np.zeros((axis.count, axis.length))
    for number in range(axis.count):
        for pixel in range(axis.length):
            place = pixel + margin - number * axis.stride
            # Without an overlap one window begins where the other ends.
            rising = 1.0 if number == 0 or not blended else (place - unused + 0.5) / blended
            is_last = number == axis.count - 1
            falling = 1.0 if is_last or not blended else (axis.size - unused - place - 0.5) / blended
            if 0 <= place < axis.size:
                table[number, pixel] = np.clip(min(rising, falling), 0, 1)
    return table


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_that_agree_give_the_scene_bit_for_bit(
    size: tuple[int, int], layout: tuple[int, int]
) -> None:
    scene = np.random.default_rng(0).random(size, np.float32)
    tiling = Tiling.of(*size, *layout)
    np.testing.assert_array_equal(blend(tiling, shown(tiling, scene).astype(np.float32)), scene)


@pytest.mark.parametrize("value", [0.7, 0.1, 1 / 3, 1e-30, 1 - 2**-24])
@pytest.mark.parametrize("size", SIZES)
def test_a_constant_stays_that_very_number(size: tuple[int, int], value: float) -> None:
    tiling = Tiling.of(*size, 64, 32)
    answers = np.full((len(tiling), tiling.rows.size, tiling.columns.size), value, np.float32)
    assert np.unique(blend(tiling, answers)).tolist() == [np.float32(value)]


@pytest.mark.parametrize("size", [(1, 1), (97, 101), (300, 211), (65, 130)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_that_disagree_fade_as_a_weighted_mean(
    size: tuple[int, int], layout: tuple[int, int]
) -> None:
    tiling = Tiling.of(*size, *layout)
    answers = np.random.default_rng(1).random(
        (len(tiling), tiling.rows.size, tiling.columns.size), np.float32
    )
    by_row, by_column = weights(tiling.rows), weights(tiling.columns)
    np.testing.assert_allclose(by_row.sum(0), 1, rtol=1e-12)
    expected = np.zeros(size)
    for number, (row, column) in enumerate(tiling):
        top = row * tiling.rows.stride - tiling.rows.margin
        left = column * tiling.columns.stride - tiling.columns.margin
        for y in range(max(top, 0), min(top + tiling.rows.size, size[0])):
            columns = np.arange(max(left, 0), min(left + tiling.columns.size, size[1]))
            weight = by_row[row, y] * by_column[column, columns]
            expected[y, columns] += weight * answers[number][y - top, columns - left]
    np.testing.assert_allclose(blend(tiling, answers), expected, atol=3e-7)


def test_no_step_is_larger_than_the_fading_allows() -> None:
    tiling = Tiling.of(400, 400, 128, 64)
    answers = np.zeros((len(tiling), tiling.rows.size, tiling.columns.size), np.float32)
    answers[np.random.default_rng(0).random(len(tiling)) < 0.5] = 1
    blended = blend(tiling, answers)
    assert blended.min() == 0
    assert blended.max() == 1
    for axis in (0, 1):
        assert np.abs(np.diff(blended, axis=axis)).max() <= 1 / 32 + 1e-6


@pytest.mark.parametrize("size", SIZES)
def test_pixels_without_data_are_nan_and_no_others(size: tuple[int, int]) -> None:
    valid = np.random.default_rng(2).random(size) < 0.7
    tiling = Tiling.of(*size, 64, 32)
    answers = np.full((len(tiling), tiling.rows.size, tiling.columns.size), 0.25, np.float32)
    blended = blend(tiling, answers, shown(tiling, valid).astype(bool))
    np.testing.assert_array_equal(np.isnan(blended), ~valid)
    assert (blended[valid] == np.float32(0.25)).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("window", "overlap"), LAYOUTS)
def test_blocks_put_together_are_the_blended_rows(size: tuple[int, int], window: int, overlap: int) -> None:
    tiling = Tiling.of(*size, window, overlap)
    stacks = np.random.default_rng(3).random((2, len(tiling), tiling.rows.size, tiling.columns.size))
    answers = stacks.astype(np.float32)
    expected = np.stack([blend(tiling, each) for each in answers])
    for first_row in {0, tiling.rows.count // 2}:
        blender = BlockBlender(tiling, 2)
        found = np.full(expected.shape, np.nan, np.float32)
        unfinished = 0
        for number, (row, column) in enumerate(tiling):
            if row < first_row:
                continue
            blended = blender.add(row, column, answers[:, number].copy())
            block = Block.of(tiling, row, column)
            height, width = blended.shape[1:]
            assert np.isnan(found[:, block.top :, block.left :][:, :height, :width]).all()
            found[:, block.top : block.top + height, block.left : block.left + width] = blended
            if first_row and row == first_row:
                unfinished = block.top + height
        np.testing.assert_array_equal(found[:, unfinished:], expected[:, unfinished:])


@pytest.mark.parametrize("length", [1, 2, 3, 10, 500])
def test_beyond_a_border_the_scene_is_mirrored(length: int) -> None:
    axis = Axis.of(length, 512, 64)
    mirrored = np.pad(np.arange(length), (axis.margin, 1000), mode="reflect" if length > 1 else "edge")
    np.testing.assert_array_equal(axis.inside(0), mirrored[: axis.size])


@pytest.mark.parametrize("length", [1, 31, 159, 160, 448, 449, 1000, 10_980])
@pytest.mark.parametrize(("window", "overlap"), [(512, 64), (256, 128), (32, 0), (96, 31)])
def test_windows_cover_the_scene_and_are_no_larger_than_need_be(
    length: int, window: int, overlap: int
) -> None:
    axis = Axis.of(length, window, overlap)
    assert axis.size <= window
    assert axis.size % 32 == 0
    assert axis.count == 1 or axis.stride >= axis.blended
    begin, end = -axis.margin, (axis.count - 1) * axis.stride + axis.size - axis.margin
    assert begin == -(overlap // 2)
    assert end >= length + overlap // 2
    assert end - (length + overlap // 2) < 32 * axis.count


@pytest.mark.parametrize(
    ("window", "overlap", "message"),
    [
        (500, 64, "window: found 500; expected a positive multiple of 32"),
        (0, 0, "window: found 0; expected a positive multiple of 32"),
        (64, 33, "overlap: found 33; expected 0 to 32, half of the window"),
        (64, -1, "overlap: found -1; expected 0 to 32, half of the window"),
    ],
)
def test_layouts_that_cannot_be_are_refused(window: int, overlap: int, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Tiling.of(100, 100, window, overlap)
