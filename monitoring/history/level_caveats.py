"""Caveats of a series whose images differ in processing level from the models, or from each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from euromine.support.processing_levels import MEANINGS

from .manifest import Manifest
from .year_words import years_in_words


def level_caveats(manifest: Manifest) -> list[str]:
    """Caveats about the processing levels of images and models; none where the levels are unknown.

    Args:
        manifest: The manifest of the series, planned or finished.
    """
    years = _years_by_level(manifest)
    return [*_of_models(manifest, years), *_of_years(years)]


def level_words(manifest: Manifest) -> str:
    """The processing levels of the images, with their years where they differ."""
    years = _years_by_level(manifest)
    if unknown := [scene.year for scene in manifest.scenes if scene.level is None]:
        years |= {"unknown": unknown}
    if len(years) > 1:
        return ", ".join(f"{years_in_words(found)} {level}" for level, found in years.items())
    (level,) = years
    return f"{level} ({MEANINGS[level]})" if level in MEANINGS else "not recorded in the images"


def _of_models(manifest: Manifest, years: Mapping[str, list[int]]) -> list[str]:
    return [
        f"The images of {years_in_words(found)} are {level} ({MEANINGS[level]}), but {record.source} was "
        f"trained on {record.level} ({MEANINGS[record.level]}), so expect less accurate maps than its scores "
        "promise."
        for record in manifest.models
        for level, found in years.items()
        if record.level in MEANINGS and record.level != level
    ]


def _of_years(years: Mapping[str, list[int]]) -> list[str]:
    if len(years) < 2:
        return []
    levels = ", ".join(f"{years_in_words(found)} {level}" for level, found in years.items())
    return [
        f"The images are of different processing levels ({levels}), so some of the change between these "
        "years may be of reflectance alone."
    ]


def _years_by_level(manifest: Manifest) -> dict[str, list[int]]:
    found = defaultdict(list)
    for scene in manifest.scenes:
        if scene.level is not None:
            found[scene.level].append(scene.year)
    return dict(sorted(found.items()))
