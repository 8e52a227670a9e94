"""`transformers.pipeline("mine-footprint", model=...)`, for one scene or a list of scenes.

Importing this module registers the task with transformers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window
from transformers import AutoModelForSemanticSegmentation, Pipeline, PreTrainedModel
from transformers.pipelines import PIPELINE_REGISTRY

from euromine.dataset_script.label_groups import LabelGroups
from euromine.modeling.auto import AutoModelForSeries
from euromine.modeling.component_segmenter import ComponentSegmenter
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.modeling.tasks import SEGMENTATION
from euromine.support.errors import ArgumentError, ModelError, SceneError
from euromine.support.processing_levels import Level, parse_level

from .history.area_series import areas_by_year
from .mapping.component_groups import component_groups
from .mapping.component_prediction import predict_components, predict_footprint_rows
from .mapping.engine_choice import AUTO, FLOAT32, EngineChoice
from .mapping.engines import on_engine
from .mapping.loading import LoadedModel
from .mapping.map_values import NODATA
from .mapping.prediction import OVERLAP, WINDOW
from .scenes.alignment import ReadsWindows
from .scenes.grids import Grid
from .scenes.scene import Scene, open_scene
from .scenes.scene_level import level_warning
from .scenes.scene_options import SceneOptions

logger = logging.getLogger(__name__)

TASK = "mine-footprint"

_SCENE = ("bands", "scale", "offset", "nodata", "level", "override", "keep_clouds")
_FORWARD = ("window", "overlap", "engine", "precision", "force_precision")


class ArrayScene:
    """An image in memory that is read like a `Scene`.

    Attributes:
        grid: Its pixels, without a coordinate system.
    """

    def __init__(self, image: NDArray[Any], bands: Sequence[str]) -> None:
        """Take an image.

        Args:
            image: (bands, height, width) digital numbers, integers or floats; NaN without data.
            bands: The names of its bands.

        Raises:
            SceneError: The image has other dimensions or another number of bands.
        """
        image = np.asarray(image)
        if image.ndim != 3 or len(image) != len(bands) or 0 in image.shape or image.dtype.kind not in "iuf":
            raise SceneError(
                f"image: found {image.dtype} {image.shape}; expected numbers ({len(bands)}, height, width) "
                f"for the bands {', '.join(bands)}."
            )
        self._image, self._bands = image, list(bands)
        self.grid = Grid(CRS(), Affine.identity(), image.shape[2], image.shape[1])

    def cache_rows(self, rows: int) -> None:
        """The whole image is in memory already."""

    def read(self, window: Window, bands: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """As `Scene.read`."""
        missing = [band for band in bands if band not in self._bands]
        if missing:
            raise SceneError(
                f"image: found the bands {', '.join(self._bands)}; expected {', '.join(missing)} as well."
            )
        top, left = int(window.row_off), int(window.col_off)
        part = self._image[:, top : top + int(window.height), left : left + int(window.width)]
        image = part[[self._bands.index(band) for band in bands]].astype(np.float32)
        valid = np.asarray(np.isfinite(image).all(axis=0))
        image[~np.isfinite(image)] = 0
        return image, valid


class MineFootprintPipeline(Pipeline):
    """Maps the mine footprint in a scene; a network for series takes it for a series of one year.

    Takes a scene's path or address, a rasterio dataset or `Scene` that is open, or an array (bands, height,
    width) of digital numbers (reflectance times 10,000); or a list of those. The bands of an array are the
    processor's `source_bands` unless `bands` names them.

    Options: `threshold` (0.5); `window` and `overlap` in pixels; `engine`, `precision` and `force_precision`
    as for `EngineChoice`; and, where a file's own metadata do not apply, `bands`, `scale`, `offset`,
    `nodata`, `level`, `override` and `keep_clouds` as for `euromine predict`.

    Returns a dictionary: `mask` uint8 (height, width), 1 mine, 0 other, 255 without data; `probability`
    float32 (height, width), NaN without data; `area_ha`, the mined area on the ground, None for an array. A
    component model adds `components`, a list as transformers' image segmentation gives it, with a dictionary
    for each class that occurs: `group`, `label`, `score` (None, as of its semantic maps), and `mask` and
    `area_ha` as above. Classes of different groups may lie on the same ground.

    Example:
        >>> import euromine.monitoring.pipeline  # doctest: +SKIP
        >>> from transformers import pipeline  # doctest: +SKIP
        >>> pipeline("mine-footprint", model="runs/segformer-b0")("scene.tif")["area_ha"]  # doctest: +SKIP
    """

    # transformers types these by their default, None, and does not type the parameters of the three steps.
    _load_processor = False  # type: ignore[assignment]
    _load_image_processor = True  # type: ignore[assignment]
    _load_video_processor = False  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]
    _load_tokenizer = False  # type: ignore[assignment]
    _engine: tuple[EngineChoice, PreTrainedModel] | None = None

    def _sanitize_parameters(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        known = {*_SCENE, *_FORWARD, "threshold"}
        if unknown := set(options) - known:
            raise ArgumentError(
                f"{TASK}: found the option {', '.join(sorted(unknown))}; expected {', '.join(sorted(known))}."
            )
        return (
            {name: options[name] for name in _SCENE if name in options},
            {name: options[name] for name in _FORWARD if name in options},
            {"threshold": options["threshold"]} if "threshold" in options else {},
        )

    def preprocess(  # type: ignore[override]
        self,
        input_: Any,
        bands: str | Sequence[str] | None = None,
        scale: float | None = None,
        offset: float | None = None,
        nodata: float | None = None,
        level: str | None = None,
        override: bool = False,
        keep_clouds: bool = False,
    ) -> dict[str, Any]:
        """Open the input as something that is read in windows."""
        options = SceneOptions.of(bands, scale, offset, nodata, override, level, keep_clouds)
        if isinstance(input_, Scene):
            self._warn_of_level(input_.level, input_.location.shown)
            return {"scene": input_, "is_ours": False}
        if isinstance(input_, np.ndarray | torch.Tensor):
            scene = ArrayScene(np.asarray(input_), options.bands or self._processor().source_bands)
            self._warn_of_level(None if level is None else parse_level(level), "image")
            return {"scene": scene, "is_ours": False}
        # An open dataset stands for its file.
        path = input_ if isinstance(input_, os.PathLike) else getattr(input_, "name", input_)
        if not isinstance(path, str | os.PathLike):
            raise SceneError(
                f"scene: found a {type(input_).__name__}; expected the path of a scene, an open dataset or "
                "an array (bands, height, width)."
            )
        opened = open_scene(path, options)
        self._warn_of_level(opened.level, opened.location.shown)
        return {"scene": opened, "is_ours": True}

    def _forward(  # type: ignore[override]
        self,
        input_tensors: dict[str, Any],
        window: int = WINDOW,
        overlap: int = OVERLAP,
        engine: str = AUTO,
        precision: str = FLOAT32,
        force_precision: bool = False,
    ) -> dict[str, Any]:
        scene: ReadsWindows = input_tensors["scene"]
        try:
            model = self._on_engine(EngineChoice(engine, precision, force_precision))
            groups = component_groups(model)
            predict = predict_footprint_rows if groups is None else predict_components
            blocks = list(predict(model, self._processor(), scene, window=window, overlap=overlap))
        finally:
            if input_tensors["is_ours"]:
                input_tensors["scene"].close()
        return {
            "probability": np.concatenate([block.probability for block in blocks]),
            "maps": np.concatenate([block.maps for block in blocks], axis=1),
            "groups": groups,
            "grid": scene.grid,
        }

    def postprocess(  # type: ignore[override]
        self, model_outputs: dict[str, Any], threshold: float = 0.5
    ) -> dict[str, Any]:
        """The mask and its area, and those of each component."""
        if not 0 <= threshold < 1:
            raise ArgumentError(
                f"threshold: found {threshold}; expected a probability of at least 0 and below 1."
            )
        probability, grid = model_outputs["probability"], model_outputs["grid"]
        mask = (probability > threshold).astype(np.uint8)
        mask[np.isnan(probability)] = NODATA
        found = {"mask": mask, "probability": probability, "area_ha": _area(mask, grid)}
        groups: LabelGroups | None = model_outputs["groups"]
        if groups is not None:
            found["components"] = [
                {
                    "group": group,
                    "label": label,
                    "score": None,
                    "mask": of_class,
                    "area_ha": _area(of_class, grid),
                }
                for (group, classes), values in zip(groups.groups.items(), model_outputs["maps"], strict=True)
                for value, label in enumerate(classes, 1)
                if (of_class := _class_mask(values, value)).any(where=values != NODATA)
            ]
        return found

    def _warn_of_level(self, level: Level | None, image: str | os.PathLike[str]) -> None:
        if warning := level_warning(level, self._processor().level):
            logger.warning("%s: %s", image, warning)

    def _on_engine(self, choice: EngineChoice) -> PreTrainedModel:
        """The network on an engine, kept for further scenes."""
        if self._engine is None or self._engine[0] != choice:
            source = self.model.name_or_path or "model"
            loaded = LoadedModel(source, SEGMENTATION, self.model, self._processor())
            self._engine = choice, on_engine(loaded, choice).model
        return self._engine[1]

    def _processor(self) -> EuroMineImageProcessor:
        if not isinstance(self.image_processor, EuroMineImageProcessor):
            raise ModelError(
                f"image_processor: found a {type(self.image_processor).__name__}; expected the "
                "EuroMineImageProcessor that a checkpoint is saved with."
            )
        return self.image_processor


def _class_mask(values: NDArray[np.uint8], value: int) -> NDArray[np.uint8]:
    """1 where a map has a value, 0 elsewhere, 255 without data."""
    mask = (values == value).astype(np.uint8)
    mask[values == NODATA] = NODATA
    return mask


def _area(mask: NDArray[np.uint8], grid: Grid) -> float | None:
    """Hectares of a mask on the ground; None without a coordinate system."""
    # A single map's year does not matter.
    return float(areas_by_year(mask[None], [0], grid)[0].area_ha) if grid.crs else None


def register() -> None:
    """Register the task with `transformers.pipeline`. Importing this module does it."""
    if TASK not in PIPELINE_REGISTRY.supported_tasks:
        # Typed for one class alone. No Auto class of a task has component segmenters.
        classes: Any = (AutoModelForSemanticSegmentation, AutoModelForSeries, ComponentSegmenter)
        PIPELINE_REGISTRY.register_pipeline(
            TASK,
            pipeline_class=MineFootprintPipeline,
            pt_model=classes,
            type="image",
        )


register()
