"""Records of the inputs to each map of a series, by which later runs recognise maps that are up to date."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, cast
from weakref import WeakKeyDictionary

from rasterio.crs import CRS

from euromine.modeling.tasks import CHANGE_DETECTION, SEGMENTATION
from euromine.monitoring.mapping.engines import engine_record
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.support.rasters import crs_name

from .series_plan import SeriesPlan

_footprints_digests: WeakKeyDictionary[SeriesPlan, str] = WeakKeyDictionary()


def evidence_record(plan: SeriesPlan) -> dict[str, Any]:
    """The inputs to the evidence that a network for series finds in the images of all years."""
    return _record(
        plan,
        model=plan.digests[SEGMENTATION],
        window=plan.window,
        overlap=plan.settings.overlap,
        years=plan.years,
        scenes=[_scene(plan, year) for year in plan.years],
    )


def probability_record(plan: SeriesPlan, year: int) -> dict[str, Any]:
    """The inputs to a year's map of probability."""
    kind = plan.settings.probability_type
    stored = {} if kind == "float32" else {"stored": kind, "threshold": plan.settings.threshold}
    if plan.joins_years:
        return _record(plan, evidence=_digest(evidence_record(plan)), year=year, **stored)
    return _record(
        plan,
        **stored,
        model=plan.digests[SEGMENTATION],
        window=plan.window,
        overlap=plan.settings.overlap,
        **_engine(plan.mapper),
        **_scene(plan, year),
    )


def footprint_record(plan: SeriesPlan) -> dict[str, Any]:
    """The inputs to the footprints of all years, and to the maps of first and last years."""
    return _record(
        plan,
        probabilities=[_digest(probability_record(plan, year)) for year in plan.years],
        years=plan.years,
        smoothing=plan.smoothing,
        rates=asdict(plan.rates) if plan.rates and plan.smoothing == "viterbi" else None,
        threshold=plan.settings.threshold,
    )


def component_record(plan: SeriesPlan) -> dict[str, Any]:
    """The inputs to the smoothed components of all years."""
    return _record(
        plan,
        components=[_digest(probability_record(plan, year)) for year in plan.years],
        years=plan.years,
        smoothing="majority",
    )


def change_record(plan: SeriesPlan, pair: tuple[int, int]) -> dict[str, Any]:
    """The inputs to the change map of a pair of years."""
    made_of: dict[str, Any] = {"pair": pair}
    if plan.mapper is not None:
        made_of["footprints"] = _footprints_digest(plan)
    if plan.detector is not None:
        made_of |= {
            "model": plan.digests[CHANGE_DETECTION],
            "window": plan.window,
            "overlap": plan.settings.overlap,
            "scenes": [_scene(plan, year) for year in pair],
            **_engine(plan.detector),
        }
        if plan.mapper is None:  # else the footprints' own
            made_of["threshold"] = plan.settings.threshold
    elif plan.joins_years:
        made_of["change_by"] = plan.change_by
    elif plan.is_posterior:
        assert plan.rates is not None
        made_of["rates"] = asdict(plan.rates)
    return _record(plan, **made_of)


def marks_record(plan: SeriesPlan, pairs: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """The inputs to the marks of a change detector, which become the change maps of these pairs."""
    return _record(
        plan,
        pairs=pairs,
        model=plan.digests[CHANGE_DETECTION],
        window=plan.window,
        overlap=plan.settings.overlap,
        threshold=plan.settings.threshold,
        scenes={year: _scene(plan, year) for pair in pairs for year in pair},
        **_engine(plan.detector),
    )


def _footprints_digest(plan: SeriesPlan) -> str:
    """The digest of `footprint_record`, made of all years: once for all pairs of them."""
    if plan not in _footprints_digests:
        _footprints_digests[plan] = _digest(footprint_record(plan))
    return _footprints_digests[plan]


@functools.cache
def _version() -> str:
    """EuroMine's version, which takes as long to look up as a record to write."""
    return version("euromine")


@functools.lru_cache(maxsize=8)
def _crs_name(crs: CRS) -> str:
    return crs_name(crs)


def _record(plan: SeriesPlan, **made_of: Any) -> dict[str, Any]:
    """As JSON gives it back, without tuples."""
    grid = plan.grid
    record = {
        "euromine": _version(),
        "grid": [_crs_name(grid.crs), *grid.transform[:6], grid.width, grid.height],
        **made_of,
    }
    return cast("dict[str, Any]", json.loads(json.dumps(record)))


def _engine(loaded: LoadedModel | None) -> dict[str, Any]:
    """The engine and precision of an inexact map; exact engines may resume each other's."""
    record = {} if loaded is None else engine_record(loaded.model)
    return {"engine": record} if record else {}


def _scene(plan: SeriesPlan, year: int) -> dict[str, Any]:
    aligned = plan.scenes[year]
    return {
        "scene": aligned.scene.fingerprint(),
        "reflectance": asdict(plan.reflectances[year]),
        "how": aligned.how,
    }


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:32]
