"""An exact two-state chain over the years of a series, independently for each pixel.

A state is background (0) or mine (1). Each year has a potential per state, and between neighbouring years the
chain passes through a transition matrix of annual rates, raised to the number of years between them. Sums
over all paths are exact (Rabiner, "A tutorial on hidden Markov models", Proc. IEEE 1989, section III;
Lafferty, McCallum, Pereira, "Conditional random fields", ICML 2001), in logarithms, and vectorised over
pixels: the probability of each year's state, of a change between any two years, and of a labelled path.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Annual rates lie between these. Below one half, so that a state tends to persist and all powers of the
# matrix exist; above zero, so that no path is impossible.
SMALLEST_RATE = 1e-6
LARGEST_RATE = 0.45
# Log-probability of an impossible state: exp gives exactly 0, and gradients stay finite.
_IMPOSSIBLE = -1e4


def annual_rates(logits: Tensor) -> Tensor:
    """Annual rates of change, in [1e-6, 0.45], from logits of any shape."""
    return SMALLEST_RATE + (LARGEST_RATE - SMALLEST_RATE) * logits.sigmoid()


def log_transitions(gain: Tensor, loss: Tensor, gaps: Tensor) -> Tensor:
    """Logarithms of transition probabilities over gaps of years.

    The matrix of annual rates is raised to the gap in closed form: its eigenvalues are 1 and 1 - gain - loss.

    Args:
        gain: (batch, steps, height, width), annual rate from background to mine, in [1e-6, 0.45].
        loss: The same from mine to background.
        gaps: (batch or 1, steps), years between the neighbours; any positive number.

    Returns:
        (batch, steps, 2, 2, height, width): state before, state after.
    """
    gaps = gaps[..., None, None].to(gain)
    rate = gain + loss
    decay = gaps * torch.log1p(-rate)
    # Complements are sums of positive terms instead of differences from 1, which would cancel.
    changed, kept = -torch.expm1(decay), torch.exp(decay)
    gained, lost = gain / rate * changed, loss / rate * changed
    stayed_out, stayed_in = loss / rate + gain / rate * kept, gain / rate + loss / rate * kept
    before_0 = torch.stack([stayed_out, gained], dim=2)
    before_1 = torch.stack([lost, stayed_in], dim=2)
    return torch.stack([before_0, before_1], dim=2).log()


def indifferent_transitions(shape: Sequence[int], like: Tensor) -> Tensor:
    """Transitions after which both states are equally likely, independently of the state before.

    Args:
        shape: (batch, steps, height, width).
        like: A tensor on the same device.

    Returns:
        (batch, steps, 2, 2, height, width), float32: the logarithm of one half, not stored for each pixel.
    """
    batch, steps, height, width = shape
    half = like.new_full((), math.log(0.5), dtype=torch.float32)
    return half.expand(batch, steps, 2, 2, height, width)


def forward_messages(potentials: Tensor, transitions: Tensor) -> Tensor:
    """Logarithms of the summed weights of all paths up to each year's state.

    Args:
        potentials: (batch, years, 2, height, width), logarithms of each year's weight of each state.
        transitions: (batch, years - 1, 2, 2, height, width), as of `log_transitions`.

    Returns:
        (batch, years, 2, height, width), each year's own potential included. The `logsumexp` of the last year
        over the states is the logarithm of the partition function.
    """
    messages = [potentials[:, 0]]
    for step in range(transitions.shape[1]):
        arriving = torch.logsumexp(messages[-1].unsqueeze(2) + transitions[:, step], dim=1)
        messages.append(arriving + potentials[:, step + 1])
    return torch.stack(messages, dim=1)


def backward_messages(potentials: Tensor, transitions: Tensor) -> Tensor:
    """Logarithms of the summed weights of all paths after each year's state.

    Args:
        potentials: As in `forward_messages`.
        transitions: As in `forward_messages`.

    Returns:
        (batch, years, 2, height, width), without each year's own potential; 0 in the last year.
    """
    messages = [torch.zeros_like(potentials[:, -1])]
    for step in reversed(range(transitions.shape[1])):
        following = (potentials[:, step + 1] + messages[-1]).unsqueeze(1)
        messages.append(torch.logsumexp(transitions[:, step] + following, dim=2))
    return torch.stack(messages[::-1], dim=1)


@dataclass(frozen=True)
class ChainPosterior:
    """The chain given the evidence of all years; its messages serve every question about it.

    Attributes:
        potentials: As in `forward_messages`.
        transitions: As in `forward_messages`.
        forward: Forward messages.
        backward: Backward messages.
    """

    potentials: Tensor
    transitions: Tensor
    forward: Tensor
    backward: Tensor

    @classmethod
    def of(cls, potentials: Tensor, transitions: Tensor) -> "ChainPosterior":
        """Pass the messages of a chain."""
        return cls(
            potentials,
            transitions,
            forward_messages(potentials, transitions),
            backward_messages(potentials, transitions),
        )

    def log_marginals(self) -> Tensor:
        """Logarithms of the probability of each year's state, (batch, years, 2, height, width)."""
        return (self.forward + self.backward).log_softmax(dim=2)

    def log_change_probabilities(self, pairs: Sequence[tuple[int, int]]) -> Tensor:
        """Logarithms of the probability that two years have the same state, or another.

        Given the whole series, the states are again a Markov chain, whose transition matrices multiply.

        Args:
            pairs: Indices of two years each, the earlier first or later; equal years have the same state.

        Returns:
            (batch, pairs, 2, height, width): no change, change.
        """
        marginals = self.log_marginals()
        # (batch, years - 1, 2, 2, height, width): the next state given a state and all observations.
        following = (self.potentials[:, 1:] + self.backward[:, 1:]).unsqueeze(2)
        steps = (self.transitions + following).log_softmax(dim=3)
        asked = {(min(pair), max(pair)) for pair in pairs}
        found: dict[tuple[int, int], Tensor] = {}
        for first in sorted({first for first, last in asked if first < last}):
            joint = marginals[:, first].unsqueeze(2) + steps[:, first]
            for last in range(first + 1, max(last for start, last in asked if start == first) + 1):
                if last > first + 1:
                    joint = torch.logsumexp(joint.unsqueeze(3) + steps[:, last - 1].unsqueeze(1), dim=2)
                if (first, last) in asked:
                    same = torch.logaddexp(joint[:, 0, 0], joint[:, 1, 1])
                    other = torch.logaddexp(joint[:, 0, 1], joint[:, 1, 0])
                    found[first, last] = torch.stack([same, other], dim=1)
        for first, last in asked:
            if first == last:
                same = torch.zeros_like(marginals[:, 0, 0])
                found[first, last] = torch.stack([same, torch.full_like(same, _IMPOSSIBLE)], dim=1)
        return torch.stack([found[min(pair), max(pair)] for pair in pairs], dim=1)

    def log_likelihood(self, labels: Tensor, ignore_index: int) -> Tensor:
        """Logarithm of the probability of labelled states, summed over the states of ignored years.

        Args:
            labels: (batch, years, height, width), int64, 0, 1 or `ignore_index`.
            ignore_index: The label of an unknown state.

        Returns:
            (batch, height, width), at most 0; 0 where no year is labelled.
        """
        states = torch.arange(2, device=labels.device)[:, None, None]
        excluded = (labels.unsqueeze(2) != states) & (labels != ignore_index).unsqueeze(2)
        labelled = forward_messages(self.potentials.masked_fill(excluded, _IMPOSSIBLE), self.transitions)
        return (labelled[:, -1].logsumexp(dim=1) - self.forward[:, -1].logsumexp(dim=1)).clamp(max=0)


def most_likely_path(potentials: Tensor, transitions: Tensor) -> Tensor:
    """The single most likely path of states (Viterbi, IEEE Trans. Inform. Theory 1967).

    Changes of this path are exactly the differences of its years, which the most likely states of single
    years do not guarantee.

    Args:
        potentials: As in `forward_messages`.
        transitions: As in `forward_messages`.

    Returns:
        (batch, years, height, width), int64; the lower state where two paths are equally likely.
    """
    best = potentials[:, 0]
    choices = []
    for step in range(transitions.shape[1]):
        arriving, choice = (best.unsqueeze(2) + transitions[:, step]).max(dim=1)
        choices.append(choice)
        best = arriving + potentials[:, step + 1]
    states = [best.argmax(dim=1, keepdim=True)]
    for choice in reversed(choices):
        states.append(choice.gather(1, states[-1]))
    return torch.cat(states[::-1], dim=1)
