"""The same in Python: a trained network, and what it makes of a place over the years."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from euromine.modeling import SEGMENTATION

from .history.series import SeriesSettings, by_year, find_scenes, make_series
from .mapping.loading import LoadedModel, load_model
from .mapping.prediction import predict_probability
from .result import SeriesResult
from .scenes.scene import SceneOptions, open_scene, parse_bands


class MineMonitor:
    """A footprint mapper, a change detector or one of each, ready for a person's own images.

    Attributes:
        models: The loaded models.

    Example:
        >>> monitor = MineMonitor.from_pretrained("runs/segformer-b0")  # doctest: +SKIP
        >>> result = monitor.series("my_mine", "my_mine_maps", years=range(2015, 2025))  # doctest: +SKIP
        >>> result.areas, result.changes, result.polygons(), result.report()  # doctest: +SKIP
    """

    def __init__(self, models: Sequence[LoadedModel]) -> None:
        self.models = tuple(models)

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str],
        change_model: str | os.PathLike[str] | None = None,
        device: str | torch.device | None = None,
    ) -> MineMonitor:
        """Load one model or two.

        Args:
            model: A footprint mapper or a change detector: a folder, or a repository of the Hub.
            change_model: A change detector beside a mapper.
            device: Where to; by default a GPU if there is one.

        Raises:
            ModelError: A model cannot be loaded.
        """
        sources = [model] if change_model is None else [model, change_model]
        return cls([load_model(source, device=device) for source in sources])

    def __repr__(self) -> str:
        return f"MineMonitor({', '.join(loaded.source for loaded in self.models)})"

    def predict(
        self, scene: str | os.PathLike[str], *, progress: bool = False, **settings: Any
    ) -> NDArray[np.float32]:
        """The probability of a mine in each pixel of one scene.

        Args:
            scene: A GeoTIFF of any size; `prediction.predict_scene` writes maps of one that fits no memory.
            progress: Whether to show a progress bar.
            **settings: `bands`, `scale`, `offset`, `nodata` of the scene, where it does not say them itself;
                `window`, `overlap` and `batch_size`.

        Returns:
            (height, width) float32, NaN without data.

        Raises:
            SceneError: The scene cannot be read, lacks a band or does not say what its numbers mean.
            ValueError: There is no footprint mapper.
        """
        mapper = next((loaded for loaded in self.models if loaded.task == SEGMENTATION), None)
        if mapper is None:
            raise ValueError(f"{self} maps no footprints, a footprint mapper was expected")
        with open_scene(scene, _scene_options(settings)) as opened:
            blocks = predict_probability(mapper.model, mapper.image_processor, opened, **settings)
            with tqdm(total=opened.grid.height, unit="row", disable=not progress) as bar:
                rows = []
                for _, block in blocks:
                    rows.append(block)
                    bar.update(len(block))
        return np.concatenate(rows)

    def series(
        self,
        scenes: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        out: str | os.PathLike[str],
        *,
        years: Iterable[int] | None = None,
        progress: bool = False,
        **settings: Any,
    ) -> SeriesResult:
        """Map a place over its years, as `euromine series` does.

        Args:
            scenes: A folder with an image for each year, or the images' paths; each tells its year.
            out: The folder to make, or to complete.
            years: The years of interest; default all.
            progress: Whether to show progress bars.
            **settings: The fields of `SeriesSettings`; `bands`, `scale`, `offset` and `nodata` of the images,
                where they do not say them themselves.

        Raises:
            SceneError: An image cannot be read, or does not fit.
            ValueError: The models, the years or the settings do not fit.
            OSError: The folder cannot be written to, or has not the space.
        """
        options = _scene_options(settings)
        chosen = None if years is None else sorted({int(year) for year in years})
        if isinstance(scenes, str | os.PathLike):
            found = find_scenes(scenes, chosen, options)
        else:
            found = by_year(scenes, chosen, options)
        if settings.get("permits") is not None:
            settings["permits"] = Path(settings["permits"])
        made = make_series(
            self.models,
            found,
            out,
            SeriesSettings(**settings),
            options=options,
            missing_years=[year for year in chosen or () if year not in found],
            progress=progress,
        )
        return SeriesResult(made.path)


def _scene_options(settings: dict[str, Any]) -> SceneOptions:
    """What is told of scenes, taken out of `settings`."""
    bands = settings.pop("bands", None)
    if isinstance(bands, str):
        bands = parse_bands(bands)
    return SceneOptions(
        bands=None if bands is None else tuple(bands),
        **{name: settings.pop(name) for name in ("scale", "offset", "nodata") if name in settings},
    )
