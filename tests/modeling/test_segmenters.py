import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSemanticSegmentation

from euromine.modeling.auto import SEGMENTERS, create_model
from euromine.modeling.conversion import rename_key
from euromine.modeling.deeplabv3plus import DeepLabV3PlusForSemanticSegmentation
from euromine.modeling.pspnet import PyramidPooling
from euromine.modeling.segmentation import Segmenter

# Each network at a size that trains in a blink.
SMALL = {
    name: fields
    for name, fields in json.loads(Path(__file__).with_name("small_networks.json").read_text()).items()
    if name in SEGMENTERS and issubclass(SEGMENTERS[name], Segmenter)
}


def small(name: str, **fields) -> Segmenter:
    torch.manual_seed(0)
    network = create_model(name, **SMALL[name], **fields)
    assert isinstance(network, Segmenter)
    return network


def random_images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def random_labels(*shape: int) -> Tensor:
    return torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture(scope="module", params=SMALL)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(name) -> Segmenter:
    return small(name)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 2), (15, 16), (17, 33), (31, 64), (65, 50)])
def test_one_image_of_any_size_trains_every_parameter(network, size):
    network.train().zero_grad()
    output = network(random_images(1, 10, *size), labels=random_labels(1, *size))
    assert output.logits.shape == (1, 2, *size)
    output.loss.backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, f"{key} is not reached"
        assert parameter.grad.isfinite().all(), key
    for key, buffer in network.named_buffers():
        assert buffer.isfinite().all(), key


def test_two_images_move_every_weight(network):
    network.train().zero_grad()
    network(random_images(2, 10, 64, 48), labels=random_labels(2, 64, 48)).loss.backward()
    still = [
        key
        for key, parameter in network.named_parameters()
        if parameter.ndim > 1 and not parameter.grad.any()
    ]
    assert not still


@pytest.mark.parametrize("num_channels", [1, 2, 3, 12, 20])
def test_any_number_of_bands_is_taken(name, num_channels):
    network = small(name, num_channels=num_channels).eval()
    with torch.no_grad():
        logits = network(random_images(1, num_channels, 20, 24)).logits
        without_last = random_images(1, num_channels, 20, 24)
        without_last[:, -1] = 0
        assert logits.shape == (1, 2, 20, 24)
        assert not torch.equal(network(without_last).logits, logits)


def test_more_than_two_classes_are_taken(name):
    network = small(name, num_labels=5)
    output = network(random_images(2, 10, 32, 32), labels=random_labels(2, 32, 32) + 3)
    assert output.logits.shape == (2, 5, 32, 32)
    output.loss.backward()


def test_a_batch_that_is_all_ignored_gives_a_loss_of_zero(network):
    network.train().zero_grad()
    loss = network(random_images(2, 10, 32, 32), labels=torch.full((2, 32, 32), 255)).loss
    loss.backward()
    assert loss.item() == 0
    assert all(not parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize(("name", "multiple"), [("linknet", 32), ("sqnet", 16)])
def test_a_side_between_the_multiples_is_padded_with_its_border_and_cropped(name, multiple):
    network = small(name).eval()
    images = random_images(1, 10, multiple + 1, 2 * multiple - 3)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (0, multiple - 1), (0, 3)), mode="edge")
    with torch.no_grad():
        expected = network(torch.from_numpy(padded)).logits[..., : multiple + 1, : 2 * multiple - 3]
        assert torch.equal(network(images).logits, expected)


@pytest.mark.parametrize("name", ["deeplabv3plus-resnet101", "pspnet", "unet"])
def test_a_side_that_the_network_takes_is_not_padded(name, monkeypatch):
    network = small(name).eval()
    seen = []
    segment = network.segment
    monkeypatch.setattr(network, "segment", lambda images: seen.append(images.shape) or segment(images))
    with torch.no_grad():
        network(random_images(1, 10, 33, 47))
    assert seen == [(1, 10, 33, 47)]


def test_a_checkpoint_comes_back_equal(name, network, tmp_path):
    network.eval().save_pretrained(tmp_path)
    loaded = AutoModelForSemanticSegmentation.from_pretrained(tmp_path)
    assert type(loaded) is type(network)
    for field, value in SMALL[name].items():
        assert np.array_equal(getattr(loaded.config, field), value), field
    for key, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key
    images = random_images(1, 10, 33, 40)
    with torch.no_grad():
        # Weights mapped from a file may lie otherwise in memory, and be summed in another order.
        torch.testing.assert_close(loaded(images).logits, network(images).logits, rtol=1e-4, atol=1e-5)


