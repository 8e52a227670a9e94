"""Transformers' own footprint mappers against transformers itself, and where it gives up."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForSemanticSegmentation

from euromine.modeling import BANDS, create_model
from euromine.modeling.layers import BatchNorm2d, laid_out_for
from euromine.modeling.native import NATIVE_SEGMENTERS

# Of these architectures at ten bands and two classes, measured on transformers' classes alone.
PARAMETERS = {
    "segformer-b0": 3_725_634,
    "segformer-b2": 27_370_114,
    "segformer-b5": 84_616_834,
    "upernet-swin-base": 121_317_500,
    "upernet-convnext-base": 122_003_332,
    "deeplabv3-mobilevitv2": 13_310_923,
    "deeplabv3plus-mobilenetv2": 2_522_850,
}
SMALL: dict[str, dict[str, Any]] = {
    name: fields
    for name, fields in json.loads(Path(__file__).with_name("small_networks.json").read_text()).items()
    if name in NATIVE_SEGMENTERS
}
NAMES = list(SMALL)
POOLED = [name for name in NAMES if not name.startswith("segformer")]


def small(name: str, **fields: Any) -> Any:
    """A small network in training mode whose weights let a signal through: fresh ones let it fade."""
    torch.manual_seed(0)
    network: Any = create_model(name, **{**SMALL[name], **fields})
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network(torch.randn(4, network.config.num_channels, 64, 64))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network


def plain(network: Any) -> Any:
    """Transformers' own class with the same configuration and weights."""
    twin = getattr(transformers, type(network).__name__)(network.config)
    twin.load_state_dict(network.state_dict())
    return twin.train(network.training)


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_the_networks_have_the_benchmarks_numbers_of_parameters(name: str, count: int) -> None:
    with torch.device("meta"):
        network = create_model(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("name", NATIVE_SEGMENTERS)
def test_the_configurations_name_bands_and_classes(name: str) -> None:
    config = NATIVE_SEGMENTERS[name].config(["B08", "VV"])
    assert config.bands == ["B08", "VV"]
    assert config.num_channels == 2
    assert config.id2label == {0: "background", 1: "mine"}
    assert getattr(config, "backbone_config", config).num_channels == 2
    assert getattr(config, "semantic_loss_ignore_index", 255) == 255
    assert getattr(config, "loss_ignore_index", 255) == 255
    other = NATIVE_SEGMENTERS[name].config(["B08"], num_labels=5)
    assert other.num_labels == 5


@pytest.mark.parametrize(
    ("name", "stride"), [("deeplabv3-mobilevitv2", 16), ("deeplabv3plus-mobilenetv2", 8)]
)
def test_the_logits_are_as_fine_as_the_checkpoints_networks(name: str, stride: int) -> None:
    logits = small(name).eval()(torch.zeros(1, 10, 160, 160)).logits
    assert logits.shape == (1, 2, 160 // stride, 160 // stride)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(64, 64), (96, 160), (161, 65)])
def test_the_logits_are_transformers_own(name: str, size: tuple[int, int]) -> None:
    if name == "deeplabv3-mobilevitv2":
        size = (160, 64)  # An odd map is padded.
    network = small(name, bands=["B08", "B04", "VV"]).eval()
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        logits, expected = network(images).logits, plain(network)(images).logits
    # SegFormer multiplies weights that transformers applies one after the other; the others are the same.
    atol = 1e-5 * expected.abs().max().item() if name.startswith("segformer") else 0
    torch.testing.assert_close(logits, expected, rtol=0, atol=atol)
    assert logits.std(dim=(0, 2, 3)).gt(0.001).all()


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_layouts_of_images_change_logits_by_rounding_alone(name: str) -> None:
    network = small(name).eval()
    images = torch.randn(1, 10, 64, 64)
    given: Any = laid_out_for(network.config.model_type, images)
    assert given.is_contiguous(memory_format=torch.channels_last) == name.startswith("deeplab")
    assert torch.equal(given, images)
    logits, expected = network(given).logits, network(images).logits
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_transformers_own_and_so_are_its_gradients(name: str) -> None:
    network = small(name).eval()
    twin = plain(network)
    images, labels = torch.randn(2, 10, 64, 64), torch.randint(0, 2, (2, 64, 64))
    labels[:, :20] = 255
    loss, want = network(images, labels).loss, twin(pixel_values=images, labels=labels).loss
    torch.testing.assert_close(loss, want)
    loss.backward()
    want.backward()
    theirs = dict(twin.named_parameters())
    for key, parameter in network.named_parameters():
        assert (parameter.grad is None) == (theirs[key].grad is None), key
        assert parameter.requires_grad == (theirs[key].grad is not None), key
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, theirs[key].grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("size", "bands"), [((1, 1), 1), ((3, 40), 20), ((33, 17), 4), ((161, 159), 7)])
def test_any_size_and_any_number_of_bands_is_mapped_as_a_whole(
    name: str, size: tuple[int, int], bands: int
) -> None:
    network = small(name, num_channels=bands).eval()
    labels = torch.randint(0, 2, (1, *size))
    output = network(torch.randn(1, bands, *size), labels)
    height, width = output.logits.shape[-2:]
    assert output.logits.isfinite().all()
    assert output.loss.isfinite()
    # Coarser than the image by the same factor along both sides, rounded up.
    factor = max(size[0] / height, size[1] / width)
    assert height == -(-size[0] // round(factor)) or factor < 2
    assert width == -(-size[1] // round(factor)) or factor < 2


def test_what_is_too_small_is_continued_at_its_border_and_cropped_again() -> None:
    network = small("segformer-b0").eval()
    image = torch.randn(1, 10, 20, 40)
    padded = torch.cat([image, image[:, :, -1:].expand(-1, -1, 9, -1)], dim=2)
    with torch.no_grad():
        logits = plain(network)(padded).logits
        want = F.interpolate(logits, size=(29, 40), mode="bilinear")[:, :, :20]
        torch.testing.assert_close(network(image).logits, want)


def test_the_zeros_that_mobilevit_leaves_at_an_odd_edge_are_not_seen() -> None:
    network = small("deeplabv3-mobilevitv2").eval()
    image = torch.randn(1, 10, 160, 176)
    folded: list[Tensor] = []
    layer = network.mobilevitv2.encoder.layer[-1]
    layer.conv_projection.register_forward_hook(lambda module, inputs, output: folded.append(inputs[0]))
    with torch.no_grad():
        plain_network = plain(network)
        plain_network.mobilevitv2.encoder.layer[-1].conv_projection.register_forward_hook(
            lambda module, inputs, output: folded.append(inputs[0])
        )
        network(image)
        plain_network(image)
    ours, theirs = folded
    assert theirs.shape[-1] == 11
    assert theirs[..., -1].eq(0).all()
    assert ours.shape[-1] == 12
    assert ours.abs().amax(dim=(0, 1, 2)).gt(0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(64, 64), (5, 7)])
def test_labels_that_are_all_ignored_give_a_loss_of_zero_with_gradients(
    name: str, size: tuple[int, int]
) -> None:
    network = small(name)
    loss = network(torch.randn(2, 10, *size), torch.full((2, *size), 255)).loss
    loss.backward()
    assert loss.item() == 0
    gradients = [parameter.grad for parameter in network.parameters() if parameter.requires_grad]
    assert all(gradient is not None and gradient.eq(0).all() for gradient in gradients)


@pytest.mark.parametrize("name", POOLED)
def test_a_batch_of_one_trains_where_transformers_refuses(name: str) -> None:
    network = small(name)
    image, labels = torch.randn(1, 10, 64, 64), torch.randint(0, 2, (1, 64, 64))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        plain(network)(pixel_values=image, labels=labels)
    loss = network(image, labels).loss
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)
    assert network(torch.randn(1, 10, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64)).loss.isfinite()


def test_a_batch_norm_of_one_value_uses_its_running_statistics_and_keeps_them() -> None:
    norm = BatchNorm2d(3)
    nn.init.uniform_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    before = {key: value.clone() for key, value in norm.state_dict().items()}
    single = torch.randn(1, 3, 1, 1, requires_grad=True)
    output = norm(single)
    want = (single - before["running_mean"][:, None, None]) / (
        before["running_var"][:, None, None] + 1e-5
    ).sqrt()
    torch.testing.assert_close(output, want)
    assert all(torch.equal(value, before[key]) for key, value in norm.state_dict().items())
    output.sum().backward()
    assert single.grad is not None
    assert single.grad.ne(0).all()


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (1, 3, 2, 1), (4, 3, 5, 5)])
def test_a_batch_norm_of_several_values_is_pytorchs(shape: tuple[int, ...]) -> None:
    ours, theirs = BatchNorm2d(3), nn.BatchNorm2d(3)
    images = torch.randn(shape)
    assert torch.equal(ours(images), theirs(images))
    assert all(torch.equal(ours.state_dict()[key], value) for key, value in theirs.state_dict().items())
    assert torch.equal(ours.eval()(images), theirs.eval()(images))


