"""The maps of many scenes: shared out between processes or a Dask cluster, with an outcome for each."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from euromine.modeling import SEGMENTATION, SERIES
from euromine.monitoring.scenes.locations import distinct_scenes, locate
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import ArgumentError, EuroMineError, one_line
from euromine.support.locks import lock_folder
from euromine.support.workers import run_on_dask

from .engine_choice import EngineChoice
from .engines import on_engine
from .geotiffs import remove_work_folders
from .loading import LoadedModel, load_model
from .prediction import OVERLAP, WINDOW
from .scene_maps import check_map_settings, predict_scene

logger = logging.getLogger(__name__)

# The number of processes by torchrun, Intel MPI, Open MPI and MVAPICH, the launchers that accelerate knows.
_WORLD_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


@dataclass(frozen=True)
class Outcome:
    """The outcome of mapping a scene: a map, or an error.

    Attributes:
        path: The scene.
        footprint: The path of its footprint map; None after an error.
        error: A sentence on what went wrong; None otherwise.
    """

    path: str
    footprint: str | None = None
    error: str | None = None


def predict_scenes(
    model: str | os.PathLike[str],
    paths: Sequence[str | os.PathLike[str]],
    out_dir: str | os.PathLike[str],
    *,
    probability: bool = False,
    probability_type: str = "float32",
    options: SceneOptions | None = None,
    threshold: float = 0.5,
    window: int = WINDOW,
    overlap: int = OVERLAP,
    batch_size: int | None = None,
    engine: EngineChoice | None = None,
    dask: str | None = None,
    progress: bool = False,
) -> list[Outcome]:
    """Map the footprint in many scenes. A scene that cannot be mapped does not stop the others.

    Under `accelerate launch`, the processes share the scenes, and each returns all outcomes. A run that was
    stopped resumes when it is started again.

    Args:
        model: A folder, or a repository on the Hub.
        paths: Scenes of any size with different names, as for `open_scene`.
        out_dir: The folder of the maps, created if it is missing.
        probability: Whether to write the probability, too, NaN without data.
        probability_type: "float32", or "uint16" or "uint8" with a scale.
        options: Scene metadata; None for the files' own.
        threshold: Pixels above this probability are mine.
        window: The largest side of a window in pixels, a multiple of 32.
        overlap: Pixels that neighbouring windows share.
        batch_size: Windows per call of the model; None for 1, or 8 on a GPU.
        engine: The engine and the precision; None for the quickest that is exact.
        dask: The address of a Dask scheduler whose workers map the scenes; they must see the same files.
        progress: Whether to show progress bars.

    Returns:
        One outcome per scene, in the order of `paths`.

    Raises:
        ModelError: The model cannot be loaded, or is not a footprint mapper.
        ArgumentError: There is no scene, two scenes have one name, a setting is out of range, or the
            processes of `accelerate launch` cannot reach each other.
        BusyError: Another run is at work in the folder.
        MissingExtraError: `dask` is given and Dask is not installed, or the engine is not.
        OSError: The folder cannot be written to, or the Hub or the scheduler cannot be reached.
    """
    scenes = distinct_scenes(paths)
    check_map_settings(threshold, window, overlap, probability_type)
    folder = Path(out_dir).absolute()
    source = str(Path(model).absolute()) if Path(model).is_dir() else os.fspath(model)
    tasks = [
        _Task(
            source,
            scene,
            str(folder),
            probability,
            probability_type,
            options,
            threshold,
            window,
            overlap,
            batch_size,
            engine or EngineChoice(),
        )
        for scene in scenes
    ]
    processes = _Processes() if dask is not None else _processes()
    with _hold(folder, processes):
        if dask is None:
            outcomes = _mapped_here(tasks, processes, progress)
        else:
            outcomes = _mapped_on_dask(tasks, dask, progress)
    order = {scene: place for place, scene in enumerate(scenes)}
    return sorted(outcomes, key=lambda outcome: order[outcome.path])


@dataclass(frozen=True)
class _Task:
    """A scene to map, in this process or on a cluster."""

    model: str
    path: str
    out_dir: str
    probability: bool
    probability_type: str
    options: SceneOptions | None
    threshold: float
    window: int
    overlap: int
    batch_size: int | None
    engine: EngineChoice


@dataclass(frozen=True)
class _Processes:
    """The processes that share the scenes.

    Attributes:
        rank: The number of this one.
        count: How many there are.
        gather: Joins the lists of all.
    """

    rank: int = 0
    count: int = 1
    gather: Callable[[list[Any]], list[Any]] = list


@contextmanager
def _hold(folder: Path, processes: _Processes) -> Iterator[None]:
    """Lock the folder on behalf of all processes, and remove the work folders of a killed run."""
    with ExitStack() as held:
        refused: list[Exception] = []
        if processes.rank == 0:
            try:
                held.enter_context(lock_folder(folder))
                remove_work_folders(folder)
            except (EuroMineError, OSError) as error:
                refused.append(error)
        for refusal in processes.gather(refused):
            raise refusal if processes.rank == 0 else SystemExit(1)
        yield


def _mapped_here(tasks: Sequence[_Task], processes: _Processes, progress: bool) -> list[Outcome]:
    """Map the scenes in this process, or this process's share of them under `accelerate launch`."""
    # The largest first, so that all processes end at about the same time.
    share = tasks
    if processes.count > 1:
        share = sorted(tasks, key=_size, reverse=True)[processes.rank :: processes.count]
    _load(tasks[0].model, tasks[0].engine)  # a model that cannot be loaded is not the error of a scene
    return processes.gather([_logged(_run(task, progress and processes.rank == 0)) for task in share])


