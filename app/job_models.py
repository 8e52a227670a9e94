"""The models that visitors may choose for their images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from euromine.monitoring.history.calibration import CALIBRATION_NAME
from euromine.monitoring.mapping.checkpoint_files import local_file, may_have_file
from euromine.support.errors import ArgumentError, RecordError
from euromine.support.model_sources import CONFIG, PROCESSOR_CONFIG, check_model_source
from euromine.support.records import read_record
from euromine.support.run_records import RESULTS_FILE

from .model_smoothings import FittingSmoothings, fitting_smoothings


@dataclass(frozen=True)
class _Config:
    model_type: str = ""
    bands: list[str] | None = None
    id2label: dict[str, str] | None = None
    label_group: str | None = None


@dataclass(frozen=True)
class _Processor:
    bands: list[str] | None = None
    level: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Results:
    architecture: str = ""
    scores: Any = None
    protocol: Any = None


@dataclass(frozen=True, kw_only=True)
class OfferedModel:
    """A model for uploaded images.

    Attributes:
        id: Its name in requests: the last part of its folder or repository, unique.
        source: Its folder or repository.
        architecture: Its network; "" if unknown here.
        bands: The bands that it reads; None if unknown here.
        level: The processing level that it was trained on; None if unknown.
        simulated: Whether it was trained on simulated data; None if unknown.
        smoothings: The smoothings over the years that may fit it; all where neither its folder nor the Hub's
            cache is here.
    """

    id: str
    source: str
    architecture: str = ""
    bands: tuple[str, ...] | None = None
    level: str | None = None
    simulated: bool | None = None
    smoothings: FittingSmoothings = field(default_factory=FittingSmoothings)

    def public(self) -> dict[str, Any]:
        """The model for an answer: without its folder on this machine."""
        return {
            "id": self.id,
            "architecture": self.architecture,
            "bands": self.bands and list(self.bands),
            "level": self.level,
            "simulated": self.simulated,
            "smoothings": list(self.smoothings.names),
        }


def offered_models(sources: tuple[str, ...]) -> dict[str, OfferedModel]:
    """The models by their ids, in the order given.

    Args:
        sources: Folders or Hub repositories.

    Raises:
        ArgumentError: A folder holds no checkpoint.
        ModelError: There is no such folder.
    """
    found: dict[str, OfferedModel] = {}
    for source in sources:
        last = Path(source).resolve().name if Path(source).is_dir() else source.rsplit("/", 1)[-1]
        name, number = last or "model", 2
        while name in found:
            name, number = f"{last}-{number}", number + 1
        found[name] = _offered(name, source)
    return found


def refreshed(model: OfferedModel) -> OfferedModel:
    """The model as its files describe it now; those of a repository are fetched by its first job."""
    return model if Path(model.source).is_absolute() else _described(model.id, model.source)


def chosen_model(models: dict[str, OfferedModel], name: str) -> OfferedModel:
    """The model that a visitor chose; the first if none was named.

    Raises:
        ArgumentError: There is none of this name.
    """
    if not models:
        raise ArgumentError("model: found none on offer; expected one. Start the app with --model MODEL.")
    if not name:
        return next(iter(models.values()))
    if name not in models:
        raise ArgumentError(f"model: found {name[:80]!r}; expected {' or '.join(models)}.")
    return models[name]


def model_bands(source: str) -> tuple[str, ...] | None:
    """The bands that a model reads, from its files; None if they are not on this machine."""
    return _offered("", source).bands


def _offered(name: str, source: str) -> OfferedModel:
    check_model_source(source)
    folder = Path(source)
    if not folder.is_dir():
        return _described(name, source)
    if not (folder / CONFIG).is_file():
        raise ArgumentError(
            f"model: found no {CONFIG} in {source}; expected a checkpoint of train_seg.py or train_cd.py."
        )
    return _described(name, str(folder.resolve()))


def _described(name: str, source: str) -> OfferedModel:
    """The model as far as its files are on this machine."""
    if local_file(source, CONFIG) is None:
        return OfferedModel(id=name, source=source)
    config = _read(_Config, source, CONFIG)
    processor = _read(_Processor, source, PROCESSOR_CONFIG)
    results = _read(_Results, source, RESULTS_FILE)
    protocol = results.protocol if isinstance(results.protocol, dict) else {}
    simulated = protocol.get("simulated")
    bands = processor.bands or config.bands
    return OfferedModel(
        id=name,
        source=source,
        architecture=results.architecture or config.model_type,
        bands=tuple(bands) if bands else None,
        level=processor.level,
        simulated=simulated if isinstance(simulated, bool) else None,
        smoothings=fitting_smoothings(
            config.model_type,
            config.id2label,
            config.label_group,
            is_calibrated=may_have_file(source, CALIBRATION_NAME),
        ),
    )


def _read(kind: Any, source: str, name: str) -> Any:
    """A record, or one without facts where the file is missing or damaged: loading the model reports that."""
    path = local_file(source, name)
    try:
        return kind() if path is None else read_record(kind, path)
    except (RecordError, OSError):
        return kind()
