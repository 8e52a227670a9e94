"""Scenes and networks whose maps can be told beforehand."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import Affine
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SemanticSegmenterOutput

from euromine.modeling import BANDS, EuroMineImageProcessor
from euromine.monitoring.scenes.grids import Grid

TRANSFORM = Affine(10, 0, 300_000, 0, -10, 5_000_000)

WriteScene = Callable[..., Path]


class PointwiseConfig(PreTrainedConfig):
    """Of `Pointwise`."""

    model_type = "pointwise"


class Pointwise(PreTrainedModel):
    """A network whose logits are a function of the pixel values given on the spot."""

    config_class = PointwiseConfig

    def __init__(self, answer: Callable[[Tensor], Tensor]) -> None:
        super().__init__(PointwiseConfig())
        self.unused = nn.Parameter(torch.zeros(1))
        self.answer = answer
        self.seen: list[Tensor] = []
        self.post_init()

    def forward(self, pixel_values: Tensor) -> SemanticSegmenterOutput:
        self.seen.append(pixel_values.clone())
        logit = self.answer(pixel_values)
        return SemanticSegmenterOutput(logits=torch.stack([torch.zeros_like(logit), logit], 1))


@pytest.fixture
def network() -> Callable[[Callable[[Tensor], Tensor]], Pointwise]:
    """A network that answers with the logits (batch, height, width) of a function of its pixel values."""
    return lambda answer: Pointwise(answer).eval()


@pytest.fixture
def raw_processor() -> Callable[..., EuroMineImageProcessor]:
    """An image processor that hands digital numbers on as they are."""
    return lambda bands=BANDS: EuroMineImageProcessor(bands=bands, do_normalize=False)


@pytest.fixture
def grid() -> Callable[[int, int], Grid]:
    return lambda height, width: Grid(CRS.from_epsg(32633), TRANSFORM, width, height)


@pytest.fixture
def write_scene(tmp_path: Path) -> WriteScene:
    """Writes bands (count, height, width) as a GeoTIFF, named where nothing else is said."""

    def write(
        name: str,
        bands: NDArray[Any],
        *,
        names: tuple[str | None, ...] | None = BANDS,
        item: dict[str, Any] | None = None,
        tags: dict[str, str] | None = None,
        scales: tuple[float, float] | None = None,
        **options: Any,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        count, height, width = bands.shape
        profile = {"crs": "EPSG:32633", "transform": TRANSFORM, "dtype": bands.dtype, **options}
        with rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, **profile
        ) as dataset:
            dataset.write(bands)
            if names is not None:
                dataset.descriptions = names[:count]
            if tags:
                dataset.update_tags(**tags)
            if scales:
                dataset.scales, dataset.offsets = [scales[0]] * count, [scales[1]] * count
        if item is not None:
            path.with_suffix(".json").write_text(json.dumps(item))
        return path

    return write


@pytest.fixture
def digital_numbers() -> Callable[[int, int], NDArray[np.uint16]]:
    """Ten bands (10, height, width) of noise, none of it 0."""
    return lambda height, width: (
        np.random.default_rng(height * 1000 + width).integers(1, 4000, (10, height, width)).astype(np.uint16)
    )


@pytest.fixture(scope="session")
def logit_of() -> Callable[[float], float]:
    """The float32 whose sigmoid in torch is a probability's own float32."""

    def search(probability: float) -> float:
        logit = np.float32(math.log(probability / (1 - probability)))
        candidates = [logit]
        for _ in range(64):
            candidates = [np.nextafter(candidates[0], np.float32(-99)), *candidates]
            candidates.append(np.nextafter(candidates[-1], np.float32(99)))
        for candidate in candidates:
            if torch.full((64,), candidate).sigmoid()[0].item() == np.float32(probability):
                return float(candidate)
        raise AssertionError(f"no float32 has the sigmoid {probability}")

    return search
