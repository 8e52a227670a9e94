"""Scenes of any size through a network that maps footprints: windows in, Cloud-Optimised GeoTIFFs out."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy import ndimage
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel

from euromine.modeling import SEGMENTATION, EuroMineImageProcessor
from euromine.monitoring.scenes.alignment import ReadsWindows
from euromine.monitoring.scenes.scene import Scene, open_scene
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import SceneError
from euromine.support.workers import prefetch, run_on_dask

from .geotiffs import CogWriter, read_record
from .loading import LoadedModel, load_model, model_digest
from .tiling import Blender, Tiling

logger = logging.getLogger(__name__)

WINDOW, OVERLAP = 512, 64
NODATA = 255
"""What marks pixels without data in a footprint."""

_GPU_BATCH = 8
# How many rows are handed on at once, so that those on their way to a file need little memory.
_ROWS = 64


@torch.inference_mode()
def mine_probability(model: PreTrainedModel, pixel_values: Tensor) -> Tensor:
    """The probability of a mine in each pixel.

    Args:
        model: A network that maps footprints.
        pixel_values: (batch, channels, height, width) on its device.

    Returns:
        (batch, height, width) float32 on the network's device. Logits of a lower resolution are resized
        bilinearly, so that equal ones stay that very number.

    Raises:
        ValueError: The network has no class of mines.
    """
    mine = _mine_class(model)
    logits = model(pixel_values=pixel_values.to(model.dtype)).logits.float()
    height, width = pixel_values.shape[-2:]
    if logits.shape[1] == 2:
        # Of two classes the probability is that of their difference, and half the work.
        return _resized(logits[:, mine] - logits[:, 1 - mine], height, width).sigmoid()
    resized = _resized(logits.flatten(0, 1), height, width).unflatten(0, logits.shape[:2])
    return resized.softmax(1)[:, mine]


def predict_probability(
    model: PreTrainedModel,
    image_processor: EuroMineImageProcessor,
    scene: ReadsWindows,
    *,
    window: int = WINDOW,
    overlap: int = OVERLAP,
    batch_size: int | None = None,
) -> Iterator[tuple[Window, NDArray[np.float32]]]:
    """The probability of a mine over a scene, in whole rows from the top to the bottom.

    Reading goes on in a thread while the network works. Windows without data are not shown to the network;
    in others, pixels without data are filled with their nearest neighbours.

    Args:
        model: A network that maps footprints, as it stands: in evaluation mode if that is wanted.
        image_processor: Its image processor, whose bands are read from the scene.
        scene: Open.
        window: The largest side of a window, a multiple of 32.
        overlap: Pixels that neighbouring windows share.
        batch_size: Windows that the network sees at once; by default 1, or 8 on a GPU.

    Yields:
        Windows over the whole width that cover each row once, and their probabilities (rows, width) float32,
        NaN where the scene has no data in one of the bands.

    Raises:
        SceneError: A band is missing, nothing says what the numbers mean, or the file is damaged.
        ValueError: The window, the overlap or the network does not fit.
    """
    tiling = Tiling.of(scene.grid.height, scene.grid.width, window, overlap)
    is_on_gpu = model.device.type == "cuda"
    if batch_size is None:
        batch_size = _GPU_BATCH if is_on_gpu else 1
    scene.cache_rows(tiling.rows.size)
    blender = Blender(tiling)
    batches = prefetch(_batches(scene, image_processor, tiling, batch_size, pinned=is_on_gpu), 1)
    with closing(batches):
        for batch, probability in _answers(model, batches):
            slots = iter(probability)
            nothing = np.zeros((tiling.rows.size, tiling.columns.size), np.float32)
            for (row, column), valid in zip(batch.places, batch.valid, strict=True):
                values = next(slots) if valid is None or valid.any() else nothing
                complete = blender.add(row, column, values, valid)
                if complete is not None:
                    top, rows = complete
                    for begin in range(0, len(rows), _ROWS):
                        part = rows[begin : begin + _ROWS].copy()
                        yield Window(0, top + begin, rows.shape[1], len(part)), part


def predict_scene(
    model: PreTrainedModel,
    image_processor: EuroMineImageProcessor,
    path: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    probability: bool = False,
    options: SceneOptions | None = None,
    threshold: float = 0.5,
    window: int = WINDOW,
    overlap: int = OVERLAP,
    batch_size: int | None = None,
    progress: bool = False,
) -> Path:
    """Map the footprint in a scene: `<out_dir>/<scene>_footprint.tif`, and `<scene>_probability.tif`.

    Both are Cloud-Optimised GeoTIFFs on the scene's grid, whole or absent. Where they are there already, made
    of the same file by the same network with the same options, nothing is done.

    Args:
        model: A network that maps footprints, in evaluation mode, on the device to use.
        image_processor: Its image processor.
        path: A GeoTIFF of any size.
        out_dir: Made if it is missing.
        probability: Whether to write the probability (float32, NaN without data) as well.
        options: What the scene does not say itself.
        threshold: Above this probability is mine.
        window: The largest side of a window, a multiple of 32.
        overlap: Pixels that neighbouring windows share.
        batch_size: Windows that the network sees at once; by default 1, or 8 on a GPU.
        progress: Whether to show a progress bar over the rows.

    Returns:
        The path of the footprint: uint8, 1 mine, 0 none, 255 without data.

    Raises:
        SceneError: The scene cannot be read, lacks a band or data, or does not say what its numbers mean.
        OSError: The folder cannot be written to, or has not the space.
        ValueError: An option does not fit.
    """
    _check_settings(threshold, window, overlap)
    footprint_path, probability_path = output_paths(path, out_dir)
    with open_scene(path, options) as scene:
        if read_record(path) is not None:
            raise SceneError(f"{path}: is a map that euromine made; expected imagery.")
        bands = tuple(image_processor.bands)
        reflectance = scene.reflectance(bands)
        record = {
            "euromine": version("euromine"),
            "model": model_digest(model, image_processor),
            "name": _source_name(model),
            "scene": scene.fingerprint(),
            "reflectance": asdict(reflectance),
            "threshold": threshold,
            "window": window,
            "overlap": overlap,
        }
        # JSON knows no tuples.
        record = json.loads(json.dumps(record))
        wanted = [footprint_path, *([probability_path] if probability else [])]
        if all(read_record(each) == record for each in wanted):
            logger.info("%s: is mapped already, in %s", path, footprint_path)
            return footprint_path
        logger.info("%s: %s", path, reflectance)
        blocks = predict_probability(
            model, image_processor, scene, window=window, overlap=overlap, batch_size=batch_size
        )
        outputs = (footprint_path, probability_path if probability else None)
        _write_maps(scene, blocks, outputs, threshold, record, progress)
        if doubt := scene.doubt():
            logger.warning("%s: %s", path, doubt)
    return footprint_path


@dataclass(frozen=True)
class Outcome:
    """What became of a scene.

    Attributes:
        path: The scene.
        footprint: The map of its footprint, None where it could not be made.
        error: Why not, in a sentence.
    """

    path: str
    footprint: str | None = None
    error: str | None = None


def predict_scenes(
    model: str | os.PathLike[str],
    paths: Sequence[str | os.PathLike[str]],
    out_dir: str | os.PathLike[str],
    *,
    dask: str | None = None,
    progress: bool = False,
    **settings: Any,
) -> list[Outcome]:
    """Map the footprint in many scenes; one that cannot be mapped does not stop the others.

    Under `accelerate launch` its processes share the scenes out between them, and each returns what became of
    all. A run that was stopped goes on where it was.

    Args:
        model: A folder, or a repository of the Hub.
        paths: GeoTIFFs of any size, each with a name of its own.
        out_dir: Made if it is missing.
        dask: Address of a Dask scheduler whose workers map the scenes instead; they must see the same files.
        progress: Whether to show progress bars.
        **settings: As for `predict_scene`.

    Raises:
        ModelError: The model cannot be loaded, or maps no footprints.
        OSError: The folder cannot be made, or no scheduler answers.
        ValueError: Two scenes have one name, or a setting does not fit.
    """
    scenes = _distinct(paths)
    _check_settings(**{key: settings[key] for key in ("threshold", "window", "overlap") if key in settings})
    folder = Path(out_dir).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"{out_dir} cannot be made ({error.strerror}); expected a folder of one's own"
        ) from error
    source = str(Path(model).absolute()) if Path(model).is_dir() else os.fspath(model)
    if dask is not None:
        tasks = [_Task(source, scene, str(folder), settings) for scene in scenes]
        done = run_on_dask(_run, tasks, dask)
        with closing(done), tqdm(total=len(tasks), unit="scene", disable=not progress) as bar:
            outcomes = []
            for outcome in done:
                outcomes.append(_told(outcome))
                bar.update()
    else:
        rank, processes, gather = _processes()
        # The largest first, so that the processes end at about the same time.
        share = sorted(scenes, key=_size, reverse=True)[rank::processes] if processes > 1 else scenes
        _load(source)  # a model that will not do is no scene's fault
        outcomes = gather(
            [
                _told(_run(_Task(source, scene, str(folder), settings), progress and rank == 0))
                for scene in share
            ]
        )
    order = {scene: place for place, scene in enumerate(scenes)}
    return sorted(outcomes, key=lambda outcome: order[outcome.path])


@dataclass(frozen=True)
class _Task:
    """A scene to be mapped, wherever that is."""

    model: str
    path: str
    out_dir: str
    settings: Mapping[str, Any]


def _run(task: _Task, progress: bool = False) -> Outcome:
    loaded = _load(task.model)
    try:
        footprint = predict_scene(
            loaded.model, loaded.image_processor, task.path, task.out_dir, progress=progress, **task.settings
        )
    except torch.OutOfMemoryError:
        error = f"{task.path}: does not fit the GPU's memory; expected a smaller --window or --batch-size."
    except (ValueError, OSError) as problem:
        error = str(problem)
    else:
        return Outcome(task.path, str(footprint))
    return Outcome(task.path, error=error)


def _told(outcome: Outcome) -> Outcome:
    if outcome.error:
        logger.error(outcome.error)
    return outcome


@lru_cache(maxsize=1)
def _load(source: str) -> LoadedModel:
    return load_model(source, task=SEGMENTATION)


def _distinct(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The scenes, each once.

    Raises:
        ValueError: There is none, or two would be written to one file.
    """
    scenes = list(dict.fromkeys(str(Path(path).absolute()) for path in paths))
    if not scenes:
        raise ValueError("no scene is given, at least one GeoTIFF was expected")
    named: dict[str, str] = {}
    for scene in scenes:
        other = named.setdefault(Path(scene).stem, scene)
        if other != scene:
            raise ValueError(
                f"{other} and {scene} have one name and would be written to one file; expected scenes of "
                "other "
                f"names, or a folder for each"
            )
    return scenes


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _processes() -> tuple[int, int, Callable[[list[Outcome]], list[Outcome]]]:
    """This process's number, how many there are, and how what each has is put together."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, 1, lambda outcomes: outcomes
    from accelerate import PartialState
    from accelerate.utils import gather_object

    # Who is done first waits for the others, who may have hours to go.
    state = PartialState(timeout=timedelta(days=30))
    return state.process_index, state.num_processes, gather_object


def _source_name(model: PreTrainedModel) -> str:
    """A Hub repository, or the name of a folder without where on a machine it lies."""
    source = model.name_or_path or ""
    return Path(source).name if Path(source).is_dir() else source


def _check_settings(threshold: float = 0.5, window: int = WINDOW, overlap: int = OVERLAP) -> None:
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold is {threshold}, a probability of at least 0 and below 1 was expected")
    Tiling.of(1, 1, window, overlap)


def output_paths(path: str | os.PathLike[str], out_dir: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Where the footprint and the probability of a scene are written."""
    stem = Path(path).stem
    return Path(out_dir) / f"{stem}_footprint.tif", Path(out_dir) / f"{stem}_probability.tif"


