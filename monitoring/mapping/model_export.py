"""Self-contained exports of a network, ONNX or OpenVINO, with the normalisation inside and a card beside."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from euromine.modeling import CHANGE_DETECTION, EuroMineImageProcessor
from euromine.modeling.bands import RADAR_BANDS
from euromine.modeling.change_detection import ChangeDetector
from euromine.modeling.series_model import SeriesModel
from euromine.support.errors import ArgumentError, ModelError
from euromine.support.files import explain_full_disk, write_text
from euromine.support.weight_files import weights_digest

from .component_groups import component_groups
from .engine_choice import ONNXRUNTIME, OPENVINO, check_installed
from .engine_programs import (
    converted_onnx,
    converted_openvino,
    export_function,
    program_versions,
    save_openvino,
)
from .loading import LoadedModel, model_digest
from .prediction import mine_class

# The engine that runs a format.
FORMATS = {"onnx": ONNXRUNTIME, "openvino": OPENVINO}
_LEAST_WINDOW = 32


def export_model(
    loaded: LoadedModel, file_format: str, folder: str | os.PathLike[str], *, window: int = 512
) -> Path:
    """Export a network that runs without this package, with a card.

    A mapper's export takes digital numbers, `image` (1, bands, window, window) float32, and gives
    `probability` (1, window, window) of a mine. A change detector's takes two years, (1, 2, bands, window,
    window), and gives the probability of change between them.

    Args:
        loaded: A footprint mapper or change detector.
        file_format: "onnx" or "openvino".
        folder: Where `model.onnx`, or `model.xml` and `model.bin`, and README.md go; created if missing.
        window: The side of the windows in pixels.

    Returns:
        The exported model.

    Raises:
        ArgumentError: There is no such format, or the window is too small.
        ModelError: The network cannot be exported.
        MissingExtraError: The packages of the format are not installed.
        OSError: The folder cannot be written to.
    """
    if file_format not in FORMATS:
        raise ArgumentError(f"file_format: found {file_format!r}; expected onnx or openvino.")
    if window < _LEAST_WINDOW:
        raise ArgumentError(f"window: found {window}; expected a side of at least {_LEAST_WINDOW} pixels.")
    engine = FORMATS[file_format]
    check_installed(engine, "file_format")
    network = CompleteNetwork(loaded)
    shape = (*((2,) if network.compares else ()), len(loaded.image_processor.bands), window, window)
    exported = export_function(engine, loaded.source, network, lambda image: (network(image),), [shape])
    target = Path(folder)
    facts = _facts(loaded, engine)
    with explain_full_disk(target, "the export"):
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="_export", dir=target) as name:
            if engine == OPENVINO:
                model = converted_openvino(loaded.source, exported, [shape])
                model.inputs[0].set_names({"image"})
                model.outputs[0].set_names({"probability"})
                for key, value in facts.items():
                    model.set_rt_info(value, ["euromine", key])
                save_openvino(model, Path(name) / "model.xml")
            else:
                program = converted_onnx(loaded.source, exported, ["image"], ["probability"])
                program.model.metadata_props.update({f"euromine.{key}": each for key, each in facts.items()})
                program.save(Path(name) / "model.onnx", external_data=False)
            written = sorted(Path(name).iterdir())
            for path in written:
                path.replace(target / path.name)
        write_text(target / "README.md", _card(loaded, file_format, shape, facts))
    return target / ("model.xml" if engine == OPENVINO else "model.onnx")


class CompleteNetwork(nn.Module):
    """A network from digital numbers to a probability.

    Args:
        loaded: A footprint mapper or change detector.

    Attributes:
        compares: Whether it takes two years.

    Raises:
        ModelError: It is another network.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__()
        maps_components = component_groups(loaded.model) is not None
        if maps_components or isinstance(loaded.model, SeriesModel):
            found = "component model" if maps_components else loaded.model.config.model_type
            raise ModelError(
                f"{loaded.source}: found a {found}; expected a footprint mapper or "
                "a change detector. Others are not exported yet."
            )
        self.compares = isinstance(loaded.model, ChangeDetector)
        self._class = 1 if self.compares else mine_class(loaded.model)
        self._processor = _Normalisation(loaded.image_processor)
        self.network = loaded.model

    def forward(self, image: Tensor) -> Tensor:
        """(batch, bands, height, width), or two years (batch, 2, bands, ...) -> (batch, height, width)."""
        logits = cast("Any", self.network)(pixel_values=self._processor(image)).logits.float()
        if logits.shape[-2:] != image.shape[-2:]:
            logits = F.interpolate(logits, size=image.shape[-2:], mode="bilinear", align_corners=False)
        return logits.softmax(1)[:, self._class]


class _Normalisation(nn.Module):
    """An image processor's normalisation of images with the network's own bands."""

    spread: Tensor
    center: Tensor

    def __init__(self, image_processor: EuroMineImageProcessor) -> None:
        super().__init__()
        if any(band in RADAR_BANDS for band in image_processor.bands):
            raise ModelError(
                "image_processor: found radar bands, whose gaps an export does not fill; expected "
                "Sentinel-2's alone."
            )
        # The processor is linear in each band, so two images show it.
        bands = len(image_processor.bands)
        levels = torch.tensor([0.0, 1000.0])[:, None, None, None].expand(2, bands, 1, 1)
        low, high = image_processor.preprocess(
            levels, bands=image_processor.bands, return_tensors="pt"
        ).pixel_values
        self.register_buffer("spread", 1000.0 / (high - low), persistent=False)
        self.register_buffer("center", -low * self.spread, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return (image - self.center) / self.spread


def _facts(loaded: LoadedModel, engine: str) -> dict[str, str]:
    """The facts that an exported file carries."""
    return {
        "architecture": loaded.model.config.model_type,
        "bands": ",".join(loaded.image_processor.bands),
        "level": loaded.image_processor.level or "unknown",
        "digest": model_digest(loaded.model, loaded.image_processor),
        **program_versions(engine),
    }


_EXAMPLES = {
    "onnx": """import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
(probability,) = session.run(["probability"], {"image": image})""",
    "openvino": """import openvino

# Without the hint, CPUs with AMX compute in bfloat16.
model = openvino.Core().compile_model("model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
probability = model({"image": image})["probability"]""",
}


def _card(loaded: LoadedModel, file_format: str, shape: tuple[int, ...], facts: dict[str, str]) -> str:
    is_detector = loaded.task == CHANGE_DETECTION
    image = f"float32 {(1, *shape)}: {'two years, ' if is_detector else ''}bands, height, width"
    found = "change between the two years" if is_detector else "a mine"
    versions = ", ".join(f"{name} {facts[name]}" for name in program_versions(FORMATS[file_format]))
    # By which `euromine publish model` tells an export of earlier weights.
    source = Path(loaded.source)
    weights = f"\nIts weights have the SHA-256 `{weights_digest(source)}`." if source.is_dir() else ""
    return f"""# {facts["architecture"]} as {"ONNX" if file_format == "onnx" else "OpenVINO"}

Exported by `euromine export` from the checkpoint with the digest `{facts["digest"][:16]}`; its model card has
the training data, scores and licence.

- `image`: {image}. Digital numbers (reflectance x 10,000) of {", ".join(loaded.image_processor.bands)},
  processing level {facts["level"]}. The normalisation is a part of the model. Fill pixels without data first.
- `probability`: float32 {(1, *shape[-2:])}, the probability of {found}.

```python
{_EXAMPLES[file_format]}
```

Made with {versions}.{weights}
"""
