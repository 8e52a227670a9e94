"""Packing and counting of pixels."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from euromine.metrics import counts


@settings(max_examples=100, deadline=None)
@given(data=st.data(), years=st.integers(0, 3), height=st.integers(1, 20), width=st.integers(1, 20))
def test_packed_maps_hold_every_pixel_once(data, years, height, width):
    seed = data.draw(st.integers(0, 2**32))
    maps = np.random.default_rng(seed).choice([0, 1, 255], size=(years, height, width))
    for dtype in (np.uint8, np.int32):
        ones, valid = counts.pack(maps.astype(dtype), "maps")
        assert ones.dtype == valid.dtype == np.uint64
        assert ones.shape == valid.shape == (years, -(-height * width // 64))
        for bits, expected in ((ones, maps == 1), (valid, maps != 255)):
            unpacked = np.unpackbits(bits.view(np.uint8), axis=-1)
            assert np.array_equal(unpacked[:, : height * width], expected.reshape(years, height * width))
            assert not unpacked[:, height * width :].any()
            assert counts.count_bits(bits).tolist() == expected.sum(axis=(1, 2)).tolist()


def test_maps_need_not_be_contiguous():
    maps = np.random.default_rng(0).choice(np.array([0, 1, 255], np.uint8), size=(12, 14, 10))
    view = maps.transpose(2, 1, 0)[::2, ::-1]
    for bits, expected in zip(counts.pack(view, "view"), counts.pack(view.copy(), "copy"), strict=True):
        assert np.array_equal(bits, expected)


def test_pairs_come_in_the_order_of_combinations():
    for years in range(6):
        pairs = list(zip(*counts.pair_indices(years), strict=True))
        assert pairs == list(itertools.combinations(range(years), 2))
