"""The image processor against NumPy, transformers' own resizing and a process without this package."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from packaging.version import Version
from torch.nn import functional as F
from transformers import AutoImageProcessor
from transformers.utils import is_torchvision_available

from euromine.modeling import BANDS, EuroMineImageProcessor
from euromine.modeling.presets import PRESETS

FACTS = Path(__file__).parents[2].parent / "shared" / "facts" / "normalization.json"


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(-50, 9000, shape).astype(np.int16)


def expected(values: np.ndarray, bands: tuple[str, ...] = BANDS, preset: str = "corrected") -> np.ndarray:
    """The same in float64, one band after the other, from the preset's table."""
    out = np.empty((*values.shape[:-3], len(bands), *values.shape[-2:]))
    for position, name in enumerate(bands):
        mean, std = PRESETS[preset][name]
        out[..., position, :, :] = (values[..., BANDS.index(name), :, :].astype(np.float64) - mean) / std
    return out


def test_the_presets_are_the_published_statistics_and_the_corrected_ones() -> None:
    if not FACTS.is_file():
        pytest.skip(f"needs {FACTS}")
    facts = json.loads(FACTS.read_text())
    assert [mean for mean, _ in PRESETS["paper"].values()] == facts["mean"]
    assert [std for _, std in PRESETS["paper"].values()] == facts["std_published"]
    assert [mean for mean, _ in PRESETS["corrected"].values()] == facts["mean"]
    assert [std for _, std in PRESETS["corrected"].values()] == facts["std_corrected_x_sqrt2"]


def test_the_corrected_deviations_are_the_published_ones_times_the_root_of_two() -> None:
    paper = np.array([std for _, std in PRESETS["paper"].values()])
    corrected = np.array([std for _, std in PRESETS["corrected"].values()])
    np.testing.assert_allclose(corrected, paper * 2**0.5, rtol=1e-6)


@pytest.mark.parametrize("preset", ["paper", "corrected"])
@pytest.mark.parametrize("shape", [(10, 5, 7), (3, 10, 5, 7), (2, 4, 10, 3, 1)])
def test_images_batches_and_series_are_normalised_band_by_band(preset: str, shape: tuple[int, ...]) -> None:
    values = image(*shape)
    got = EuroMineImageProcessor(statistics=preset)(values).pixel_values
    want = expected(values, preset=preset)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want if values.ndim > 3 else want[None], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "dtype", [torch.int16, torch.uint8, torch.int32, torch.uint16, torch.float64, torch.bfloat16]
)
def test_torch_images_of_any_type_stay_torch_and_become_float32(dtype: torch.dtype) -> None:
    values = torch.from_numpy(image(2, 10, 4, 4)).abs().clamp(max=255).to(dtype)
    before = values.clone()
    got = EuroMineImageProcessor()(values).pixel_values
    assert isinstance(got, torch.Tensor)
    assert got.dtype == torch.float32
    assert torch.equal(values, before)
    want = expected(values.to(torch.float64).numpy())
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-5)


def test_the_device_of_the_images_is_kept() -> None:
    values = torch.empty((1, 10, 4, 4), dtype=torch.int16, device="meta")
    assert EuroMineImageProcessor()(values).pixel_values.device.type == "meta"


def test_a_float_image_that_asks_for_a_gradient_gets_one() -> None:
    values = torch.zeros(1, 10, 2, 2, requires_grad=True)
    EuroMineImageProcessor()(values).pixel_values.sum().backward()
    std = torch.tensor([std for _, std in PRESETS["corrected"].values()])
    torch.testing.assert_close(values.grad, (1 / std)[None, :, None, None].expand(1, 10, 2, 2))


@pytest.mark.parametrize(
    "bands", [("B04", "B03", "B02"), ("B08",), ("B03", "B04", "B05"), ("B12", "B02", "B11")]
)
def test_bands_are_chosen_by_name_in_the_order_asked_for(bands: tuple[str, ...]) -> None:
    values = image(2, 10, 4, 6)
    got = EuroMineImageProcessor(bands=bands)(values).pixel_values
    np.testing.assert_allclose(got, expected(values, bands), rtol=1e-5, atol=1e-5)