def _write_maps(
    scene: Scene,
    blocks: Iterator[tuple[Window, NDArray[np.float32]]],
    outputs: tuple[Path, Path | None],
    threshold: float,
    record: Mapping[str, Any],
    progress: bool,
) -> None:
    """Write what comes, while the network goes on; the footprint last, so that it stands for both."""
    footprint_path, probability_path = outputs
    has_data = False
    with ExitStack() as files:
        footprints = files.enter_context(
            CogWriter(
                footprint_path,
                scene.grid,
                np.uint8,
                NODATA,
                resampling="mode",
                description="mine",
                record=record,
            )
        )
        probabilities = probability_path and files.enter_context(
            CogWriter(
                probability_path,
                scene.grid,
                np.float32,
                math.nan,
                resampling="average",
                description="probability of a mine",
                record=record,
            )
        )
        bar = files.enter_context(
            tqdm(total=scene.grid.height, desc=scene.path.name, unit="row", disable=not progress)
        )
        coming = files.enter_context(closing(prefetch(blocks, 1)))
        for _, rows in coming:
            without = np.isnan(rows)
            has_data = has_data or not without.all()
            footprint = (rows > threshold).astype(np.uint8)
            footprint[without] = NODATA
            footprints.write(footprint)
            if probabilities:
                probabilities.write(rows)
            bar.update(len(rows))
        scene.close()  # the memory of its blocks is for the copies that the writers make now
        if not has_data:
            raise SceneError(
                f"{scene.path}: has no pixel with data in all of the bands, all are clouds or nodata; "
                "expected some "
                f"ground to map."
            )


