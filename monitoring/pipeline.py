"""`pipeline("mine-footprint", model=...)`: one scene, or a list of them, by transformers' own call.

Importing this module registers the task with transformers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window
from transformers import AutoModelForSemanticSegmentation, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from euromine.modeling import EuroMineImageProcessor

from .history.area_series import areas_by_year
from .mapping.prediction import NODATA, OVERLAP, WINDOW, predict_probability
from .scenes.alignment import ReadsWindows
from .scenes.grids import Grid
from .scenes.scene import Scene, SceneOptions, open_scene, parse_bands

TASK = "mine-footprint"

_SCENE = ("bands", "scale", "offset", "nodata")
_FORWARD = ("window", "overlap")


class ArrayScene:
    """An image in memory, read as a scene is.

    Attributes:
        grid: Its pixels, which lie nowhere.
    """

    def __init__(self, image: NDArray[Any], bands: Sequence[str]) -> None:
        """Take an image.

        Args:
            image: (bands, height, width) digital numbers, integers or floats; NaN without data.
            bands: The names of its bands.

        Raises:
            ValueError: It has other dimensions or another number of bands.
        """
        image = np.asarray(image)
        if image.ndim != 3 or len(image) != len(bands) or 0 in image.shape or image.dtype.kind not in "iuf":
            raise ValueError(
                f"the image is {image.dtype} {image.shape}, numbers ({len(bands)}, height, width) were "
                f"expected: {', '.join(bands)}"
            )
        self._image, self._bands = image, list(bands)
        self.grid = Grid(CRS(), Affine.identity(), image.shape[2], image.shape[1])

    def cache_rows(self, rows: int) -> None:
        """It is in memory already."""

    def read(self, window: Window, bands: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """As `Scene.read`."""
        missing = [band for band in bands if band not in self._bands]
        if missing:
            raise ValueError(f"the image has no band {', '.join(missing)}, only {', '.join(self._bands)}")
        top, left = int(window.row_off), int(window.col_off)
        part = self._image[:, top : top + int(window.height), left : left + int(window.width)]
        image = part[[self._bands.index(band) for band in bands]].astype(np.float32)
        valid = np.asarray(np.isfinite(image).all(axis=0))
        image[~np.isfinite(image)] = 0
        return image, valid


class MineFootprintPipeline(Pipeline):
    """Maps the footprint in a scene.

    Takes a GeoTIFF's path, an open rasterio dataset of a file, an open `Scene`, or an array (bands, height,
    width) of digital numbers (reflectance times 10,000), or a list of those. Of an array the bands are the
    processor's `source_bands` unless `bands` names them.

    Options: `threshold` (0.5), `window` and `overlap` in pixels; of scenes that do not say them themselves
    `bands`, `scale`, `offset` and `nodata`, as for `euromine predict`.

    Gives a dictionary: `mask` uint8 (height, width) 1 mine, 0 none, 255 without data; `probability` float32
    (height, width), NaN without data; `area_ha`, the mined area on the ground, or None for an array.

    Example:
        >>> import euromine.monitoring.pipeline  # doctest: +SKIP
        >>> from transformers import pipeline  # doctest: +SKIP
        >>> pipeline("mine-footprint", model="runs/segformer-b0")("scene.tif")["area_ha"]  # doctest: +SKIP
    """

    # transformers types these by their default, None, and the parameters of the three steps not at all.
    _load_processor = False  # type: ignore[assignment]
    _load_image_processor = True  # type: ignore[assignment]
    _load_video_processor = False  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]
    _load_tokenizer = False  # type: ignore[assignment]

    def _sanitize_parameters(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        known = {*_SCENE, *_FORWARD, "threshold"}
        if unknown := set(options) - known:
            raise ValueError(
                f"{TASK} knows no option {', '.join(sorted(unknown))}, one of {', '.join(sorted(known))} "
                "was expected"
            )
        return (
            {name: options[name] for name in _SCENE if name in options},
            {name: options[name] for name in _FORWARD if name in options},
            {"threshold": options["threshold"]} if "threshold" in options else {},
        )

    def preprocess(self, input_: Any, **options: Any) -> dict[str, Any]:
        """Whatever came, as something that is read in windows."""
        processor = self._processor()
        bands = options.get("bands")
        if isinstance(bands, str):
            bands = parse_bands(bands)
        if isinstance(input_, Scene):
            return {"scene": input_, "is_ours": False}
        if isinstance(input_, np.ndarray | torch.Tensor):
            return {
                "scene": ArrayScene(np.asarray(input_), bands or processor.source_bands),
                "is_ours": False,
            }
        # Of an open dataset the file that it reads.
        path = input_ if isinstance(input_, os.PathLike) else getattr(input_, "name", input_)
        if not isinstance(path, str | os.PathLike):
            raise ValueError(
                f"{TASK} was given a {type(input_).__name__}, a GeoTIFF's path, an open dataset or an "
                "array (bands, height, width) was expected"
            )
        options["bands"] = None if bands is None else tuple(bands)
        return {"scene": open_scene(Path(path), SceneOptions(**options)), "is_ours": True}

    def _forward(  # type: ignore[override]
        self, input_tensors: dict[str, Any], window: int = WINDOW, overlap: int = OVERLAP
    ) -> dict[str, Any]:
        scene: ReadsWindows = input_tensors["scene"]
        try:
            blocks = predict_probability(self.model, self._processor(), scene, window=window, overlap=overlap)
            probability = np.concatenate([rows for _, rows in blocks])
        finally:
            if input_tensors["is_ours"]:
                input_tensors["scene"].close()
        return {"probability": probability, "grid": scene.grid}

    def postprocess(  # type: ignore[override]
        self, model_outputs: dict[str, Any], threshold: float = 0.5
    ) -> dict[str, Any]:
        """The mask and its area."""
        if not 0 <= threshold < 1:
            raise ValueError(
                f"threshold is {threshold}, a probability of at least 0 and below 1 was expected"
            )
        probability, grid = model_outputs["probability"], model_outputs["grid"]
        mask = (probability > threshold).astype(np.uint8)
        mask[np.isnan(probability)] = NODATA
        # Of one map the year does not matter.
        area = float(areas_by_year(mask[None], [0], grid)[0].area_ha) if grid.crs else None
        return {"mask": mask, "probability": probability, "area_ha": area}

    def _processor(self) -> EuroMineImageProcessor:
        if not isinstance(self.image_processor, EuroMineImageProcessor):
            raise ValueError(
                f"the image processor is a {type(self.image_processor).__name__}, the "
                "EuroMineImageProcessor that a checkpoint was saved with was expected"
            )
        return self.image_processor


def register() -> None:
    """Make the task known to `transformers.pipeline`; done by importing this module."""
    if TASK not in PIPELINE_REGISTRY.supported_tasks:
        PIPELINE_REGISTRY.register_pipeline(
            TASK,
            pipeline_class=MineFootprintPipeline,
            pt_model=AutoModelForSemanticSegmentation,
            type="image",
        )


register()