def test_bfloat16_autocast_gives_nearly_the_same_loss(name):
    network = small(name).train()
    images, labels = random_images(2, 10, 64, 64), random_labels(2, 64, 64)
    torch.manual_seed(0)
    expected = network(images, labels=labels).loss.item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.manual_seed(0)
        loss = network(images, labels=labels).loss
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=0.05)


def stretched(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, corner on corner, for (channels, rows, columns)."""
    rows = np.linspace(0, values.shape[1] - 1, height)
    columns = np.linspace(0, values.shape[2] - 1, width)
    tall = np.apply_along_axis(lambda line: np.interp(rows, np.arange(line.size), line), 1, values)
    return np.apply_along_axis(lambda line: np.interp(columns, np.arange(line.size), line), 2, tall)


@pytest.mark.parametrize("size", [(20, 20), (13, 5), (6, 19), (3, 1)])
def test_the_pyramid_takes_means_of_whole_cells(size):
    torch.manual_seed(0)
    pyramid = PyramidPooling(8, (6, 3, 2, 1)).eval()
    features = random_images(1, 8, *size)
    with torch.no_grad():
        found = pyramid(features)[0].numpy()
    np.testing.assert_array_equal(found[:8], features[0].numpy())
    for index, cells in enumerate((6, 3, 2, 1)):
        rows, columns = (max(int(side / cells), 1) for side in size)
        means = np.array(
            [
                [
                    features[0, :, top : top + rows, left : left + columns].numpy().mean((1, 2))
                    for left in range(0, size[1] - columns + 1, columns)
                ]
                for top in range(0, size[0] - rows + 1, rows)
            ]
        )
        weight = pyramid.branches[index].conv.weight[:, :, 0, 0].detach().numpy()
        # A fresh batch norm in evaluation divides by the root of 1 + epsilon.
        branch = np.maximum(np.einsum("oc,rsc->ors", weight, means) / math.sqrt(1 + 1e-5), 0)
        expected = stretched(branch, *size)
        np.testing.assert_allclose(found[8 + 2 * index : 10 + 2 * index], expected, atol=1e-5)


def test_the_low_level_map_of_deeplab_is_the_published(published_network):
    """In the published outputs it drowns in the pyramid's: its mean and maximum come from the trace."""
    published = published_network("deeplabv3plus-resnet101")
    (tag,) = (tag for tag in published.facts["probes"] if tag.startswith("in10"))
    rules = DeepLabV3PlusForSemanticSegmentation.reference_keys
    parts = ("encoder.conv1.", "encoder.bn1.", "encoder.layer1.", "decoder.low_level.")
    ours = {tensor: rename_key(tensor.key, rules) for tensor in published.tensors(10)}
    probe = published.facts["probes"][tag]
    state_dict = {
        key: published._filled(tensor, probe["factor"], probe["gain"])
        for tensor, key in ours.items()
        if key.startswith(parts)
    }
    network = create_model("deeplabv3plus-resnet101", depth=50).eval()
    missing, unexpected = network.load_state_dict(state_dict, strict=False)
    assert not unexpected
    assert not [key for key in missing if key.startswith(parts)]
    with torch.no_grad():
        quarter = network.encoder(published.pixel_values(tag))[1]
        low_level = network.decoder.low_level(quarter)
    assert low_level.mean().item() == pytest.approx(0.2112289363988812, rel=1e-5)
    assert low_level.max().item() == pytest.approx(1.4396058320999146, rel=1e-5)


def test_the_pyramid_of_deeplab_has_the_published_rates():
    """On the 10 x 10 maps of the published outputs, every rate from 10 sees the central pixel alone."""
    with torch.device("meta"):
        network = create_model("deeplabv3plus-resnet101")
    assert [branch.conv.dilation for branch in network.pyramid.branches] == [
        (rate, rate) for rate in (1, 6, 12, 18)
    ]


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("unet", {"widths": (4, 8)}, "expected 5 numbers, even from the second on"),
        ("unet", {"widths": (4, 8, 15, 16, 32)}, "expected 5 numbers, even from the second on"),
        ("pspnet", {"depth": 20}, "18, 34, 50, 101"),
        ("pspnet", {"pool_sizes": ()}, "pool_sizes"),
        ("sqnet", {"squeezed_widths": (4, 8)}, "squeezed_widths"),
        ("linknet", {"depth": 0}, "18, 34, 50, 101"),
    ],
)
def test_settings_that_cannot_be_are_refused(name, fields, said):
    with torch.device("meta"), pytest.raises(ValueError, match=said):
        create_model(name, **fields)