@dataclass(frozen=True)
class _Batch:
    """Windows for the network.

    Attributes:
        places: (row, column) in the tiling of each window.
        valid: Which pixels (height, width) of each have data; None for all.
        pixel_values: (windows with data, bands, height, width) float32.
    """

    places: list[tuple[int, int]]
    valid: list[NDArray[np.bool_] | None]
    pixel_values: Tensor


def _batches(
    scene: ReadsWindows,
    image_processor: EuroMineImageProcessor,
    tiling: Tiling,
    batch_size: int,
    pinned: bool,
) -> Iterator[_Batch]:
    """The windows of a scene, normalised, in batches of `batch_size` that have data."""
    bands = tuple(image_processor.bands)
    size = (len(bands), tiling.rows.size, tiling.columns.size)
    places: list[tuple[int, int]] = []
    masks: list[NDArray[np.bool_] | None] = []
    images: list[NDArray[np.float32]] = []

    def batch() -> _Batch:
        if not images:
            return _Batch(places, masks, torch.empty(0, *size))
        stacked = images[0][None] if len(images) == 1 else np.stack(images)
        pixel_values = image_processor.preprocess(stacked, bands=bands, return_tensors="pt").pixel_values
        return _Batch(places, masks, pixel_values.pin_memory() if pinned else pixel_values)

    for row, column in tiling:
        image, valid = cut_window(scene, bands, tiling.rows.inside(row), tiling.columns.inside(column))
        is_whole = bool(valid.all())
        if is_whole or valid.any():
            images.append(image if is_whole else fill_nodata(image, valid))
        places.append((row, column))
        masks.append(None if is_whole else valid)
        if len(images) == batch_size or (column == tiling.columns.count - 1 and not images):
            yield batch()
            places, masks, images = [], [], []
    if places:
        yield batch()


