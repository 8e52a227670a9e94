"""Scenes and networks whose maps are known beforehand, and a small site with its series."""

import json
import math
from collections.abc import Callable, Iterator
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

from euromine.modeling import (
    BANDS,
    CHANGE_DETECTION,
    SEGMENTATION,
    EuroMineImageProcessor,
    create_model,
)
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.result import SeriesResult
from euromine.monitoring.scenes import remote_images
from euromine.monitoring.scenes.grids import Grid

from .band_networks import component_network
from .history.site_images import PLAIN, YEARS, image_of, series_of, write_site
from .scenes import drawn_products
from .scenes.range_server import Server

TRANSFORM = Affine(10, 0, 300_000, 0, -10, 5_000_000)

WriteScene = Callable[..., Path]


class PointwiseConfig(PreTrainedConfig):
    """The configuration of `Pointwise`."""

    model_type = "pointwise"


class Pointwise(PreTrainedModel):
    """A network whose logits are any function of the pixel values."""

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


@pytest.fixture(scope="session")
def network() -> Callable[[Callable[[Tensor], Tensor]], Pointwise]:
    """A network from a function of pixel values to logits (batch, height, width)."""
    return lambda answer: Pointwise(answer).eval()


@pytest.fixture
def raw_processor() -> Callable[..., EuroMineImageProcessor]:
    """An image processor that leaves digital numbers unchanged."""
    return lambda bands=BANDS: EuroMineImageProcessor(bands=bands, do_normalize=False)


@pytest.fixture(scope="session")
def band_components() -> Callable[..., PreTrainedModel]:
    """The function that makes component segmenters with weights set by hand."""
    return component_network


@pytest.fixture
def grid() -> Callable[[int, int], Grid]:
    return lambda height, width: Grid(CRS.from_epsg(32633), TRANSFORM, width, height)


@pytest.fixture
def write_scene(tmp_path: Path) -> WriteScene:
    """Writes bands (count, height, width) as a GeoTIFF, by default with their names."""

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
    """Ten bands (10, height, width) of noise without zeros."""
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


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(remote_images, "WAITS", (0, 0))
    server = Server(tmp_path)
    yield server
    server.close()


@pytest.fixture(scope="session")
def products() -> Any:
    """The module that writes Sentinel-2 products of a few pixels."""
    return drawn_products


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    """A site's folder with an image of each year."""
    return write_site(tmp_path_factory.mktemp("place") / "Mine_7")


@pytest.fixture(scope="session")
def mapper() -> LoadedModel:
    """A tiny footprint mapper whose answers are far from one half in both directions."""
    torch.manual_seed(3)
    model = create_model(
        "segformer-b0",
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8,
    ).eval()
    processor = EuroMineImageProcessor()
    with torch.no_grad():
        pixel_values = processor(image_of(2016), return_tensors="pt").pixel_values
        logits = model(pixel_values=pixel_values).logits
        margin = logits[:, 1] - logits[:, 0]
        model.decode_head.classifier.weight.mul_(4 / margin.std())
        model.decode_head.classifier.bias[1] -= 4 / margin.std() * margin.median()
    return LoadedModel("runs/tiny-mapper", SEGMENTATION, model, processor)


@pytest.fixture(scope="session")
def detector() -> LoadedModel:
    """A tiny change detector that finds change in about a third of the pixels."""
    torch.manual_seed(5)
    model = create_model("siamunet-diff", widths=(4, 4, 4, 4)).eval()
    processor = EuroMineImageProcessor()
    with torch.no_grad():
        series = processor(
            np.stack([image_of(year) for year in YEARS])[None], return_tensors="pt"
        ).pixel_values
        logits = model.predict_series(series)
        margin = (logits[:, :, 1] - logits[:, :, 0]).flatten()
        last = [layer for layer in model.modules() if getattr(layer, "out_channels", None) == 2][-1]
        last.bias[1] -= margin.quantile(0.7)
    return LoadedModel("runs/tiny-detector", CHANGE_DETECTION, model, processor)


@pytest.fixture(scope="session")
def plain_probability(mapper) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """The mapper's probabilities of a whole image, by transformers' own way."""

    def probability(image: NDArray[Any]) -> NDArray[np.float32]:
        with torch.no_grad():
            outputs = mapper.model(**mapper.image_processor(image, return_tensors="pt"))
        maps = mapper.image_processor.post_process_semantic_segmentation(
            outputs, [image.shape[-2:]], probabilities=True
        )
        return maps[0][1].numpy()

    return probability


@pytest.fixture(scope="session")
def made(place, mapper, tmp_path_factory) -> SeriesResult:
    """The series of the site, without smoothing."""
    return series_of([mapper], place, tmp_path_factory.mktemp("series") / "out", smoothing="none", **PLAIN)
