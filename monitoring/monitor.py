"""Trained networks in Python: one scene mapped, or a site over its years."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from euromine.modeling.tasks import SEGMENTATION, SERIES
from euromine.support.errors import ModelError

from .history.impact_settings import ImpactSettings
from .history.series import make_series
from .history.series_settings import SeriesSettings
from .history.smoothing import Method
from .history.switch_rates import SwitchRates
from .history.yearly_images import ScenePath, find_scenes, scenes_by_year
from .mapping.engine_choice import EngineChoice
from .mapping.engines import on_engine
from .mapping.loading import LoadedModel, load_model
from .mapping.prediction import OVERLAP, WINDOW, predict_probability
from .result import SeriesResult
from .scenes.locations import is_address
from .scenes.scene import open_scene
from .scenes.scene_formats import is_scene_folder
from .scenes.scene_level import level_warning
from .scenes.scene_options import SceneOptions

logger = logging.getLogger(__name__)


class MineMonitor:
    """A footprint mapper, a change detector, one of each or a network for series, ready for a user's images.

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
        *,
        engine: EngineChoice | None = None,
    ) -> MineMonitor:
        """Load one model or two.

        Args:
            model: A footprint mapper, a change detector or a network for series: a folder or a Hub
                repository.
            change_model: A change detector beside a footprint mapper.
            device: Where the models run; by default a GPU if there is one.
            engine: The engine and the precision of both; None for the quickest that is exact.

        Raises:
            ModelError: A model cannot be loaded, or not run by the engine.
            MissingExtraError: The engine is not installed.
            ArgumentError: The precision is not available here, or loses much with a model.
        """
        sources = [model] if change_model is None else [model, change_model]
        return cls([on_engine(load_model(source, device=device), engine) for source in sources])

    def __repr__(self) -> str:
        return f"MineMonitor({', '.join(loaded.source for loaded in self.models)})"

    def predict(
        self,
        scene: str | os.PathLike[str],
        *,
        bands: str | Sequence[str] | None = None,
        scale: float | None = None,
        offset: float | None = None,
        nodata: float | None = None,
        level: str | None = None,
        override: bool = False,
        keep_clouds: bool = False,
        window: int = WINDOW,
        overlap: int = OVERLAP,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> NDArray[np.float32]:
        """The probability of a mine in each pixel of one scene. A network for series sees it alone.

        For scenes that do not fit in memory, `euromine predict` and `predict_scenes` write maps instead.

        Args:
            scene: An image, a Sentinel-2 product or an address, as for `open_scene`.
            bands: Names of the file's bands in order, as a sequence or separated by commas; None for those in
                its metadata. As for `scale`, `offset` and `nodata`, see `SceneOptions`.
            scale: Reflectance is `(number + offset) * scale`; None for the metadata's.
            offset: As above.
            nodata: The number of pixels without data; None for the metadata's.
            level: The processing level, "l1c" or "l2a", to warn of a model trained on another; None for the
                metadata's.
            override: Whether to insist on these five where the scene's own metadata contradict them.
            keep_clouds: Whether to map clouds, too, where a Sentinel-2 product has a mask of them.
            window: The largest side of a window in pixels, a multiple of 32.
            overlap: Pixels that neighbouring windows share.
            batch_size: Windows per call of the network; None for 1, or 8 on a GPU.
            progress: Whether to show a progress bar.

        Returns:
            (height, width) float32, NaN without data.

        Raises:
            SceneError: The scene cannot be read, lacks a band, or has no scale or offset.
            ModelError: There is no footprint mapper.
            ArgumentError: An option is out of range.
        """
        mapper = next((loaded for loaded in self.models if loaded.task in (SEGMENTATION, SERIES)), None)
        if mapper is None:
            raise ModelError(f"{self}: found no footprint mapper; expected one to predict a scene.")
        options = SceneOptions.of(bands, scale, offset, nodata, override, level, keep_clouds)
        with open_scene(scene, options) as opened:
            if warning := level_warning(opened.level, mapper.image_processor.level):
                logger.warning("%s: %s", opened.location.shown, warning)
            blocks = predict_probability(
                mapper.model,
                mapper.image_processor,
                opened,
                window=window,
                overlap=overlap,
                batch_size=batch_size,
            )
            with tqdm(total=opened.grid.height, unit="row", disable=not progress) as bar:
                rows = []
                for _, block in blocks:
                    rows.append(block)
                    bar.update(len(block))
        return np.concatenate(rows)

    def series(
        self,
        scenes: ScenePath | Iterable[ScenePath] | Mapping[int, ScenePath],
        out: str | os.PathLike[str],
        *,
        years: Iterable[int] | None = None,
        year_of: Mapping[str, int] | None = None,
        smoothing: Method | None = None,
        rates: SwitchRates | None = None,
        change_by: str | None = None,
        change_probability: bool = False,
        pairs: str = "all",
        extent: str = "intersection",
        threshold: float = 0.5,
        minimum_mapping_unit: float = 0.0,
        probability_type: str = "float32",
        permits: str | os.PathLike[str] | None = None,
        permit_layers: Sequence[str] = (),
        impact: ImpactSettings | None = None,
        site: str | None = None,
        simulated: bool | None = None,
        bands: str | Sequence[str] | None = None,
        scale: float | None = None,
        offset: float | None = None,
        nodata: float | None = None,
        level: str | None = None,
        override: bool = False,
        keep_clouds: bool = False,
        window: int | None = None,
        overlap: int = OVERLAP,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> SeriesResult:
        """Map a site over its years, as `euromine series` does.

        Args:
            scenes: A folder with one image per year, or the images themselves: paths, Sentinel-2 products or
                addresses, as for `open_scene`. The year is in an image's name or metadata, or the key of a
                dictionary.
            out: The folder to create or to complete.
            years: The years of interest; default all.
            year_of: The years of images whose names have none or several, by name.
            smoothing: "viterbi", "median" or "none"; default the model's. `SeriesSettings` documents this and
                the next twelve.
            rates: Switch rates that replace those of the calibration.
            change_by: "footprints" or "posterior"; default the model's.
            change_probability: Whether to map the probability of each change, too.
            pairs: "all", "consecutive" or "first-last".
            extent: "intersection" or "union".
            threshold: The probability above which a pixel is mined.
            minimum_mapping_unit: Hectares; smaller polygons are left out.
            probability_type: "float32", or "uint16" or "uint8" with a scale.
            permits: A vector file of permitted outlines.
            permit_layers: Its layers to read, where several have outlines.
            impact: Spectral indices, reclamation and land cover; nothing by default.
            site: The site's name; None for that of the image folder.
            simulated: Whether the images are simulated; None to look for the note of `euromine simulate`.
            bands: Names of the files' bands in order, as for `predict`.
            scale: As for `predict`.
            offset: As for `predict`.
            nodata: As for `predict`.
            level: As for `predict`.
            override: As for `predict`.
            keep_clouds: As for `predict`.
            window: As for `predict`; default 512, less for a network for series and many years.
            overlap: As for `predict`.
            batch_size: As for `predict`.
            progress: Whether to show progress bars.

        Raises:
            SceneError: An image cannot be read, or does not fit the others.
            EuroMineError: Models, years, permits and settings do not go together.
            OSError: The folder cannot be written to, or the disk is full.
        """
        settings = SeriesSettings(
            smoothing=smoothing,
            rates=rates,
            change_by=change_by,
            change_probability=change_probability,
            pairs=pairs,
            extent=extent,
            threshold=threshold,
            minimum_mapping_unit=minimum_mapping_unit,
            probability_type=probability_type,
            permits=None if permits is None else Path(permits),
            permit_layers=tuple(permit_layers),
            impact=impact or ImpactSettings(),
            site=site,
            simulated=simulated,
            window=window,
            overlap=overlap,
            batch_size=batch_size,
        )
        options = SceneOptions.of(bands, scale, offset, nodata, override, level, keep_clouds)
        chosen = None if years is None else sorted({int(year) for year in years})
        found = _scenes(scenes, chosen, options, year_of)
        made = make_series(
            self.models,
            found,
            out,
            settings,
            options=options,
            missing_years=[year for year in chosen or () if year not in found],
            progress=progress,
        )
        return SeriesResult(made.path)


def _scenes(
    scenes: ScenePath | Iterable[ScenePath] | Mapping[int, ScenePath],
    years: list[int] | None,
    options: SceneOptions,
    year_of: Mapping[str, int] | None,
) -> dict[int, ScenePath]:
    """The image of each year."""
    if isinstance(scenes, Mapping):
        return {year: scenes[year] for year in sorted(scenes) if years is None or year in years}
    if isinstance(scenes, str | os.PathLike):
        if is_address(scenes) or is_scene_folder(Path(scenes)) or Path(scenes).is_file():
            scenes = [scenes]
        else:
            return dict(find_scenes(scenes, years, options, year_of))
    return dict(scenes_by_year(scenes, years, options, year_of))
