"""The models of a series and the methods that suit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from euromine.modeling.tasks import CHANGE_DETECTION, SEGMENTATION, SERIES
from euromine.monitoring.mapping.component_groups import component_groups
from euromine.monitoring.mapping.loading import LoadedModel, model_digest
from euromine.support.errors import ArgumentError, ModelError
from euromine.support.geopackages import require_geopandas

from .calibration import Calibration
from .checkpoint_records import load_calibration
from .series_settings import SeriesSettings
from .smoothing import Method
from .switch_rates import SwitchRates


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelsAndMethods:
    """The models of a series and the methods that suit them.

    Attributes:
        mapper: The footprint mapper or the network for series, if there is one.
        detector: The change detector, if there is one.
        digests: Digests of the models by task, "segmentation" for a network for series.
        calibration: The mapper's calibration, if it has one.
        change_by: "detector", "footprints" or "posterior".
        rates: The switch rates, if they are known.
        smoothing: The method of smoothing.
    """

    mapper: LoadedModel | None
    detector: LoadedModel | None
    digests: Mapping[str, str]
    calibration: Calibration | None
    change_by: str
    rates: SwitchRates | None
    smoothing: Method

    @property
    def models(self) -> list[LoadedModel]:
        """The models, the mapper first."""
        return [loaded for loaded in (self.mapper, self.detector) if loaded is not None]


def choose_methods(
    models: Sequence[LoadedModel], settings: SeriesSettings, years: Sequence[int]
) -> ModelsAndMethods:
    """Choose the methods that suit the models, and refuse settings that do not.

    No image is needed, so that mistakes are found before any is acquired.

    Args:
        models: As for `plan_series`.
        settings: As for `plan_series`.
        years: The years to acquire or to map.

    Raises:
        ArgumentError: A setting does not suit the models, or needs a calibration that they lack.
        ModelError: Two models have the same task, or there is none.
        MissingExtraError: A setting needs geopandas, which is not installed.
    """
    mapper, detector = _by_task(models)
    _check_together(settings, mapper, detector)
    digests = {
        task: model_digest(loaded.model, loaded.image_processor)
        for task, loaded in ((SEGMENTATION, mapper), (CHANGE_DETECTION, detector))
        if loaded is not None
    }
    calibration = None if mapper is None else load_calibration(mapper, digests[SEGMENTATION])
    change_by = _change_by(settings, mapper, detector)
    rates = _rates(settings, mapper, calibration, change_by)
    return ModelsAndMethods(
        mapper=mapper,
        detector=detector,
        digests=digests,
        calibration=calibration,
        change_by=change_by,
        rates=rates,
        smoothing=_smoothing(settings, mapper, len(years), rates),
    )


def _by_task(models: Sequence[LoadedModel]) -> tuple[LoadedModel | None, LoadedModel | None]:
    """The footprint mapper, or the network for series, and the change detector among the models."""
    if not models:
        raise ModelError("models: found none; expected a footprint mapper, a change detector or one of each.")
    for_series = [loaded for loaded in models if is_for_series(loaded)]
    if for_series and len(models) > 1:
        sources = " and ".join(loaded.source for loaded in models)
        raise ModelError(
            f"models: found {sources}, of which {for_series[0].source} maps footprints and changes of all "
            "years at once; expected it alone. Leave the change model out."
        )
    found: list[LoadedModel | None] = []
    for tasks, name in (
        ((SEGMENTATION, SERIES), "footprint mapper"),
        ((CHANGE_DETECTION,), "change detector"),
    ):
        of_task = [loaded for loaded in models if loaded.task in tasks]
        if len(of_task) > 1:
            sources = " and ".join(loaded.source for loaded in of_task)
            raise ModelError(f"models: found {len(of_task)} {name}s, {sources}; expected one at most.")
        found.append(of_task[0] if of_task else None)
    mapper, detector = found
    return mapper, detector


def is_for_series(loaded: LoadedModel | None) -> bool:
    """Whether a model is a network for series."""
    return loaded is not None and loaded.task == SERIES


def _check_together(
    settings: SeriesSettings, mapper: LoadedModel | None, detector: LoadedModel | None
) -> None:
    """Refuse models and settings that do not go together."""
    if settings.change_probability and not (
        is_for_series(mapper) and settings.change_by in (None, "posterior")
    ):
        raise ArgumentError(
            "change_probability: found it without changes by a network for series; expected one. Leave "
            "--change-probability out."
        )
    if settings.permits is not None and mapper is None:
        raise ArgumentError("permits: found a change detector alone; expected a footprint mapper as well.")
    if settings.permits is not None or settings.minimum_mapping_unit:
        require_geopandas()


def _change_by(settings: SeriesSettings, mapper: LoadedModel | None, detector: LoadedModel | None) -> str:
    if detector is not None:
        return "detector"
    return settings.change_by or ("posterior" if is_for_series(mapper) else "footprints")


def _rates(
    settings: SeriesSettings, mapper: LoadedModel | None, calibration: Calibration | None, change_by: str
) -> SwitchRates | None:
    if mapper is not None and is_for_series(mapper):
        if settings.rates is not None:
            raise ArgumentError(
                f"rates: found switch rates beside {mapper.source}, a network for series, which estimates "
                "its own; expected none. Leave --rates out."
            )
        return None
    rates = settings.rates or (calibration.rates if calibration else None)
    if change_by == "posterior" and rates is None:
        raise ArgumentError(
            "change_by: found 'posterior' without switch rates; expected a calibrated model or rates. "
            "`euromine calibrate` counts them, --rates reads them from a file."
        )
    return rates


def _smoothing(
    settings: SeriesSettings, mapper: LoadedModel | None, years: int, rates: SwitchRates | None
) -> Method:
    if mapper is None and settings.smoothing == "viterbi":
        raise ArgumentError(
            "smoothing: found 'viterbi' without a footprint mapper; expected one, as only footprints are "
            "smoothed. Leave --smooth out, or map with a footprint mapper, too."
        )
    if mapper is not None and is_for_series(mapper):
        if settings.smoothing not in (None, "none"):
            raise ArgumentError(
                f"smoothing: found {settings.smoothing!r} with {mapper.source}, a network for series, whose "
                "maps of a year take all years into account; expected none. Leave --smooth out."
            )
        return "none"
    if mapper is not None and settings.smoothing == "viterbi" and component_groups(mapper.model):
        raise ArgumentError(
            f"smoothing: found 'viterbi', a chain of two states, with {mapper.source}, which maps several "
            "components; expected median or none. --smooth median takes the majority of neighbouring years."
        )
    if mapper is None or years < 2:
        return "none"
    if settings.smoothing == "viterbi" and rates is None:
        raise ArgumentError(
            f"smoothing: found 'viterbi' without switch rates beside {mapper.source}; expected a calibrated "
            "model or rates. `euromine calibrate` counts them, --rates reads them from a file, and "
            "--smooth median needs none."
        )
    return settings.smoothing or "median"
