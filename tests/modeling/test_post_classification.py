"""Footprint mappers as change detectors."""

from typing import Any

import pytest
import torch
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel, PreTrainedModel

from euromine.modeling.auto import AutoModelForChangeDetection, create_model, list_models
from euromine.modeling.configuration import SegmentationConfig
from euromine.modeling.post_classification import PostClassification, PostClassificationConfig
from euromine.modeling.segmentation import Segmenter

TINY_SEGFORMER: dict[str, Any] = {
    "hidden_sizes": [8, 8, 8, 8],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 1, 1],
    "decoder_hidden_size": 8,
}


class GivenConfig(SegmentationConfig):
    model_type = "euromine_test-given"


class Given(Segmenter):
    """Takes its two channels for logits."""

    config_class = GivenConfig

    def __init__(self, config: GivenConfig) -> None:
        super().__init__(config)
        self.post_init()

    def segment(self, images: Tensor) -> Tensor:
        return images


def given_logits() -> PostClassification:
    return PostClassification(Given(GivenConfig(num_channels=2)))


def plain_segformer() -> PreTrainedModel:
    """A network of transformers' own class, without any field of ours."""
    config = transformers.SegformerConfig(**TINY_SEGFORMER, num_channels=4, num_labels=2)
    return transformers.SegformerForSemanticSegmentation(config)


MAPPERS = {
    "segformer-b0": lambda: create_model("segformer-b0", num_channels=4, **TINY_SEGFORMER),
    "sqnet": lambda: create_model("sqnet", bands=["B02", "B03", "B04", "B08"]),
    "deeplabv3plus-mobilenetv2": lambda: create_model("deeplabv3plus-mobilenetv2", num_channels=4),
    "transformers": plain_segformer,
}


@pytest.fixture(params=sorted(MAPPERS))
def segmenter(request: pytest.FixtureRequest) -> PreTrainedModel:
    torch.manual_seed(0)
    return MAPPERS[request.param]().eval()


def random_series(years: int, height: int = 40, width: int = 52) -> Tensor:
    return torch.randn(2, years, 4, height, width, generator=torch.Generator().manual_seed(0))


def test_the_probability_of_change_is_that_one_year_is_a_footprint_and_the_other_is_not():
    scales = torch.tensor([1e-4, 1e-2, 1.0, 3.0, 10.0])
    logits = torch.randn(3, 2, 2, 9, 5, generator=torch.Generator().manual_seed(1)) * scales
    logits.requires_grad_()
    first, second = logits.double().softmax(2)[:, :, 1].unbind(1)
    change, same = first * (1 - second) + second * (1 - first), first * second + (1 - first) * (1 - second)
    expected = (change / same).log()
    found = given_logits()(logits).logits
    assert not found[:, 0].any()
    torch.testing.assert_close(found[:, 1].double(), expected, rtol=1e-4, atol=0)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad((found[:, 1] * weights).sum(), logits, retain_graph=True)
    (expected_gradient,) = torch.autograd.grad((expected * weights).sum(), logits)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-3, atol=1e-6)