def cut_window(
    scene: ReadsWindows, bands: Sequence[str], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The pixels of a scene at these rows and columns, which run straight but for mirrored borders.

    Args:
        scene: Open.
        bands: Their names.
        rows: Of the scene, as `Axis.inside` tells them.
        columns: Likewise.

    Returns:
        (bands, rows, columns) float32 digital numbers, and where (rows, columns) all of them have data.

    Raises:
        SceneError: As `Scene.read`.
    """
    top, left = int(rows.min()), int(columns.min())
    height, width = int(rows.max()) + 1 - top, int(columns.max()) + 1 - left
    image, valid = scene.read(Window(left, top, width, height), bands)
    if (height, width) == (len(rows), len(columns)):
        return image, valid
    rows, columns = rows - top, columns - left
    # An axis at a time is several times quicker than both at once.
    return image.take(rows, 1).take(columns, 2), valid.take(rows, 0).take(columns, 1)


def fill_nodata(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Pixels without data take the nearest one's, so that a network sees no edge where the data end.

    Args:
        image: (bands, height, width).
        valid: Which pixels (height, width) have data; at least one.
    """
    rows, columns = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return image[:, rows, columns]


def _answers(
    model: PreTrainedModel, batches: Iterable[_Batch]
) -> Iterator[tuple[_Batch, NDArray[np.float32]]]:
    """Each batch with its probabilities (windows with data, height, width) float32.

    On a GPU the next batch is under way before the last one's answers are waited for.
    """
    waiting: tuple[_Batch, Tensor, Any] | None = None
    for batch in batches:
        answer = _answer(model, batch.pixel_values)
        if waiting:
            yield _arrived(*waiting)
        waiting = (replace(batch, pixel_values=batch.pixel_values[:0].clone()), *answer)
    if waiting:
        yield _arrived(*waiting)


def _answer(model: PreTrainedModel, pixel_values: Tensor) -> tuple[Tensor, Any]:
    """Probabilities on their way to the CPU, and what to wait for before they are read."""
    if not len(pixel_values):
        return pixel_values[:, 0], None
    probability = mine_probability(model, pixel_values.to(model.device, non_blocking=True))
    if probability.device.type != "cuda":
        return probability.cpu(), None
    arriving = torch.empty(probability.shape, dtype=probability.dtype, pin_memory=True)
    arriving.copy_(probability, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return arriving, event


def _arrived(batch: _Batch, probability: Tensor, event: Any) -> tuple[_Batch, NDArray[np.float32]]:
    if event is not None:
        event.synchronize()
    return batch, probability.numpy()


def _mine_class(model: PreTrainedModel) -> int:
    """Which of a network's classes is mine: by name, or the second of two."""
    names = {str(name).lower(): int(index) for index, name in (model.config.id2label or {}).items()}
    if "mine" in names:
        return names["mine"]
    if len(names) == 2:
        return 1
    raise ValueError(f"the network has the classes {', '.join(names)}, one called mine was expected")


def _resized(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps (maps, height', width') at another size, bilinearly with pixels' centres where they are.

    As `F.interpolate`, but between equal numbers exactly that number: it does not multiply each.
    """
    for axis, length in ((1, height), (2, width)):
        count = maps.shape[axis]
        if count == length:
            continue
        places = (torch.arange(length, device=maps.device, dtype=torch.float32) + 0.5) * (
            count / length
        ) - 0.5
        places = places.clamp(0, count - 1)
        first = places.floor().long()
        second = (first + 1).clamp(max=count - 1)
        weights = places - first
        maps = torch.lerp(
            maps.index_select(axis, first),
            maps.index_select(axis, second),
            weights[:, None] if axis == 1 else weights,
        )
    return maps