def _mapped_on_dask(tasks: Sequence[_Task], address: str, progress: bool) -> list[Outcome]:
    outcomes = []
    done = run_on_dask(_run, tasks, address)
    with closing(done), tqdm(total=len(tasks), unit="scene", disable=not progress) as bar:
        for outcome in done:
            outcomes.append(_logged(outcome))
            bar.update()
    return outcomes


def _run(task: _Task, progress: bool = False) -> Outcome:
    loaded = _load(task.model, task.engine)
    try:
        footprint = predict_scene(
            loaded.model,
            loaded.image_processor,
            task.path,
            task.out_dir,
            probability=task.probability,
            probability_type=task.probability_type,
            options=task.options,
            threshold=task.threshold,
            window=task.window,
            overlap=task.overlap,
            batch_size=task.batch_size,
            progress=progress,
        )
    except torch.OutOfMemoryError:
        error = (
            f"{locate(task.path).shown}: found too little GPU memory; expected enough for a batch of "
            "windows. Lower --window or --batch-size."
        )
    except (EuroMineError, OSError) as problem:
        error = one_line(problem)
    else:
        return Outcome(task.path, str(footprint))
    return Outcome(task.path, error=error)


def _logged(outcome: Outcome) -> Outcome:
    if outcome.error:
        logger.error(outcome.error)
    return outcome


@lru_cache(maxsize=1)
def _load(source: str, engine: EngineChoice) -> LoadedModel:
    loaded = load_model(source, task=SEGMENTATION)
    if loaded.task == SERIES:
        logger.warning(
            "%s is a network for series, but maps each scene here without the other years of its place. "
            "`euromine series` maps all years of a place together.",
            source,
        )
    return on_engine(loaded, engine)


def _size(task: _Task) -> int:
    try:
        return Path(task.path).stat().st_size
    except OSError:
        return 0  # the error is the outcome of mapping it


def _processes() -> _Processes:
    """This process among those that `accelerate launch` started.

    Raises:
        ArgumentError: The processes cannot reach each other.
    """
    if all(os.environ.get(name, "1") == "1" for name in _WORLD_SIZES):
        return _Processes()
    from accelerate import PartialState
    from accelerate.utils import gather_object

    # Without cpu=True, accelerate takes each process without a GPU for the only one.
    on_cpu = not torch.cuda.is_available()
    try:
        # The first process to finish waits for the others, possibly for hours.
        state = PartialState(cpu=on_cpu, timeout=timedelta(days=30))
    # ValueError: variables such as MASTER_ADDR are missing. RuntimeError: another process cannot be reached.
    except (ValueError, RuntimeError) as error:
        raise ArgumentError(
            f"accelerate launch: found processes that cannot reach each other ({one_line(error)}); expected "
            "a launcher that connects them. Check --main_process_ip and --main_process_port."
        ) from error
    return _Processes(state.process_index, state.num_processes, gather_object)