def test_an_image_may_bring_its_bands_in_another_order_and_number() -> None:
    values = image(2, 10, 4, 6)
    brought = ("B01", *reversed(BANDS))
    shuffled = np.concatenate([np.full((2, 1, 4, 6), 7777, np.int16), values[:, ::-1]], axis=1)
    got = EuroMineImageProcessor()(shuffled, bands=brought).pixel_values
    np.testing.assert_allclose(got, expected(values), rtol=1e-5, atol=1e-5)
    named = EuroMineImageProcessor(source_bands=brought)(shuffled).pixel_values
    np.testing.assert_array_equal(named, got)


def test_a_list_of_images_is_stacked() -> None:
    values = image(3, 10, 4, 4)
    processor = EuroMineImageProcessor()
    for images in (list(values), list(torch.from_numpy(values))):
        got = processor(images, return_tensors="np").pixel_values
        np.testing.assert_array_equal(got, processor(values).pixel_values)


def test_a_list_of_one_pair_is_a_batch_of_one_pair() -> None:
    assert EuroMineImageProcessor()([image(2, 10, 4, 4)]).pixel_values.shape == (1, 2, 10, 4, 4)


@pytest.mark.parametrize("given", ["np", "pt"])
@pytest.mark.parametrize("asked", [None, "np", "pt"])
def test_the_kind_of_tensor_is_the_one_asked_for_or_the_one_that_came(given: str, asked: str | None) -> None:
    values: Any = image(10, 4, 4)
    values = torch.from_numpy(values) if given == "pt" else values
    got = EuroMineImageProcessor()(values, return_tensors=asked).pixel_values
    assert isinstance(got, torch.Tensor) == ((asked or given) == "pt")


def test_numbers_in_other_units_are_scaled_and_shifted_first() -> None:
    values = image(2, 10, 4, 4)
    reflectance = (values.astype(np.float64) + 1000) / 10000
    processor = EuroMineImageProcessor(scale=10000, offset=-1000)
    got = processor(reflectance).pixel_values
    np.testing.assert_allclose(got, expected(values), rtol=1e-4, atol=1e-4)
    plain = EuroMineImageProcessor(scale=10000, offset=-1000, do_normalize=False)(reflectance).pixel_values
    np.testing.assert_allclose(plain, values, atol=0.01)


def test_without_normalisation_the_numbers_stay() -> None:
    values = image(10, 4, 4)
    for given in (values, torch.from_numpy(values)):
        got = EuroMineImageProcessor(do_normalize=False)(given, return_tensors="np").pixel_values
        np.testing.assert_array_equal(got[0], values.astype(np.float32))


def test_a_float_image_that_needs_nothing_is_still_not_shared() -> None:
    values = torch.ones(1, 10, 2, 2)
    EuroMineImageProcessor(do_normalize=False)(values).pixel_values.zero_()
    assert values.eq(1).all()


def test_labels_pass_as_int64() -> None:
    labels = np.array([[0, 1], [255, 0]], np.uint8)
    batch = EuroMineImageProcessor()(image(10, 2, 2), labels=labels, return_tensors="pt")
    assert batch.labels.dtype == torch.int64
    assert batch.labels.tolist() == [[[0, 1], [255, 0]]]


