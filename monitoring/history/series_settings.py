"""How a series is made: smoothing, change, threshold, permits, windows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from euromine.monitoring.mapping.prediction import OVERLAP, WINDOW
from euromine.monitoring.mapping.stored_probabilities import check_probability_type
from euromine.monitoring.mapping.tiling import check_layout
from euromine.support.errors import ArgumentError

from .impact_settings import ImpactSettings
from .smoothing import METHODS, Method
from .switch_rates import SwitchRates

PAIRS = ("all", "consecutive", "first-last")
CHANGE_BY = ("footprints", "posterior")
EXTENTS = ("intersection", "union")

# Pixels of all years that a network for series sees at once: euromine-series-b0 takes 0.5 GB for them.
_PIXELS_AT_ONCE = 10 * 320**2
_LEAST_JOINT_WINDOW = 128


@dataclass(frozen=True, kw_only=True)
class SeriesSettings:
    """How a series is made.

    Attributes:
        smoothing: "viterbi", "median" or "none"; None for the median, which improves every score that was
            measured (docs/benchmarks/smoothing.md), and for "none" with a network for series. Viterbi loses
            most changes of weak mappers, and is refused with a component model.
        rates: Switch rates that replace those of the calibration.
        change_by: "footprints" compares the footprints of two years; "posterior" takes the change that is
            more likely than not given all years, which needs switch rates unless a network for series gives
            its own. A change detector replaces both. None for "posterior" with a network for series, else
            "footprints".
        change_probability: Whether to map the probability of each change, too; with a network for series.
        pairs: The pairs of years to compare: "all", "consecutive" or "first-last".
        extent: "intersection" maps the ground that every year covers; "union" that of all years together,
            with no data where a year does not reach.
        threshold: The probability above which a pixel is mined.
        minimum_mapping_unit: Hectares; smaller polygons are left out.
        probability_type: "float32", or "uint16" or "uint8" with a scale, which take half and a fifth of
            the bytes. Footprints by Viterbi and changes by posteriors then follow the rounded numbers.
        permits: A vector file of permitted outlines.
        permit_layers: Its layers to read, where several have outlines.
        site: The site's name; None for that of the image folder.
        simulated: Whether the images are simulated; None to look for the note that `euromine simulate` leaves
            in its archive.
        window: The largest side of a window in pixels, a multiple of 32; None for 512, or, with a network for
            series, for what its memory allows with so many years.
        overlap: Pixels that neighbouring windows share.
        batch_size: Windows per call of the footprint mapper; None for 1, or 8 on a GPU.
        impact: Spectral indices, reclamation and land cover; nothing by default.

    Raises:
        ArgumentError: A setting is out of range.
    """

    smoothing: Method | None = None
    rates: SwitchRates | None = None
    change_by: str | None = None
    change_probability: bool = False
    pairs: str = "all"
    extent: str = "intersection"
    threshold: float = 0.5
    minimum_mapping_unit: float = 0.0
    probability_type: str = "float32"
    permits: Path | None = None
    permit_layers: tuple[str, ...] = ()
    site: str | None = None
    simulated: bool | None = None
    window: int | None = None
    overlap: int = OVERLAP
    batch_size: int | None = None
    impact: ImpactSettings = field(default_factory=ImpactSettings)

    def __post_init__(self) -> None:
        for name, value, known in (
            ("smoothing", self.smoothing, (*METHODS, None)),
            ("change_by", self.change_by, (*CHANGE_BY, None)),
            ("pairs", self.pairs, PAIRS),
            ("extent", self.extent, EXTENTS),
        ):
            if value not in known:
                *others, last = (each for each in known if each is not None)
                raise ArgumentError(f"{name}: found {value!r}; expected {', '.join(others)} or {last}.")
        check_probability_type(self.probability_type)
        if not 0 <= self.threshold < 1:
            raise ArgumentError(
                f"threshold: found {self.threshold}; expected a probability of at least 0 and below 1."
            )
        if not self.minimum_mapping_unit >= 0:
            raise ArgumentError(
                f"minimum_mapping_unit: found {self.minimum_mapping_unit}; expected hectares of at least 0."
            )
        if self.batch_size is not None and self.batch_size < 1:
            raise ArgumentError(
                f"batch_size: found {self.batch_size}; expected a whole number of at least 1."
            )
        check_layout(WINDOW if self.window is None else self.window, self.overlap)


def joint_window(years: int) -> int:
    """The default side of windows in pixels, a multiple of 32, of which a network sees all years at once."""
    side = math.isqrt(_PIXELS_AT_ONCE // years) // 32 * 32
    return min(WINDOW, max(_LEAST_JOINT_WINDOW, side))