@settings(max_examples=200, deadline=None)
@example(values=[3e38, -3e38, -3e38, 3e38], dtype=torch.float32)
@given(
    values=st.lists(
        st.one_of(
            st.floats(-100, 100, width=32),
            st.sampled_from([0.0, -0.0, 1e-30, -1e-30, 1e-7, 50.0, 1e4, -1e4, 3e38, -3e38]),
        ),
        min_size=4,
        max_size=4,
    ),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_change_is_where_exactly_one_of_the_maps_has_a_footprint(values, dtype):
    """Whatever the logits, ties and numbers at the end of their range among them."""
    features = torch.tensor(values, dtype=torch.float32).to(dtype).reshape(2, 1, 2, 1, 1)
    maps = features.argmax(2)
    change = given_logits().decode(features[0], features[1])
    assert not change.isnan().any()
    assert torch.equal(change.argmax(1), (maps[0] != maps[1]).long())


@torch.no_grad()
def test_a_series_changes_where_its_maps_of_footprints_differ(segmenter):
    series = random_series(years=4)
    logits = segmenter(pixel_values=series.flatten(0, 1)).logits
    maps = (
        F.interpolate(logits, (40, 52), mode="bilinear", align_corners=False).argmax(1).unflatten(0, (2, 4))
    )
    assert 0.01 < maps.float().mean() < 0.99
    pairs = [(0, 3), (2, 1), (1, 1)]
    found = PostClassification(segmenter).predict_series(series, pairs).argmax(2)
    expected = torch.stack([maps[:, first] != maps[:, second] for first, second in pairs], dim=1)
    assert torch.equal(found, expected.long())
    assert found[:, 0].any()
    assert not found[:, 2].any()


def test_the_mapper_is_wrapped_as_it_is_and_learns_from_changes(segmenter):
    before = {name: value.clone() for name, value in segmenter.state_dict().items()}
    for module in segmenter.modules():
        # As in networks that have been moved, copied or taken from elsewhere.
        module.__dict__.pop("_is_hf_initialized", None)
    detector = PostClassification(segmenter).train()
    assert all(torch.equal(value, before[name]) for name, value in segmenter.state_dict().items())
    assert detector.segmenter is segmenter
    labels = torch.randint(0, 2, (2, 40, 52), generator=torch.Generator().manual_seed(3))
    labels[0, :10] = 255
    output = detector(random_series(years=2), labels=labels)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, labels, ignore_index=255))
    output.loss.backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in segmenter.parameters())


@torch.no_grad()
def test_a_checkpoint_brings_the_mapper_along(segmenter, tmp_path):
    detector = PostClassification(segmenter).eval()
    detector.save_pretrained(tmp_path)
    series = random_series(years=3)
    expected = detector.predict_series(series)
    for auto_class in (PostClassification, AutoModelForChangeDetection, AutoModel):
        loaded = auto_class.from_pretrained(tmp_path)
        assert type(loaded) is PostClassification
        # What was transformers' own class is our subclass of it afterwards.
        assert isinstance(loaded.segmenter, type(segmenter))
        assert not loaded.training
        assert loaded.config.bands == detector.config.bands
        torch.testing.assert_close(loaded.predict_series(series), expected, rtol=1e-5, atol=1e-6)
        for name, value in detector.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value), name
        assert {name for name, each in loaded.named_parameters() if each.requires_grad} == {
            name for name, each in detector.named_parameters() if each.requires_grad
        }


@torch.no_grad()
@pytest.mark.parametrize("name", ["segformer-b0", "sqnet"])
def test_a_checkpoint_gives_the_same_where_the_package_is_not_installed(
    name, tmp_path, load_without_the_package
):
    torch.manual_seed(0)
    detector = PostClassification(MAPPERS[name]()).eval()
    detector.save_pretrained(tmp_path)
    pair = random_series(years=2)
    found = load_without_the_package(tmp_path, pair)
    torch.testing.assert_close(found, detector(pair).logits, rtol=1e-4, atol=1e-5)


def test_it_is_no_architecture_of_its_own_that_is_trained_by_name():
    assert not [name for name in list_models() if "post" in name]


def of_three_classes() -> PreTrainedModel:
    return create_model("segformer-b0", num_labels=3, **TINY_SEGFORMER)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: create_model("siamunet-diff", widths=(4, 4, 4, 4)),
            "found SiamUNetDiff.*, a change detector",
        ),
        (given_logits, "segmenter: found PostClassification, a change detector; expected a footprint mapper"),
        (of_three_classes, "found 3 classes in this segformer; expected two"),
        (
            PostClassificationConfig,
            "segmenter: found no model_type; expected the configuration of a footprint mapper",
        ),
    ],
)
def test_what_maps_no_footprint_is_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        PostClassification(make())


def test_a_mapper_that_does_not_say_how_many_bands_it_takes_is_refused():
    config = transformers.PreTrainedConfig(num_labels=2)
    with pytest.raises(ValueError, match="found neither bands nor num_channels"):
        PostClassificationConfig.of(config)