def test_statistics_of_ones_own_training_set_are_picked_by_name() -> None:
    own = {"bands": ["B8A", "B04", "VV"], "mean": [1.0, 2.0, -3.0], "std": [4.0, 5.0, 6.0], "pixels": 9}
    processor = EuroMineImageProcessor.from_statistics(own, bands=["VV", "B8A"])
    assert (processor.mean, processor.std) == ([-3.0, 1.0], [6.0, 4.0])
    got = processor(np.array([5.0, 100.0, 3.0])[:, None, None]).pixel_values
    assert got.ravel().tolist() == [1.0, 1.0]
    preset = EuroMineImageProcessor.from_statistics("paper", bands=["B03"])
    assert (preset.mean, preset.std) == ([1004.04424665], [258.62166282])
    assert EuroMineImageProcessor.from_statistics("paper").bands == list(BANDS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"bands": ["B2"]}, "unknown band 'B2'"),
        ({"bands": ["B04", "B04"]}, "more than once"),
        ({"bands": ["B04"], "source_bands": ["B03"]}, "source_bands: found no B04 among B03; expected B04"),
        ({"bands": ["B01"]}, "found no B01 in 'corrected'"),
        ({"statistics": "imagenet"}, "statistics: found 'imagenet'; expected one of paper, corrected"),
        ({"mean": [1.0] * 10}, "std: found None"),
        ({"mean": [1.0] * 9, "std": [1.0] * 10}, "a finite number for each of"),
        ({"mean": [1.0] * 10, "std": [0.0] + [1.0] * 9}, "above 0"),
        ({"mean": [float("nan")] * 10, "std": [1.0] * 10}, "finite"),
        ({"scale": 0.0}, "scale: found 0"),
    ],
)
def test_a_processor_that_cannot_be_is_refused_with_a_sentence(
    arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        EuroMineImageProcessor(**arguments)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (np.zeros((3, 4, 4), np.int16), "images: found 3 channels in .*; expected 10"),
        (np.zeros((4, 4, 10), np.int16), "4 channels"),
        (np.zeros((10, 4), np.int16), r"expected \(\.\.\., channels, height, width\)"),
        (np.zeros((10, 0, 4), np.int16), r"found the shape \(10, 0, 4\); expected"),
        (np.full((10, 4, 4), np.nan), "NaN"),
        (torch.full((10, 4, 4), float("inf")), "infinite"),
        (np.zeros((10, 4, 4), bool), "integers or floats"),
        (np.zeros((10, 4, 4), complex), "integers or floats"),
        ([np.zeros((10, 4, 4)), np.zeros((10, 5, 4))], "expected equal ones"),
    ],
)
def test_images_that_do_not_fit_are_refused_with_a_sentence(images: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        EuroMineImageProcessor()(images)


def test_other_mistakes_of_a_call_are_refused_with_a_sentence() -> None:
    processor = EuroMineImageProcessor()
    with pytest.raises(ValueError, match="source_bands: found no B12"):
        processor(image(9, 4, 4), bands=BANDS[:9])
    with pytest.raises(ValueError, match='expected "pt", "np" or None'):
        processor(image(10, 4, 4), return_tensors="tf")
    with pytest.raises(ValueError, match=r"found \(4, 5\) pixels; expected \(4, 4\) as in the images"):
        processor(image(10, 4, 4), labels=np.zeros((4, 5), np.uint8))
    with pytest.raises(ValueError, match="statistics: found no std"):
        EuroMineImageProcessor.from_statistics({"bands": ["B02"], "mean": [1.0]})


def test_masks_are_the_classes_of_the_resized_logits() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 4, 5, 6)
    sizes = [(9, 8), (20, 24), (5, 6)]
    masks = EuroMineImageProcessor().post_process_semantic_segmentation(SimpleNamespace(logits=logits), sizes)
    for each, size, mask in zip(logits, sizes, masks, strict=True):
        want = F.interpolate(each[None], size=size, mode="bilinear", align_corners=False).argmax(1)[0]
        assert mask.dtype == torch.uint8
        assert torch.equal(mask.long(), want)
    same = EuroMineImageProcessor().post_process_semantic_segmentation(logits, torch.tensor([[9, 8]] * 3))
    assert torch.equal(same[0], masks[0])
    own = EuroMineImageProcessor().post_process_semantic_segmentation(logits)
    assert torch.equal(torch.stack(own).long(), logits.argmax(1))


def test_change_maps_and_their_probabilities_agree() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 2, 4, 4)
    processor = EuroMineImageProcessor()
    maps = processor.post_process_change_detection(logits, [(7, 9)] * 2)
    probabilities = processor.post_process_change_detection(logits, [(7, 9)] * 2, probabilities=True)
    for change, probability in zip(maps, probabilities, strict=True):
        assert change.shape == probability.shape == (7, 9)
        assert change.dtype == torch.uint8
        assert torch.equal(change.bool(), probability > 0.5)
    margin = (logits[:, 1] - logits[:, 0]).double()
    plain = processor.post_process_change_detection(logits, probabilities=True)
    torch.testing.assert_close(torch.stack(plain).double(), 1 / (1 + torch.exp(-margin)))


