"""Which change maps are missing, and the files they are written to."""

from __future__ import annotations

import numpy as np

from euromine.monitoring.mapping.geotiffs import CogWriter, read_map_record
from euromine.monitoring.mapping.map_styles import CHANGE, PROBABILITY
from euromine.monitoring.mapping.map_values import NODATA
from euromine.monitoring.mapping.stored_probabilities import ProbabilityWriter

from .file_names import change_name, change_probability_name
from .map_records import change_record
from .series_plan import SeriesPlan


def missing_pairs(plan: SeriesPlan) -> list[tuple[int, int]]:
    """The pairs whose change map is missing, or was made of something else."""
    return [
        pair
        for pair in plan.pairs
        if read_map_record(plan.folder / change_name(*pair)) != change_record(plan, pair)
    ]


def change_writer(plan: SeriesPlan, pair: tuple[int, int]) -> CogWriter:
    """The file of a pair's change map, to be entered as a context and written from the top."""
    return CogWriter(
        plan.folder / change_name(*pair),
        plan.grid,
        np.uint8,
        NODATA,
        resampling="mode",
        style=CHANGE,
        description=f"change from {pair[0]} to {pair[1]}",
        record=change_record(plan, pair),
    )


def change_probability_writer(plan: SeriesPlan, pair: tuple[int, int]) -> CogWriter:
    """The file of the probability of a pair's change, likewise."""
    return ProbabilityWriter(
        plan.folder / change_probability_name(*pair),
        plan.grid,
        plan.settings.probability_type,
        style=PROBABILITY,
        description=f"probability of a change from {pair[0]} to {pair[1]}",
        record=change_record(plan, pair),
    )


def places_of(pairs: list[tuple[int, int]], years: list[int]) -> list[tuple[int, int]]:
    """Pairs of years as pairs of places among the years."""
    places = {year: place for place, year in enumerate(years)}
    return [(places[first], places[second]) for first, second in pairs]
