"""The maps of one scene: footprint, probability and components as Cloud-Optimised GeoTIFFs."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from transformers import PreTrainedModel

from euromine.dataset_script.label_groups import LabelGroups
from euromine.modeling import EuroMineImageProcessor
from euromine.monitoring.scenes.locations import locate
from euromine.monitoring.scenes.scene import Scene, open_scene
from euromine.monitoring.scenes.scene_level import level_warning
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import ArgumentError, SceneError
from euromine.support.workers import prefetch

from .component_groups import component_groups
from .component_prediction import ComponentRows, predict_components, predict_footprint_rows
from .engines import engine_record
from .geotiffs import CogWriter, is_mapped, map_record
from .loading import model_digest
from .map_styles import FOOTPRINT, PROBABILITY, MapStyle, component_style, write_style
from .map_values import NODATA
from .prediction import OVERLAP, WINDOW
from .stored_probabilities import ProbabilityWriter, check_probability_type
from .tiling import check_layout

logger = logging.getLogger(__name__)


def predict_scene(
    model: PreTrainedModel,
    image_processor: EuroMineImageProcessor,
    path: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    probability: bool = False,
    probability_type: str = "float32",
    options: SceneOptions | None = None,
    threshold: float = 0.5,
    window: int = WINDOW,
    overlap: int = OVERLAP,
    batch_size: int | None = None,
    progress: bool = False,
) -> Path:
    """Map the footprint in a scene: `<out_dir>/<scene>_footprint.tif`, and `<scene>_probability.tif`.

    A component model also writes `<scene>_components_<group>.tif` for each of its groups: uint8, 0 none, n
    the n-th class, 255 without data. Its footprint is the total, ground with any component.

    All are Cloud-Optimised GeoTIFFs on the scene's grid, written completely or not at all. Maps that the
    same model made of the same file with the same options are kept if they are undamaged. A QGIS style (.qml)
    lies beside each, unless there is one of the user's. Only one process at a time may map a scene into a
    folder, which `predict_scenes` sees to.

    Args:
        model: A footprint mapper in evaluation mode, on the device to use.
        image_processor: The model's image processor.
        path: A scene of any size, as for `open_scene`.
        out_dir: The folder of the maps, created if it is missing.
        probability: Whether to write the probability, too, NaN without data.
        probability_type: "float32", or "uint16" or "uint8" with a scale.
        options: Scene metadata; None for the file's own.
        threshold: Pixels above this probability are mine.
        window: The largest side of a window in pixels, a multiple of 32.
        overlap: Pixels that neighbouring windows share.
        batch_size: Windows per call of the model; None for 1, or 8 on a GPU.
        progress: Whether to show a progress bar.

    Returns:
        The path of the footprint map: uint8, 1 mine, 0 no mine, 255 without data.

    Raises:
        SceneError: The scene cannot be read, has no data, or a band, the scale or the offset is unknown.
        ArgumentError: `threshold`, `window` or `overlap` is out of range, there is no such type, or somebody
            else's file is in a map's place.
        ModelError: The model has no mine class.
        OSError: The folder cannot be written to, or the disk is full.
    """
    check_map_settings(threshold, window, overlap, probability_type)
    footprint_path, probability_path = output_paths(path, out_dir)
    groups = component_groups(model)
    components = component_paths(path, out_dir, groups)
    with open_scene(path, options) as scene:
        path = scene.location.shown
        if scene.path is not None and map_record(scene.tags) is not None:
            raise SceneError(f"{path}: found a map that euromine made; expected imagery.")
        reflectance = scene.reflectance(tuple(image_processor.bands))
        record = {
            "euromine": version("euromine"),
            "model": model_digest(model, image_processor),
            "name": _source_name(model),
            "scene": scene.fingerprint(),
            "reflectance": asdict(reflectance),
            "threshold": threshold,
            "window": window,
            "overlap": overlap,
            **engine_record(model),
        }
        record = json.loads(json.dumps(record))  # turns tuples into lists, as in a record that is read back
        styles = {footprint_path: FOOTPRINT, **({probability_path: PROBABILITY} if probability else {})}
        if groups is not None:
            styles |= {each: component_style(groups.groups[name]) for name, each in components.items()}
        records = dict.fromkeys(styles, record)
        if probability and probability_type != "float32":
            records[probability_path] = {**record, "stored": probability_type}
        if all(is_mapped(each, its) for each, its in records.items()):
            logger.info("%s: mapped already, in %s", path, footprint_path)
            _write_styles(styles)
            return footprint_path
        logger.info("%s: %s", path, reflectance)
        predict = predict_footprint_rows if groups is None else predict_components
        blocks = predict(model, image_processor, scene, window=window, overlap=overlap, batch_size=batch_size)
        outputs = _Outputs(
            footprint_path,
            probability_path if probability else None,
            probability_type,
            components,
            styles,
            records,
        )
        _write_maps(scene, blocks, outputs, threshold, progress)
        _write_styles(styles)
        if warning := level_warning(scene.level, image_processor.level):
            logger.warning("%s: %s", path, warning)
        if doubt := scene.doubt():
            logger.warning("%s: %s", path, doubt)
    return footprint_path


def _write_styles(styles: Mapping[Path, MapStyle]) -> None:
    for path, style in styles.items():
        write_style(path, style)


def output_paths(path: str | os.PathLike[str], out_dir: str | os.PathLike[str]) -> tuple[Path, Path]:
    """The paths of a scene's footprint and probability maps."""
    stem = locate(path).stem
    return Path(out_dir) / f"{stem}_footprint.tif", Path(out_dir) / f"{stem}_probability.tif"