def test_class_probabilities_sum_to_one() -> None:
    (maps,) = EuroMineImageProcessor().post_process_semantic_segmentation(
        torch.randn(1, 3, 4, 4), probabilities=True
    )
    torch.testing.assert_close(maps.sum(0), torch.ones(4, 4))


def test_outputs_that_are_no_logits_are_refused_with_a_sentence() -> None:
    processor = EuroMineImageProcessor()
    with pytest.raises(ValueError, match="target_sizes: found 3 for 1 images"):
        processor.post_process_semantic_segmentation(torch.zeros(1, 2, 4, 4), [(1, 1)] * 3)
    with pytest.raises(ValueError, match=r"outputs: found .*; expected logits"):
        processor.post_process_change_detection(torch.zeros(2, 4, 4))
    with pytest.raises(ValueError, match=r"outputs: found .*; expected logits"):
        processor.post_process_semantic_segmentation({"loss": 1})


# Before 5.23 the class itself asks for torchvision; EuroMineImageProcessor.from_pretrained does not.
needs_auto_class = pytest.mark.skipif(
    not is_torchvision_available() and Version(transformers.__version__) < Version("5.23"),
    reason="transformers' AutoImageProcessor needs torchvision before 5.23",
)


@needs_auto_class
def test_a_saved_processor_comes_back_through_the_auto_class(tmp_path: Path) -> None:
    processor = EuroMineImageProcessor(bands=["B08", "B04"], statistics="paper", scale=2.0, offset=-1000.0)
    processor.save_pretrained(tmp_path)
    loaded = AutoImageProcessor.from_pretrained(tmp_path)
    assert type(loaded) is EuroMineImageProcessor
    assert loaded.to_dict() == processor.to_dict()
    changed = AutoImageProcessor.from_pretrained(tmp_path, do_normalize=False)
    assert not changed.do_normalize


@needs_auto_class
def test_numbers_follow_the_statistics_and_the_bands_that_override_stored_ones(tmp_path: Path) -> None:
    EuroMineImageProcessor(bands=["B08", "B04"]).save_pretrained(tmp_path / "preset")
    own = {"bands": ["B08", "B04"], "mean": [100.0, 200.0], "std": [2.0, 4.0]}
    EuroMineImageProcessor.from_statistics(own).save_pretrained(tmp_path / "own")
    paper = AutoImageProcessor.from_pretrained(tmp_path / "preset", statistics="paper")
    assert list(zip(paper.mean, paper.std, strict=True)) == [
        PRESETS["paper"][band] for band in ("B08", "B04")
    ]
    turned = AutoImageProcessor.from_pretrained(tmp_path / "preset", bands=["B04", "B08"])
    assert turned.std == [PRESETS["corrected"][band][1] for band in ("B04", "B08")]
    turned = AutoImageProcessor.from_pretrained(tmp_path / "own", bands=["B04", "B08"])
    assert (turned.statistics, turned.mean, turned.std) == ("custom", [200.0, 100.0], [4.0, 2.0])
    with pytest.raises(ValueError, match="bands: found no B02 among B08, B04"):
        AutoImageProcessor.from_pretrained(tmp_path / "own", bands=["B02"])


def test_a_presets_name_never_stands_for_other_numbers(tmp_path: Path) -> None:
    own = EuroMineImageProcessor(bands=["B08", "B04"], mean=[100.0, 200.0], std=[2.0, 4.0])
    assert own.statistics == "custom"
    with pytest.raises(ValueError, match=r"mean: found \[100.0, 200.0\] under the name 'paper'"):
        EuroMineImageProcessor(bands=["B08", "B04"], statistics="paper", mean=[100.0, 200.0], std=[2.0, 4.0])
    own.save_pretrained(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(path.read_text().replace('"custom"', '"corrected"'))
    with pytest.raises(ValueError, match="under the name 'corrected'"):
        EuroMineImageProcessor.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("foreign", "ours"), [("image_mean", "mean"), ("image_std", "std"), ("rescale_factor", "scale")]
)
def test_a_field_of_processors_of_rgb_images_is_refused_by_its_name_here(
    foreign: str, ours: str, tmp_path: Path
) -> None:
    message = f"^{foreign}: found this field of transformers' .*; expected {ours}, in digital numbers.$"
    with pytest.raises(ValueError, match=message):
        EuroMineImageProcessor(**{foreign: 0.5})
    EuroMineImageProcessor().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        EuroMineImageProcessor.from_pretrained(tmp_path, **{foreign: 0.5})
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), foreign: 0.5}))
    with pytest.raises(ValueError, match=message):
        EuroMineImageProcessor.from_pretrained(tmp_path)


