"""The smoothings over the years that fit a model, from the files of its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from euromine.monitoring.history.smoothing import METHODS
from euromine.monitoring.mapping.component_names import single_group
from euromine.support.errors import ArgumentError

# The model types of networks that map all years of a place at once, and of component segmenters.
SERIES_TYPES = ("euromine_series", "euromine_utae")
COMPONENTS_TYPE = "euromine_components"


@dataclass(frozen=True)
class FittingSmoothings:
    """The smoothings that fit a model.

    Attributes:
        names: Their names.
        reason: Why others do not fit, as the end of "found 'viterbi' with tiny"; "" if all do.
    """

    names: tuple[str, ...] = METHODS
    reason: str = ""

    def check(self, smoothing: str | None, model: str) -> None:
        """Refuse a smoothing that does not fit.

        Args:
            smoothing: The choice; None for the model's default.
            model: The model's name, for the message.

        Raises:
            ArgumentError: It does not fit.
        """
        if smoothing is not None and smoothing not in self.names:
            raise ArgumentError(
                f"smoothing: found {smoothing!r} with {model}, {self.reason}; expected "
                f"{' or '.join(self.names)}."
            )


def fitting_smoothings(
    model_type: str, id2label: dict[str, str] | None, label_group: str | None, *, is_calibrated: bool
) -> FittingSmoothings:
    """The smoothings that fit a model.

    Args:
        model_type: Its type in `config.json`, as the next two.
        id2label: Its names of classes.
        label_group: Its group of components.
        is_calibrated: Whether it has a calibration, or may have one.
    """
    if model_type in SERIES_TYPES:
        return FittingSmoothings(
            _without("viterbi", "median"),
            "a network for series, whose maps of a year take all years into account",
        )
    if model_type == COMPONENTS_TYPE or _is_of_components(id2label, label_group):
        return FittingSmoothings(
            _without("viterbi"), "which maps several components; viterbi is a chain of two states"
        )
    if not is_calibrated:
        return FittingSmoothings(_without("viterbi"), "which has no switch rates (`euromine calibrate`)")
    return FittingSmoothings()


def _is_of_components(id2label: dict[str, str] | None, label_group: str | None) -> bool:
    try:
        return bool(single_group(id2label, label_group))
    except ValueError:  # classes that are not numbered: loading the model reports that
        return False


def _without(*names: str) -> tuple[str, ...]:
    return tuple(name for name in METHODS if name not in names)