def test_mobilenets_running_statistics_remember_more_than_the_last_batch() -> None:
    def momenta(network: nn.Module) -> set[float | None]:
        return {module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)}

    assert momenta(small("deeplabv3plus-mobilenetv2")) == {0.1}
    paper = small("deeplabv3plus-mobilenetv2", batch_norm_momentum=0.997)
    assert momenta(paper) == {0.997} == momenta(plain(paper))


def test_the_auxiliary_head_is_weighted_and_runs_for_a_loss_only() -> None:
    network = small("upernet-swin-base", auxiliary_loss_weight=0.0).eval()
    calls: list[int] = []
    network.auxiliary_head.register_forward_hook(lambda *_: calls.append(1))
    image, labels = torch.randn(1, 10, 64, 64), torch.randint(0, 2, (1, 64, 64))
    network(image)
    assert not calls
    output = network(image, labels)
    assert calls
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, labels))
    bare = small("upernet-swin-base", use_auxiliary_head=False)
    assert bare(image, labels).loss.isfinite()


@pytest.mark.parametrize("name", NAMES)
def test_forward_takes_no_other_arguments_or_trainer_would_count_ignored_pixels(name: str) -> None:
    signature = inspect.signature(NATIVE_SEGMENTERS[name].model_class.forward)
    assert list(signature.parameters) == ["self", "pixel_values", "labels", "num_items_in_batch"]


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (torch.zeros(10, 64, 64), None, r"expected \(batch, channels, height, width\)"),
        (
            torch.zeros(1, 3, 64, 64),
            None,
            "found 3 channels; expected the 10 bands of this segformer: B02, B03",
        ),
        (torch.zeros(1, 10, 32, 32), torch.zeros(1, 8, 8, dtype=torch.int64), r"\(1, 32, 32\)"),
        (torch.zeros(1, 10, 32, 32), torch.full((1, 32, 32), 3), r"labels: found \[3\]"),
        (torch.zeros(1, 10, 32, 32), torch.zeros(1, 32, 32, dtype=torch.int32), "expected torch.int64"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(
    images: Tensor, labels: Tensor | None, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        small("segformer-b0")(images, labels)


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_is_the_one_that_transformers_would_have_written(name: str, tmp_path: Path) -> None:
    network = small(name).eval()
    network.save_pretrained(tmp_path / "ours")
    plain(network).save_pretrained(tmp_path / "theirs")
    ours, theirs = (
        json.loads((tmp_path / folder / "config.json").read_text()) for folder in ("ours", "theirs")
    )
    assert ours == theirs
    assert ours["architectures"] == [type(network).__name__]
    assert ours["bands"] == list(BANDS)
    assert "auto_map" not in ours
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == ["config.json", "model.safetensors"]
    with (
        safe_open(tmp_path / "ours" / "model.safetensors", "pt") as mine,
        safe_open(tmp_path / "theirs" / "model.safetensors", "pt") as other,
    ):
        keys = list(other.keys())
        assert list(mine.keys()) == keys
        assert all(torch.equal(mine.get_tensor(key), other.get_tensor(key)) for key in keys)
    again = type(network).from_pretrained(tmp_path / "ours")
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert [p.requires_grad for p in network.parameters()] == [p.requires_grad for p in again.parameters()]


def test_the_auto_class_gives_transformers_own_class_though_the_package_is_imported(tmp_path: Path) -> None:
    small("segformer-b0").save_pretrained(tmp_path)
    loaded = AutoModelForSemanticSegmentation.from_pretrained(tmp_path)
    assert type(loaded) is transformers.SegformerForSemanticSegmentation
    assert loaded.config.bands == list(BANDS)


def test_checkpoints_give_the_same_logits_where_the_package_is_not_installed(
    tmp_path: Path, run_without_the_package: Callable[..., str]
) -> None:
    image = torch.randn(1, 10, 64, 64)
    want = {}
    for name in NAMES:
        network = small(name).eval()
        network.save_pretrained(tmp_path / name)
        with torch.no_grad():
            want[name] = network(image).logits
    torch.save((image, want), tmp_path / "expected.pt")
    program = """
        import torch
        from transformers import AutoModelForSemanticSegmentation
        image, expected = torch.load("expected.pt")
        for name, logits in expected.items():
            network = AutoModelForSemanticSegmentation.from_pretrained(name)
            assert type(network).__module__.startswith("transformers.models."), type(network)
            with torch.no_grad():
                torch.testing.assert_close(network(image).logits, logits)
        print(len(expected))
    """
    assert int(run_without_the_package(program, cwd=tmp_path)) == len(NAMES)
