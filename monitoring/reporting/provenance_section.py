"""How a series was made: models, settings and images."""

from __future__ import annotations

from dataclasses import dataclass

from euromine.monitoring.history.level_caveats import level_words
from euromine.monitoring.history.manifest import (
    CHANGES,
    FOOTPRINTS,
    FOOTPRINTS_AND_CHANGES,
    CompositeRecord,
    Manifest,
    ModelRecord,
    SceneRecord,
)
from euromine.support.processing_levels import MEANINGS

from .formatting import TIMES, counted, crs_name, listed, percent
from .report_data import ReportData, model_name, score_words

_TASKS = {
    FOOTPRINTS: "Footprint mapper",
    CHANGES: "Change detector",
    FOOTPRINTS_AND_CHANGES: "Network for the series",
}
# Of an image's pixels.
_LEAST_SHOWN = 0.001

# A name and its value.
Row = tuple[str, str]


@dataclass(frozen=True)
class Model:
    """A model: its title and a table of names and values."""

    title: str
    rows: list[Row]


@dataclass(frozen=True)
class SceneRow:
    """The image of a year, as text."""

    year: int
    path: str
    decisions: str
    grid: str
    composite: str


@dataclass(frozen=True)
class ProvenanceSection:
    """Content of the section.

    Attributes:
        models: The models.
        settings: Names and values.
        scenes: The images.
        common_decisions: How scale and offset were decided where it is the same for all images; "" otherwise.
        has_composites: Whether any image was composed of several days.
    """

    models: list[Model]
    settings: list[Row]
    scenes: list[SceneRow]
    common_decisions: str
    has_composites: bool


def provenance_section(data: ReportData) -> ProvenanceSection:
    """Models, settings and images."""
    scenes = [_scene(record) for record in data.manifest.scenes]
    decisions = {scene.decisions for scene in scenes}
    return ProvenanceSection(
        models=[_model(record) for record in data.manifest.models],
        settings=_settings(data.manifest),
        scenes=scenes,
        common_decisions=decisions.pop() if len(decisions) == 1 else "",
        has_composites=any(scene.composite for scene in scenes),
    )


def _model(record: ModelRecord) -> Model:
    rows = []
    if record.task == FOOTPRINTS_AND_CHANGES:
        rows.append(("Maps", "footprints and changes of all years, from one network for the series"))
    rows += [
        ("Checkpoint", record.source),
        ("Architecture", f"{record.architecture}, {record.parameters / 1e6:.1f} million parameters"),
        ("Bands", ", ".join(record.bands)),
        ("Trained on", _training_data(record)),
        ("Scores", score_words(record) or "none recorded in the checkpoint"),
        ("Fingerprint", record.digest),
    ]
    return Model(f"{_TASKS.get(record.task, record.task)}: {model_name(record)}", rows)


def _training_data(record: ModelRecord) -> str:
    images = f", {record.level} images" if record.level in MEANINGS else ""
    if record.dataset:
        return (f"{record.dataset} (simulated)" if record.simulated else record.dataset) + images
    return ("simulated data" if record.simulated else "not recorded in the checkpoint") + images


def _settings(manifest: Manifest) -> list[Row]:
    settings = manifest.settings
    grid = f"{manifest.width} {TIMES} {manifest.height} pixels, {crs_name(manifest.crs)}"
    rows = [("Grid", grid), ("Change", _change_words(manifest))]
    if manifest.maps_footprints:
        rows.append(("Smoothing", _smoothing_words(manifest)))
        if manifest.component_groups:
            is_smoothed = settings.get("smoothing", "none") != "none"
            words = "majority of each year and its neighbours" if is_smoothed else "none"
            rows.append(("Smoothing of components", words))
        rows.append(("Threshold", _threshold_words(manifest)))
    unit = settings.get("smallest_mapping_unit", 0)
    rows.append(("Minimum mapping unit", f"{unit:g} ha, applied to polygons" if unit else "none"))
    if settings.get("permits"):
        rows.append(("Permits", str(settings["permits"])))
    rows += _impact(manifest)
    if "window" in settings:
        overlap = settings.get("overlap", 0)
        rows.append(("Windows", f"{settings['window']} pixels, overlapping by {overlap} pixels and blended"))
    rows.append(("Processing level", level_words(manifest)))
    rows.append(("Versions", ", ".join(f"{name} {number}" for name, number in manifest.versions.items())))
    return rows


def _impact(manifest: Manifest) -> list[Row]:
    """Indices, reclamation and land cover, those that were asked for."""
    settings = manifest.settings.get("impact") or {}
    rows = []
    if settings.get("indices"):
        rows.append(("Indices", f"{listed(settings['indices'])}, of reflectance"))
    if settings.get("surroundings"):
        rows.append(("Surroundings", f"{settings['surroundings']:g} m around the footprint"))
    for name, key in (("Reclaimed ground", "reclamation"), ("Reference ground", "reference")):
        if settings.get(key):
            rows.append((name, str(settings[key])))
    if cover := settings.get("land_cover"):
        rows.append(("Land cover", f"{cover['file']}, {cover['year']}"))
    return rows


def _detects_changes(manifest: Manifest) -> bool:
    return any(record.task == CHANGES for record in manifest.models)


def _change_words(manifest: Manifest) -> str:
    if _detects_changes(manifest):
        if manifest.maps_footprints:
            return "located by a change detector; the footprints of both years give the direction"
        return "located by a change detector, without direction"
    if manifest.settings.get("change_by") == "posterior":
        if manifest.joins_years:
            return (
                "where the footprints of the two years differ and the network finds a change more likely "
                "than not, given the images of all years"
            )
        return "where change between the two years is more likely than not, given the images of all years"
    return "footprints of the two years compared (post-classification)"


def _smoothing_words(manifest: Manifest) -> str:
    settings = manifest.settings
    method = settings.get("smoothing", "none")
    if method == "none":
        return "none needed: the network sees all years together" if manifest.joins_years else "none"
    if method == "median":
        return "median of each year and its neighbours"
    words = "most probable history of each pixel (two-state hidden Markov model, Viterbi algorithm)"
    rates = settings.get("rates")
    if rates:
        words += (
            f"; {rates['expansion']:.2%} of other ground becomes mined in a year, "
            f"{rates['reclamation']:.2%} of mined ground is reclaimed"
        )
    return words


def _threshold_words(manifest: Manifest) -> str:
    value = manifest.settings.get("threshold", 0.5)
    subjects = []
    # Viterbi's path is the most probable one, whatever the threshold.
    if manifest.settings.get("smoothing", "none") != "viterbi":
        subjects.append("mined")
    if _detects_changes(manifest):
        subjects.append("changed")
    if not subjects:
        return f"{value:g}, not used with this smoothing"
    return f"{' or '.join(subjects)} above a probability of {value:g}"


def _scene(record: SceneRecord) -> SceneRow:
    return SceneRow(
        year=record.year,
        path=record.path,
        decisions=" ".join(record.decisions),
        grid=record.resampled or f"unchanged, {crs_name(record.crs)}",
        composite=_composite_words(record.composite),
    )


def _composite_words(composite: CompositeRecord | None) -> str:
    if composite is None:
        return ""
    first, last = composite.days[0], composite.days[-1]
    days = first if first == last else f"{counted(len(composite.days), 'day')}, {first} to {last}"
    is_shown = composite.filled_share >= _LEAST_SHOWN
    filled = f"; {percent(composite.filled_share)} filled" if is_shown else ""
    return f"{days}, {listed(composite.catalogues)}{filled}"
