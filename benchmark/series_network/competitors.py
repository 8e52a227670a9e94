"""The networks that are compared, and the maps that are scored of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedModel

from euromine.modeling.auto import create_model
from euromine.modeling.change_detection import ChangeDetector

# The kinds of maps of a network: each year by itself; the running median; the hidden Markov model's path;
# the chain's marginals with its probabilities of change; the chain's path; a change detector's changes.
YEARLY, MEDIAN, VITERBI = "yearly", "median", "viterbi"
MARGINALS, PATH = "marginals", "path"
CHANGES = "changes"
SMOOTHED = (YEARLY, MEDIAN, VITERBI)
CHAINED = (MARGINALS, PATH)

# Without these terms, the loss is that of each year by itself.
_NO_PAIRS = {"pair_weight": 0.0, "pair_dice_weight": 0.0}
_BY_YEAR = {"likelihood_weight": 0.0, **_NO_PAIRS}
_UNCHAINED = {"chain": False, **_BY_YEAR}
_MIXING = {"temporal_attention": False, **_UNCHAINED}
_ONE_IMAGE = {"temporal_mixing": False, **_MIXING}


@dataclass(frozen=True)
class Competitor:
    """A network of the comparison.

    Attributes:
        name: Its name in options and files.
        title: Its name in tables.
        architecture: Its name for `create_model`.
        config: Fields of its configuration that differ from the defaults.
        maps: The kinds of maps that are scored.
    """

    name: str
    title: str
    architecture: str
    maps: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def maps_changes_only(self) -> bool:
        """Whether it is a change detector."""
        return self.maps == (CHANGES,)

    def create(self) -> PreTrainedModel:
        """A network with fresh weights."""
        network = create_model(self.architecture, **self.config)
        assert isinstance(network, ChangeDetector) == self.maps_changes_only
        return network


_OURS = "euromine-series-b0"
COMPETITORS = {
    each.name: each
    for each in (
        Competitor("segformer", "SegFormer-B0, each year", "segformer-b0", SMOOTHED),
        Competitor("single", "ours, each year", _OURS, SMOOTHED, _ONE_IMAGE),
        Competitor("mixing", "ours + mixing of years", _OURS, SMOOTHED, _MIXING),
        Competitor("attention", "ours + mixing + attention over years", _OURS, SMOOTHED, _UNCHAINED),
        Competitor("chain", "ours + mixing + attention + chain", _OURS, CHAINED, _NO_PAIRS),
        Competitor("whole", "ours + mixing + attention + chain + pair loss (the whole)", _OURS, CHAINED),
        Competitor("tinycd", "TinyCD", "tinycd", (CHANGES,)),
        Competitor("tfi-gr", "TFI-GR", "tfi-gr", (CHANGES,)),
        Competitor("utae", "U-TAE", "utae", SMOOTHED, _BY_YEAR),
    )
}
