"""Exports: probabilities from digital numbers without this package, and int8 programs beside a checkpoint."""

import hashlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from euromine.commands import app
from euromine.monitoring.mapping import int8_export, precision_losses
from euromine.monitoring.mapping.engine_programs import load_program, openvino_core
from euromine.monitoring.mapping.engines import EngineChoice, engine_record, on_engine
from euromine.monitoring.mapping.int8_export import export_int8
from euromine.monitoring.mapping.loading import LoadedModel, load_model
from euromine.monitoring.mapping.model_export import export_model
from euromine.support.errors import ArgumentError, ModelError

SIDE = 64


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(100, 4000, (1, 10, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(scope="module")
def checkpoint(mapper, tmp_path_factory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("checkpoint")
    mapper.model.save_pretrained(folder)
    mapper.image_processor.save_pretrained(folder)
    return load_model(folder, device="cpu")


@pytest.fixture(scope="module")
def quantised(checkpoint) -> LoadedModel:
    """The checkpoint with int8 programs, counted on patches of noise in place of a dataset."""
    noise = np.random.default_rng(1)
    rows = [{"image": noise.integers(100, 4000, (10, 48, 48)).astype(np.int16)} for _ in range(5)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8_export, "read_dataset", lambda *_, **__: rows)
        export_int8(checkpoint, "dataset", checkpoint.source, window=SIDE, samples=4)
    return checkpoint


def test_an_onnx_file_of_a_mapper_takes_digital_numbers(checkpoint, plain_probability, image):
    runner = CliRunner().invoke(app, ["export", checkpoint.source, "--window", str(SIDE)])
    assert runner.exit_code == 0, runner.output
    session = onnxruntime.InferenceSession(f"{checkpoint.source}/onnx/model.onnx")
    (found,) = session.run(["probability"], {"image": image})
    np.testing.assert_allclose(found[0], plain_probability(image[0]), atol=1e-5)
    facts = session.get_modelmeta().custom_metadata_map
    assert facts["euromine.bands"] == ",".join(checkpoint.image_processor.bands)
    card = (Path(checkpoint.source) / "onnx/README.md").read_text()
    assert "(1, 10, 64, 64)" in card
    assert "onnxruntime.InferenceSession" in card
    weights = hashlib.sha256((Path(checkpoint.source) / "model.safetensors").read_bytes()).hexdigest()
    assert f"weights have the SHA-256 `{weights}`" in card


def test_an_openvino_file_of_a_detector_takes_two_years(detector, tmp_path, image):
    import openvino

    path = export_model(detector, "openvino", tmp_path / "made" / "here", window=SIDE)
    years = np.stack([image[0], image[0, :, ::-1]])[None]
    with torch.no_grad():
        pixel_values = detector.image_processor(years, return_tensors="pt").pixel_values
        expected = detector.model(pixel_values).logits.softmax(1)[:, 1]
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled({"image": years})["probability"], expected, atol=1e-5)
    assert sorted(each.name for each in path.parent.iterdir()) == ["README.md", "model.bin", "model.xml"]


@pytest.mark.parametrize("file_format", ["openvino", "onnx"])
def test_an_export_names_a_full_disk_and_leaves_nothing(checkpoint, tmp_path, full_disk, file_format):
    full_disk(1000)
    with pytest.raises(OSError, match=r"the disk may be full|no space left for the export"):
        export_model(checkpoint, file_format, tmp_path / "made", window=SIDE)
    full_disk(10**9)
    assert not list((tmp_path / "made").iterdir())


@pytest.mark.usefixtures("signal_stack")
def test_int8_programs_serve_windows_up_to_their_size(quantised, monkeypatch, image):
    monkeypatch.setitem(precision_losses.MEASURED_LOSSES, ("segformer", "int8"), 0.1)
    loaded = on_engine(quantised, EngineChoice(precision="int8"))
    assert engine_record(loaded.model) == {"engine": "openvino", "precision": "int8"}
    with torch.inference_mode():
        pixel_values = quantised.image_processor(image, return_tensors="pt").pixel_values
        for part in (pixel_values, pixel_values[..., :32]):
            expected = quantised.model(pixel_values=part).logits
            loaded.model(pixel_values=part)
            found = loaded.model(pixel_values=part).logits
            assert found.shape == expected.shape
            inside = (..., slice(0, 8), slice(0, 6))  # away from the padding
            off = (found - expected)[inside].abs().mean() / expected[inside].abs().mean()
            assert 1e-6 < off < 0.2
        with pytest.raises(ArgumentError, match=r"window: found windows of 96 x 64 .* at most 64 x 64"):
            loaded.model(pixel_values=torch.zeros(1, 10, 96, 64))


def test_depthwise_convolutions_stay_in_float32(quantised):
    (path,) = Path(quantised.source).glob("openvino/int8/*/program.xml")
    weights = defaultdict(list)
    for each in openvino_core().read_model(path).get_ordered_ops():
        if each.get_type_name() in ("Convolution", "GroupConvolution"):
            weights[each.get_type_name()].append(each.input_value(1).get_node().get_type_name())
    # Whole numbers are multiplied by their scales.
    assert set(weights["GroupConvolution"]) == {"Constant"}
    assert len(weights["GroupConvolution"]) >= 4  # one in each of SegFormer's layers
    assert set(weights["Convolution"]) == {"Multiply"}


def test_the_ranges_of_a_detector_are_counted_on_two_dates_of_a_place(detector, tmp_path, monkeypatch):
    noise = np.random.default_rng(2)
    # Nothing changes anywhere, so the two dates of every place have the same features.
    places = [noise.integers(100, 4000, (10, 48, 48)).astype(np.int16) for _ in range(5)]
    read = {"pairs": [{"images": np.stack([place, place])} for place in places]}
    monkeypatch.setattr(int8_export, "read_dataset", lambda _, config, *__, **___: read[config])
    counted_on = {}

    def keep(_loaded, _function, examples, _shapes, folder):
        counted_on[folder.name] = examples

    monkeypatch.setattr(int8_export, "_write_quantised", keep)
    export_int8(detector, "dataset", tmp_path, window=SIDE, samples=3)
    assert len(counted_on["encode"]) == len(counted_on["decode"]) == 3
    for features in counted_on["decode"]:
        half = len(features) // 2
        for first, second in zip(features[:half], features[half:], strict=True):
            assert torch.equal(first, second)
    firsts = [features[0] for features in counted_on["decode"]]
    assert not torch.equal(firsts[0], firsts[1])


def test_logits_of_certain_pixels_stay_finite_in_int8(detector, tmp_path):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(2, 1, 3, padding=1)

    def logits(image: torch.Tensor) -> tuple[torch.Tensor]:
        return (torch.logit((50 * layer(image)).sigmoid(), eps=1e-6),)

    images = torch.randn(4, 1, 2, 16, 16)
    loaded = replace(detector, model=layer)
    int8_export._write_quantised(loaded, logits, [(each,) for each in images], [(2, 16, 16)], tmp_path)
    (found,) = load_program("openvino", "tiny", tmp_path, "int8")(images[0])
    with torch.no_grad():
        (expected,) = logits(images[0])
    assert (expected > 13).any()
    assert found.isfinite().all()
    assert ((found > 0) == (expected > 0)).float().mean() > 0.98


def test_int8_programs_of_other_weights_are_refused(quantised):
    other = load_model(quantised.source, device="cpu")
    with torch.no_grad():
        other.model.decode_head.classifier.bias.add_(1)
    with pytest.raises(
        ModelError, match="an int8 export in openvino/int8 that is damaged or of other weights"
    ):
        on_engine(other, EngineChoice(precision="int8"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "tflite"], "--format: found 'tflite'; expected onnx or openvino"),
        (["--window", "16"], "--window: found 16; expected a side of at least 32 pixels"),
        (["--int8", "data"], "--int8: found data with --format onnx; expected --format openvino"),
    ],
)
def test_mistakes_are_one_sentence(checkpoint, options, message):
    result = CliRunner().invoke(app, ["export", checkpoint.source, *options])
    assert isinstance(result.exception, ArgumentError)
    assert str(result.exception).startswith(message)
