"""The series of all sites of an archive: one after the other, in processes or on a Dask cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from euromine.dataset_script.archive import Archive
from euromine.support.errors import ArchiveError, ArgumentError, EuroMineError, one_line
from euromine.support.site_failures import collect_outcomes, failed_sites
from euromine.support.workers import run_on_workers

from .history.series import make_series
from .history.series_settings import SeriesSettings
from .mapping.engine_choice import EngineChoice
from .monitor import MineMonitor
from .scenes.scene_options import SceneOptions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """The models of an archive's series, which each process loads once.

    Attributes:
        model: As for `MineMonitor.from_pretrained`, as the next three.
        change_model: A change detector beside a footprint mapper.
        device: Where the models run; None for a GPU if there is one.
        engine: The engine and the precision; None for the quickest that is exact.
    """

    model: str
    change_model: str | None = None
    device: str | None = None
    engine: EngineChoice | None = None

    def __post_init__(self) -> None:
        # A worker may run in another folder.
        for name in ("model", "change_model"):
            source = getattr(self, name)
            if source is not None and Path(source).is_dir():
                object.__setattr__(self, name, str(Path(source).absolute()))


@dataclass(frozen=True)
class SiteHistory:
    """A site whose series is complete, or the reason of its failure.

    Attributes:
        name: The site's name.
        folder: The folder of its series; None if it failed.
        reason: "" if it did not.
    """

    name: str
    folder: Path | None
    reason: str = ""


@dataclass(frozen=True)
class _Task:
    name: str
    scenes: dict[int, str]
    missing_years: tuple[int, ...]
    out: str
    models: ModelChoice
    settings: SeriesSettings
    options: SceneOptions | None


def map_archive(
    models: ModelChoice,
    archive: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: SeriesSettings | None = None,
    *,
    years: Sequence[int] | None = None,
    options: SceneOptions | None = None,
    workers: int = 1,
    dask: str | None = None,
    progress: bool = False,
) -> list[SiteHistory]:
    """Map each site of an archive over its years, into `out/<site>`, as `make_series` maps one.

    A site that fails does not stop the others. The same call resumes: complete maps are kept.

    Args:
        models: The models.
        archive: A folder in the published layout, such as one that `euromine acquire` wrote.
        out: The folder to create or to complete.
        settings: How each series is made; the site's name is added.
        years: The years of interest; default all of each site.
        options: Scene metadata given by the user.
        workers: The number of processes, each with its share of the cores and models of its own. Spawned, so
            a calling script needs `if __name__ == "__main__":`.
        dask: The address of a Dask scheduler whose workers reach model, archive and `out` under the same
            paths, instead of processes.
        progress: Show a progress bar over the sites.

    Returns:
        The sites in the order of their names.

    Raises:
        ArchiveError: The archive is not in the published layout, or a zip.
        DataError: Some sites failed; the others are complete.
        ModelError: A model cannot be loaded.
        ArgumentError: An argument does not fit.
        MissingExtraError: An extra is not installed.
        OSError: A process was killed, or no Dask scheduler answers.
    """
    if workers < 1:
        raise ArgumentError(f"workers: found {workers}; expected at least 1.")
    tasks = _tasks(models, Archive(archive), Path(out), settings or SeriesSettings(), years, options)
    outcomes = run_on_workers(_mapped, tasks, workers, "mapped a site", dask)
    found = collect_outcomes(outcomes, len(tasks), "mapped", logger, progress=progress)
    if failed := [outcome for outcome in found if outcome.folder is None]:
        raise failed_sites(archive, failed, len(found), "mapped")
    return found


def _tasks(
    models: ModelChoice,
    archive: Archive,
    out: Path,
    settings: SeriesSettings,
    years: Sequence[int] | None,
    options: SceneOptions | None,
) -> list[_Task]:
    if not archive.path.is_dir():
        raise ArchiveError(f"{archive.path}: found a zip; expected a folder. Unpack the archive first.")
    tasks = []
    for name, site in archive.sites.items():
        scenes = {year: path for year, path in site.image_paths.items() if years is None or year in years}
        missing = tuple(sorted(set(years or ()) - set(scenes)))
        own = replace(settings, site=name)
        tasks.append(_Task(name, scenes, missing, str(out.absolute() / name), models, own, options))
    return tasks


@lru_cache(maxsize=1)
def _monitor(models: ModelChoice) -> MineMonitor:
    return MineMonitor.from_pretrained(models.model, models.change_model, models.device, engine=models.engine)


def _mapped(task: _Task) -> SiteHistory:
    monitor = _monitor(task.models)  # a model that cannot be loaded is not the error of a site
    if not task.scenes:
        years = ", ".join(map(str, task.missing_years))
        return SiteHistory(task.name, None, f"years: found no image of {years}; expected at least one.")
    try:
        made = make_series(
            monitor.models,
            task.scenes,
            task.out,
            task.settings,
            options=task.options,
            missing_years=task.missing_years,
        )
    except torch.OutOfMemoryError:
        reason = (
            f"{task.name}: found too little GPU memory; expected enough for a batch of windows. Lower "
            "--window."
        )
        return SiteHistory(task.name, None, reason)
    except (EuroMineError, OSError) as error:
        return SiteHistory(task.name, None, one_line(error))
    return SiteHistory(task.name, made.path)
