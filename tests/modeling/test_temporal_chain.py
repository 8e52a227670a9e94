"""The chain against a sum over all paths, one at a time, in float64."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from torch import Tensor

from euromine.modeling.temporal_chain import (
    LARGEST_RATE,
    SMALLEST_RATE,
    ChainPosterior,
    annual_rates,
    log_transitions,
    most_likely_path,
)

YEARS = 6
PAIRS = [*combinations(range(YEARS), 2)]


def random_chain(years: int = YEARS, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Potentials (2, years, 2, 3, 4) and transitions (2, years - 1, 2, 2, 3, 4), with strong evidence."""
    generator = torch.Generator().manual_seed(years)
    potentials = 3 * torch.randn(2, years, 2, 3, 4, generator=generator, dtype=dtype)
    rates = annual_rates(2 * torch.randn(2, 2, years - 1, 3, 4, generator=generator, dtype=dtype))
    gaps = torch.randint(1, 4, (2, years - 1), generator=generator)
    return potentials, log_transitions(rates[0], rates[1], gaps)


def weights_of_paths(potentials: Tensor, transitions: Tensor) -> dict[tuple[int, ...], Tensor]:
    """The probability of every path, by multiplying along it."""
    years = potentials.shape[1]
    found = {}
    for path in product((0, 1), repeat=years):
        weight = torch.zeros_like(potentials[:, 0, 0])
        for year, state in enumerate(path):
            weight = weight + potentials[:, year, state]
        for step in range(years - 1):
            weight = weight + transitions[:, step, path[step], path[step + 1]]
        found[path] = weight.exp()
    total = sum(found.values())
    return {path: weight / total for path, weight in found.items()}


@pytest.fixture(scope="module")
def chain() -> tuple[Tensor, Tensor]:
    return random_chain()


@pytest.fixture(scope="module")
def paths(chain) -> dict[tuple[int, ...], Tensor]:
    return weights_of_paths(*chain)


def test_marginals_are_the_sum_over_all_paths(chain, paths):
    found = ChainPosterior.of(*chain).log_marginals().exp()
    for year, state in product(range(YEARS), (0, 1)):
        expected = sum(weight for path, weight in paths.items() if path[year] == state)
        torch.testing.assert_close(found[:, year, state], expected, rtol=1e-10, atol=1e-12)


def test_changes_between_any_two_years_are_the_sum_over_all_paths(chain, paths):
    found = ChainPosterior.of(*chain).log_change_probabilities(PAIRS).exp()
    for number, (first, last) in enumerate(PAIRS):
        expected = sum(weight for path, weight in paths.items() if path[first] != path[last])
        torch.testing.assert_close(found[:, number, 1], expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found[:, number, 0], 1 - expected, rtol=1e-9, atol=1e-12)


def test_pairs_may_be_few_repeated_reversed_or_of_one_year(chain):
    every = ChainPosterior.of(*chain).log_change_probabilities(PAIRS)
    some = ChainPosterior.of(*chain).log_change_probabilities([(4, 1), (0, 5), (1, 4), (2, 2)])
    at = {pair: number for number, pair in enumerate(PAIRS)}
    torch.testing.assert_close(some[:, :3], every[:, [at[1, 4], at[0, 5], at[1, 4]]], rtol=0, atol=0)
    assert torch.equal(some[:, 3, 0].exp(), torch.ones(2, 3, 4, dtype=torch.float64))
    assert torch.equal(some[:, 3, 1].exp(), torch.zeros(2, 3, 4, dtype=torch.float64))


def test_the_likelihood_sums_over_the_states_of_ignored_years(chain, paths):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (2, YEARS, 3, 4), generator=generator)
    labels[labels == 2] = 255
    labels[0, :, 0, 0] = 255
    found = ChainPosterior.of(*chain).log_likelihood(labels, 255).exp()
    expected = torch.zeros(2, 3, 4, dtype=torch.float64)
    for path, weight in paths.items():
        states = torch.tensor(path)[None, :, None, None]
        fits = ((labels == states) | (labels == 255)).all(dim=1)
        expected += torch.where(fits, weight, 0.0)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert found[0, 0, 0] == 1


def test_the_path_is_the_most_likely_of_all(chain, paths):
    found = most_likely_path(*chain)
    every = torch.stack(list(paths.values()))
    best = torch.tensor(list(paths))[every.argmax(dim=0)]  # (2, 3, 4, years)
    assert torch.equal(found, best.permute(0, 3, 1, 2))


@pytest.mark.parametrize("gap", [1, 2, 3, 7, 40])
def test_a_gap_of_years_is_a_power_of_the_annual_matrix(gap):
    for gain, loss in [
        (0.02, 0.005),
        (SMALLEST_RATE, SMALLEST_RATE),
        (LARGEST_RATE, LARGEST_RATE),
        (0.3, 1e-5),
    ]:
        annual = np.array([[1 - gain, gain], [loss, 1 - loss]])
        expected = np.linalg.matrix_power(annual, gap)
        rates = (torch.full((1, 1, 1, 1), rate, dtype=torch.float64) for rate in (gain, loss))
        found = log_transitions(*rates, torch.tensor([[gap]])).exp()[0, 0, :, :, 0, 0]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_gradients_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(2)
    potentials = torch.randn(1, 4, 2, 1, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(2, 1, 3, 1, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 255, 1])[None, :, None, None].expand(1, 4, 1, 2)
    gaps = torch.tensor([[1, 2, 5]])

    def outputs(potentials: Tensor, logits: Tensor) -> tuple[Tensor, ...]:
        posterior = ChainPosterior.of(potentials, log_transitions(*annual_rates(logits), gaps))
        return (
            posterior.log_marginals(),
            posterior.log_change_probabilities([(0, 1), (0, 3), (1, 3)]),
            posterior.log_likelihood(labels, 255),
        )

    assert torch.autograd.gradcheck(outputs, (potentials, logits))


@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, 300.0])
def test_float32_is_near_float64_with_evidence_of_any_strength(size):
    generator = torch.Generator().manual_seed(3)
    potentials = size * torch.randn(1, 10, 2, 8, 8, generator=generator)
    logits = 20 * torch.randn(2, 1, 9, 8, 8, generator=generator)
    logits.requires_grad_()
    potentials.requires_grad_()
    gaps = torch.tensor([[1, 1, 2, 1, 1, 3, 1, 1, 1]])
    found = []
    for dtype in (torch.float32, torch.float64):
        transitions = log_transitions(*annual_rates(logits.to(dtype)), gaps)
        posterior = ChainPosterior.of(potentials.to(dtype), transitions)
        changes = posterior.log_change_probabilities([*combinations(range(10), 2)])
        found.append((posterior.log_marginals().exp(), changes.exp()))
    for single, double in zip(*found, strict=True):
        torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-4)
    (found[0][0].sum() + found[0][1][:, :, 1].sum()).backward()
    assert potentials.grad.isfinite().all()
    assert logits.grad.isfinite().all()


def test_where_two_maps_agree_a_change_is_less_likely_than_not(chain):
    """Rates below one half tie the years, so a change map never contradicts two equal footprint maps."""
    states = ChainPosterior.of(*chain).log_marginals().argmax(dim=2)
    changes = ChainPosterior.of(*chain).log_change_probabilities(PAIRS).argmax(dim=2).bool()
    for number, (first, last) in enumerate(PAIRS):
        assert not (changes[:, number] & (states[:, first] == states[:, last])).any()
    assert changes.any()
