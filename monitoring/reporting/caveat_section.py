"""Limitations: what the maps and numbers of a report do not show."""

from __future__ import annotations

from dataclasses import dataclass

from euromine.monitoring.history.level_caveats import level_caveats
from euromine.monitoring.history.manifest import Manifest, ModelRecord

from .formatting import counted, listed, percent
from .report_data import ReportData, model_name, score_words

# Of the pixels of an image; less is not worth a sentence.
_MUCH_FILLED = 0.005

_ERROR_ADJUSTMENT = (
    "Estimates correct the mapped area for the errors that the model made at its validation sites "
    "(stratified estimator, Olofsson et al. 2014). The 95% intervals also allow for the differences between "
    "those sites. Both apply only as far as this mine resembles the validation sites. Neither covers errors "
    "in the reference labels or in the position of the images."
)
_NO_ERRORS_KNOWN = (
    "Areas are those of the pixels mapped as mined. They have no interval, because no error counts are "
    "available for this model with these settings."
)
_GROUND_AREAS = (
    "Areas are measured horizontally, as seen from above: on the ellipsoid for coordinates in degrees, "
    "otherwise in the map projection."
)
_CLOUDS = (
    "Clouds, haze, snow and shadow are not masked. Look at the images before relying on a sudden change in "
    "area."
)
_COMPOSED = (
    "The images are medians of several days, without the clouds that the scenes' own classification marks. "
    "Thin clouds, haze, snow and shadow may remain. Look at the images before relying on a sudden change in "
    "area."
)
_SMOOTHED = (
    "The maps were smoothed over time. A change that lasts a single year is usually treated as an error and "
    "removed, and a real change may be dated to a neighbouring year."
)
_NOT_SMOOTHED = (
    "Each year was mapped on its own, so part of the gains and losses from one year to the next is noise. "
    "Longer intervals are less affected."
)
_JOINED = (
    "One network mapped all years together. A change that lasts a single year may be missing, and a real "
    "change may be dated to a neighbouring year."
)
_VISIBLE_GROUND = (
    "The maps show ground that is visibly mined from above: pits, dumps, ponds and plants. They do not show "
    "concessions or legal boundaries."
)


@dataclass(frozen=True)
class CaveatSection:
    """Content of the section: one paragraph each."""

    caveats: list[str]


def caveat_section(data: ReportData) -> CaveatSection:
    """The limitations that apply to a series."""
    manifest = data.manifest
    return CaveatSection(
        [
            *(
                ["The images are simulated. Nothing here describes a real place."]
                if manifest.simulated
                else []
            ),
            *map(_model_caveat, manifest.models),
            *level_caveats(manifest),
            *_area_caveats(data),
            _GROUND_AREAS,
            *_image_caveats(manifest),
            _clouds(manifest),
            *_smoothing_caveats(data),
            _VISIBLE_GROUND,
        ]
    )


def _model_caveat(record: ModelRecord) -> str:
    name, scores = model_name(record), score_words(record)
    if record.simulated:
        return f"{name} was trained on simulated data. Its accuracy on real mines is unknown."
    if not scores:
        return f"The checkpoint of {name} reports no scores, so its accuracy is unknown."
    if not record.scored_sites:
        return f"The checkpoint of {name} reports scores ({scores}), but not for how many sites."
    sites = counted(record.scored_sites, "site")
    return (
        f"{name} was evaluated at {sites} of the {record.scored_split} split ({scores}). It may be less "
        "accurate at a mine unlike those."
    )


def _area_caveats(data: ReportData) -> list[str]:
    if not data.has_footprints:
        return []
    if data.has_intervals:
        return [_ERROR_ADJUSTMENT, *data.manifest.caveats]
    if data.manifest.confusion is None or not data.manifest.caveats:
        return [_NO_ERRORS_KNOWN]
    return data.manifest.caveats


def _image_caveats(manifest: Manifest) -> list[str]:
    found = []
    if manifest.missing_years:
        found.append(
            f"There is no image of {listed(manifest.missing_years, 'or')}. Changes are mapped between years "
            "that have images."
        )
    if without_radar := [record.year for record in manifest.scenes if record.radar is False]:
        found.append(
            f"There is no radar image of {listed(without_radar, 'or')}. These years are mapped with average "
            "backscatter, and may be mapped less accurately."
        )
    if manifest.cut:
        found.append(manifest.cut)
    poor = [
        f"{record.year} ({percent(record.known_share)} has data)"
        for record in manifest.scenes
        if record.known_share is not None and record.known_share < 0.995
    ]
    if poor:
        found.append(
            f"Parts of the scene have no data in {listed(poor)}. Areas of these years leave those parts "
            "out, and change there is unknown."
        )
    filled = [
        f"{record.year} ({percent(record.composite.filled_share)})"
        for record in manifest.scenes
        if record.composite is not None and record.composite.filled_share >= _MUCH_FILLED
    ]
    if filled:
        found.append(
            f"Some ground has no clear day in {listed(filled)}. There the image shows the least cloudy day, "
            "with its clouds and shadows."
        )
    resampled = [record.year for record in manifest.scenes if record.resampled]
    if resampled:
        images = "The image" if len(resampled) == 1 else "The images"
        verbs = ("lies", "was") if len(resampled) == 1 else ("lie", "were")
        found.append(
            f"{images} of {listed(resampled)} {verbs[0]} on a different grid and {verbs[1]} resampled, which "
            "blurs detail by up to a pixel."
        )
    return found


def _clouds(manifest: Manifest) -> str:
    return _COMPOSED if all(record.composite is not None for record in manifest.scenes) else _CLOUDS


def _smoothing_caveats(data: ReportData) -> list[str]:
    if not data.has_footprints:
        return []
    if data.manifest.joins_years:
        return [_JOINED]
    is_smoothed = data.manifest.settings.get("smoothing", "none") != "none"
    return [_SMOOTHED if is_smoothed else _NOT_SMOOTHED]
