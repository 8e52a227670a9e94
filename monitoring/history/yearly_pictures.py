"""The picture of each year, made while a network reads the image where that is possible."""

from __future__ import annotations

from collections.abc import Collection

from tqdm import tqdm

from euromine.monitoring.scenes.quicklooks import PicturedScene, Quicklook, write_quicklook
from euromine.monitoring.scenes.scene import Scene
from euromine.support.environment import release_freed_memory

from .file_names import quicklook_name
from .series_plan import SeriesPlan

_NATURAL_COLOUR = ("B04", "B03", "B02")


def quicklook_bands(plan: SeriesPlan, scene: Scene) -> tuple[str, ...]:
    """Natural colour if the file has it, else three bands that the models read, else one."""
    if set(_NATURAL_COLOUR) <= set(scene.bands):
        return _NATURAL_COLOUR
    return plan.bands[:3] if len(plan.bands) >= 3 else plan.bands[:1]


def pictured_year(plan: SeriesPlan, year: int) -> PicturedScene:
    """The image of a year for a network that reads all of it, whose picture is made on the way."""
    aligned = plan.scenes[year]
    return PicturedScene(aligned, quicklook_bands(plan, aligned.scene))


def save_picture(plan: SeriesPlan, year: int, pictured: PicturedScene) -> bool:
    """Write the picture that was made on the way; return whether it is complete.

    Raises:
        OSError: The file cannot be written.
    """
    look = pictured.quicklook()
    if look is not None:
        write_quicklook(look, plan.folder / quicklook_name(year))
    return look is not None


def draw_quicklooks(plan: SeriesPlan, drawn: Collection[int] = (), *, progress: bool = False) -> None:
    """Draw the picture of each year, except those drawn on the way.

    Raises:
        SceneError: An image cannot be read.
        OSError: A file cannot be written.
    """
    missing = [year for year in plan.years if year not in drawn]
    for year in tqdm(missing, desc="pictures", unit="year", disable=not (progress and missing)):
        aligned = plan.scenes[year]
        look = Quicklook.of(aligned, quicklook_bands(plan, aligned.scene))
        aligned.free_rows()
        write_quicklook(look, plan.folder / quicklook_name(year))
    if missing:
        release_freed_memory()