def component_paths(
    path: str | os.PathLike[str], out_dir: str | os.PathLike[str], groups: LabelGroups | None
) -> dict[str, Path]:
    """The path of a scene's map of each group; none without groups."""
    stem = locate(path).stem
    names = [] if groups is None else groups.groups
    return {name: Path(out_dir) / f"{stem}_components_{name}.tif" for name in names}


def check_map_settings(
    threshold: float, window: int, overlap: int, probability_type: str = "float32"
) -> None:
    """Refuse settings out of range.

    Raises:
        ArgumentError: One is.
    """
    if not 0 <= threshold < 1:
        raise ArgumentError(
            f"threshold: found {threshold}; expected a probability of at least 0 and below 1."
        )
    check_probability_type(probability_type)
    check_layout(window, overlap)


def _source_name(model: PreTrainedModel) -> str:
    """The model's Hub repository, or the name of its folder without the path on this machine."""
    source = model.name_or_path or ""
    return Path(source).name if Path(source).is_dir() else source


@dataclass(frozen=True)
class _Outputs:
    """The maps to write.

    Attributes:
        footprint: The footprint.
        probability: Its probability; None without.
        probability_type: The type of the numbers in it.
        components: The components by group.
        styles: The style of each map.
        records: The record of each map.
    """

    footprint: Path
    probability: Path | None
    probability_type: str
    components: Mapping[str, Path]
    styles: Mapping[Path, MapStyle]
    records: Mapping[Path, Mapping[str, Any]]


def _write_maps(
    scene: Scene,
    blocks: Iterator[ComponentRows],
    outputs: _Outputs,
    threshold: float,
    progress: bool,
) -> None:
    """Write the maps while the model runs. The footprint is completed last, so that it stands for all."""
    has_data = False
    with ExitStack() as files:

        def classes(path: Path, description: str) -> CogWriter:
            return files.enter_context(
                CogWriter(
                    path,
                    scene.grid,
                    np.uint8,
                    NODATA,
                    resampling="mode",
                    description=description,
                    style=outputs.styles[path],
                    record=outputs.records[path],
                )
            )

        footprints = classes(outputs.footprint, "mine")
        components = [classes(path, f"components: {name}") for name, path in outputs.components.items()]
        probabilities = outputs.probability and files.enter_context(
            ProbabilityWriter(
                outputs.probability,
                scene.grid,
                outputs.probability_type,
                threshold,
                description="probability of a mine",
                style=PROBABILITY,
                record=outputs.records[outputs.probability],
            )
        )
        bar = files.enter_context(
            tqdm(total=scene.grid.height, desc=scene.location.name, unit="row", disable=not progress)
        )
        prefetched = files.enter_context(closing(prefetch(blocks, 1)))
        for block in prefetched:
            is_missing = np.isnan(block.probability)
            has_data = has_data or not is_missing.all()
            footprint = (block.probability > threshold).astype(np.uint8)
            footprint[is_missing] = NODATA
            footprints.write(footprint)
            for writer, rows in zip(components, block.maps, strict=True):
                writer.write(rows)
            if probabilities:
                probabilities.write(block.probability)
            bar.update(len(footprint))
        scene.close()  # frees the memory of its blocks for the copies that the writers now make
        if not has_data:
            raise SceneError(
                f"{scene.location.shown}: found no pixel with data in all bands, only clouds or nodata; "
                "expected some ground to map."
            )
