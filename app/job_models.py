"""The models that visitors may choose for their images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from euromine.support.errors import ArgumentError, RecordError
from euromine.support.model_sources import check_model_source
from euromine.support.records import read_record
from euromine.support.run_records import RESULTS_FILE

from .model_smoothings import FittingSmoothings, fitting_smoothings

_CONFIG, _PROCESSOR = "config.json", "preprocessor_config.json"


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
        smoothings: The smoothings over the years that fit it; all of them where its files are not here.
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
    folder = Path(source)
    if not folder.is_dir():
        check_model_source(source)
        return OfferedModel(id=name, source=source)  # of the Hub, fetched by the first job
    if not (folder / _CONFIG).is_file():
        raise ArgumentError(
            f"--model: found no {_CONFIG} in {source}; expected a checkpoint of train_seg.py or train_cd.py."
        )
    config = _read(_Config, folder / _CONFIG)
    processor = _read(_Processor, folder / _PROCESSOR)
    results = _read(_Results, folder / RESULTS_FILE)
    protocol = results.protocol if isinstance(results.protocol, dict) else {}
    simulated = protocol.get("simulated")
    bands = processor.bands or config.bands
    return OfferedModel(
        id=name,
        source=str(folder.resolve()),
        architecture=results.architecture or config.model_type,
        bands=tuple(bands) if bands else None,
        level=processor.level,
        simulated=simulated if isinstance(simulated, bool) else None,
        smoothings=fitting_smoothings(folder, config.model_type, config.id2label, config.label_group),
    )


def _read(kind: Any, path: Path) -> Any:
    """A record, or one without facts where the file is missing or damaged: loading the model reports that."""
    try:
        return read_record(kind, path)
    except (RecordError, OSError):
        return kind()
