import numpy as np
import pytest

from euromine.training.sampling import EpochSampler, PairSampler, SeriesSampler

# Patch a has ten years, so 45 pairs of intervals 1 to 9; patch b has three.
PAIRS = [
    (patch, later - year)
    for patch, years in (("a", 10), ("b", 3))
    for year in range(years)
    for later in range(year + 1, years)
]
PATCHES = [patch for patch, _ in PAIRS]
INTERVALS = [interval for _, interval in PAIRS]


def drawn_intervals(sampling: str, pairs_per_patch: int, epochs: int) -> np.ndarray:
    """How often each interval of patch a was drawn."""
    sampler = PairSampler(PATCHES, INTERVALS, pairs_per_patch, sampling, seed=0)
    counts = np.zeros(10, int)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for row in sampler:
            if PATCHES[row] == "a":
                counts[INTERVALS[row]] += 1
    return counts[1:]


def test_an_epoch_visits_every_row_once():
    sampler = EpochSampler(50, seed=3)
    assert sorted(sampler) == list(range(50))
    assert len(sampler) == 50


def test_an_order_depends_on_seed_and_epoch_alone():
    first, second = EpochSampler(50, seed=3), EpochSampler(50, seed=3)
    for epoch in range(4):
        first.set_epoch(epoch)
        list(first)
    np.random.default_rng(1).random()
    second.set_epoch(3)
    assert list(first) == list(second)
    second.set_epoch(2)
    assert list(first) != list(second)
    other = EpochSampler(50, seed=4)
    other.set_epoch(3)
    assert list(first) != list(other)


@pytest.mark.parametrize("sampling", ["uniform", "balanced", "inverse"])
def test_each_patch_gives_as_many_different_pairs_as_are_asked_for(sampling):
    sampler = PairSampler(PATCHES, INTERVALS, 5, sampling, seed=0)
    rows = list(sampler)
    assert len(rows) == len(set(rows)) == len(sampler) == 5 + 3
    assert sum(PATCHES[row] == "b" for row in rows) == 3


def test_pairs_are_drawn_anew_for_each_epoch_and_alike_for_the_same_one():
    sampler = PairSampler(PATCHES, INTERVALS, 5, "balanced", seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    assert set(first) != set(sampler)
    sampler.set_epoch(0)
    assert first == list(sampler)


def test_rows_need_not_be_sorted_by_patch():
    order = np.random.default_rng(0).permutation(len(PATCHES))
    sampler = PairSampler([PATCHES[i] for i in order], np.asarray(INTERVALS)[order], 4, seed=0)
    assert sorted(PATCHES[order[row]] for row in sampler) == ["a"] * 4 + ["b"] * 3


@pytest.mark.parametrize(
    ("sampling", "weights"),
    [
        # Of ten years there are 9 pairs with interval 1, 8 with interval 2, ... 1 with interval 9.
        ("uniform", [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ("balanced", [1] * 9),
        (
            "inverse",
            [count / interval for interval, count in enumerate([9, 8, 7, 6, 5, 4, 3, 2, 1], start=1)],
        ),
    ],
)
def test_intervals_are_drawn_in_the_proportion_that_is_asked_for(sampling, weights):
    epochs = 3000
    found = drawn_intervals(sampling, 1, epochs)
    expected = epochs * np.asarray(weights) / np.sum(weights)
    # Five standard deviations of a binomial draw.
    assert np.all(np.abs(found - expected) < 5 * np.sqrt(expected))


@pytest.mark.parametrize("pairs_per_patch", [4, 100])
@pytest.mark.parametrize("sampling", ["uniform", "balanced", "inverse"])
def test_a_series_is_the_pairs_that_are_drawn_of_its_patch(sampling, pairs_per_patch):
    order = np.random.default_rng(0).permutation(len(PATCHES))
    patches, intervals = [PATCHES[i] for i in order], np.asarray(INTERVALS)[order]
    pairs = PairSampler(patches, intervals, pairs_per_patch, sampling, seed=5)
    series = SeriesSampler(patches, intervals, pairs_per_patch, sampling, seed=5)
    for epoch in range(3):
        pairs.set_epoch(epoch)
        series.set_epoch(epoch)
        samples = list(series)
        assert len(samples) == len(series) == 2
        assert sorted(row for rows in samples for row in rows) == sorted(pairs)
        assert all(len({patches[row] for row in rows}) == 1 for rows in samples)
        assert list(series) == samples


def test_patches_come_in_an_order_of_their_own_in_each_epoch():
    sampler = SeriesSampler([f"patch_{row // 2}" for row in range(40)], [1, 2] * 20, 2, seed=1)
    orders = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == [(2 * patch, 2 * patch + 1) for patch in range(20)]


def test_an_unknown_sampling_is_refused():
    with pytest.raises(ValueError, match="sampling: found 'best'; expected uniform, balanced or inverse"):
        PairSampler(PATCHES, INTERVALS, 5, "best")