def test_an_unknown_field_is_refused_unless_a_file_or_transformers_has_it(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^means: found no such field; expected bands, .*, mean, std, .*level.$"
    ):
        EuroMineImageProcessor(means=[0.0])
    processor = EuroMineImageProcessor(**EuroMineImageProcessor(bands=["B04"]).to_dict())
    assert processor.bands == ["B04"]
    processor.save_pretrained(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    later = {"processor_class": "Other", "auto_map": {}, "field_of_a_later_version": 1}
    path.write_text(json.dumps({**json.loads(path.read_text()), **later}))
    loaded, unused = EuroMineImageProcessor.from_pretrained(tmp_path, other=2, return_unused_kwargs=True)
    assert (loaded.bands, loaded.field_of_a_later_version, unused) == (["B04"], 1, {"other": 2})


def test_a_level_is_one_of_sentinel_2s() -> None:
    assert EuroMineImageProcessor().level is None
    assert EuroMineImageProcessor(level="L2A").to_dict()["level"] == "L2A"
    with pytest.raises(ValueError, match="level: found 'l2a'; expected 'L1C', 'L2A', 'mixed' or None"):
        EuroMineImageProcessor(level="l2a")


def test_a_saved_processor_comes_back_as_itself(tmp_path: Path) -> None:
    processor = EuroMineImageProcessor(bands=["B08", "B04"], statistics="paper", do_normalize=False)
    processor.save_pretrained(tmp_path)
    assert EuroMineImageProcessor.from_pretrained(tmp_path).to_dict() == processor.to_dict()


@needs_auto_class
def test_a_saved_processor_works_where_the_package_is_not_installed(
    tmp_path: Path, run_without_the_package: Callable[..., str]
) -> None:
    own = {"bands": ["B04", "B8A"], "mean": [100.0, 200.0], "std": [2.0, 4.0]}
    EuroMineImageProcessor.from_statistics(own).save_pretrained(tmp_path / "checkpoint")
    program = f"""
        import numpy as np
        from transformers import AutoImageProcessor
        processor = AutoImageProcessor.from_pretrained("checkpoint", trust_remote_code=True)
        images = np.arange(10, dtype=np.int16)[:, None, None]
        print(processor(images, bands={BANDS!r}, return_tensors="pt").pixel_values.flatten().tolist())
    """
    # B04 is the third of the ten bands, B8A the eighth.
    assert json.loads(run_without_the_package(program, cwd=tmp_path)) == [(2 - 100) / 2, (7 - 200) / 4]


@pytest.mark.parametrize("as_tensor", [False, True])
def test_radar_is_in_decibels_and_zero_where_there_is_none(as_tensor: bool) -> None:
    """Scale and offset are those of reflectance alone."""
    processor = EuroMineImageProcessor(
        bands=["B04", "VH", "VV"],
        source_bands=[*BANDS, "VV", "VH"],
        mean=[900.0, -1800.0, -1100.0],
        std=[500.0, 400.0, 200.0],
        scale=10_000.0,
        offset=-1000.0,
    )
    values = np.zeros((12, 1, 2))
    values[BANDS.index("B04")] = 0.29
    values[10], values[11] = [[-900, -32_768]], [[-1600, -32_768]]
    given = torch.from_numpy(values) if as_tensor else values
    found = np.asarray(processor(given).pixel_values)
    np.testing.assert_allclose(found[0, :, 0], [[2, 2], [0.5, 0], [1, 0]], rtol=1e-6)
