"""The base classes of the change detectors, and all change detectors on series of years."""

import json
import weakref
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from euromine.modeling.auto import CHANGE_DETECTORS, create_model
from euromine.modeling.base import two_class_logits
from euromine.modeling.change_detection import (
    ChangeDetector,
    SiameseChangeDetector,
    year_pairs,
)
from euromine.modeling.configuration import ChangeDetectionConfig

# Networks that give the same logits for both orders of the dates. The others weigh the first date and the
# second apart, and their classes' docstrings say so.
SYMMETRIC = {"a2net"}
# Settings that make the largest networks small; their layers are of the same kinds, in the same order.
SMALL = json.loads(Path(__file__).with_name("small_networks.json").read_text())


class DifferenceConfig(ChangeDetectionConfig):
    model_type = "euromine_test_difference"


class Difference(SiameseChangeDetector):
    """Band means of both dates, subtracted; counts what it is asked for."""

    config_class = DifferenceConfig
    size_multiple = 8
    minimum_size = 16

    def __init__(self, config: DifferenceConfig) -> None:
        super().__init__(config)
        self.scale = nn.Parameter(torch.ones(1))
        self.encoded: list[int] = []
        self.decoded: list[int] = []
        self.post_init()

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        self.encoded.append(len(pixel_values))
        return pixel_values.mean(1, keepdim=True), pixel_values.amax((2, 3))

    def decode(self, features_1, features_2):
        self.decoded.append(len(features_1[0]))
        change = (features_2[0] - features_1[0]) * self.scale
        return two_class_logits(change), two_class_logits(3 * change), two_class_logits(-change)


class OneByOne(ChangeDetector):
    """The same without an encoder of its own."""

    config_class = DifferenceConfig

    def __init__(self, config: DifferenceConfig) -> None:
        super().__init__(config)
        self.scale = nn.Parameter(torch.ones(1))
        self.post_init()

    def compare(self, image_1: Tensor, image_2: Tensor) -> Tensor:
        return two_class_logits((image_2 - image_1).mean(1, keepdim=True) * self.scale)


def difference(**config) -> Difference:
    return Difference(DifferenceConfig(num_channels=2, **config))


def random_series(batch: int = 2, years: int = 4, channels: int = 2, height: int = 9, width: int = 21):
    return torch.randn(batch, years, channels, height, width, generator=torch.Generator().manual_seed(0))


def test_ten_years_make_the_benchmarks_45_pairs():
    pairs = year_pairs(10)
    assert len(pairs) == 45
    assert pairs[:3] == [(0, 1), (0, 2), (0, 3)]
    assert pairs[-1] == (8, 9)
    assert all(first < second for first, second in pairs)


@pytest.mark.parametrize("network", [difference(), OneByOne(DifferenceConfig(num_channels=2))])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_a_series_is_compared_pair_by_pair_in_the_order_asked_for(network, chunk):
    series = random_series()
    pairs = [(3, 0), (0, 3), (1, 2), (2, 2), (0, 1)]
    means = series.mean(2)
    expected = torch.stack([means[:, second] - means[:, first] for first, second in pairs], dim=1)
    logits = network.predict_series(series, pairs, chunk=chunk)
    assert logits.shape == (2, 5, 2, 9, 21)
    torch.testing.assert_close(logits[:, :, 1], expected)
    assert not logits[:, :, 0].any()


def test_a_year_is_encoded_once_however_many_pairs_ask_for_it():
    network = difference()
    network.predict_series(random_series(batch=2, years=5), chunk=4)
    assert sum(network.encoded) == 2 * 5
    # Ten pairs of two patches, at most four pairs at a time.
    assert network.decoded == [8, 8, 4]


def test_a_year_that_no_pair_asks_for_is_not_encoded():
    network = difference()
    network.predict_series(random_series(batch=2, years=5), [(0, 4), (4, 3), (0, 0)])
    assert sum(network.encoded) == 2 * 3


@pytest.mark.parametrize("chunk", [1, 3])
def test_no_more_than_a_chunk_of_pairs_and_its_years_are_at_work_at_once(chunk):
    network = difference()
    batch, years = 2, 8
    alive: list[int] = []

    def count(logits: Tensor) -> Tensor:
        # The logits of earlier chunks are freed where what the transform gives does not hold them.
        alive.append(sum(reference() is not None for reference in decoded))
        return logits.argmax(2).to(torch.uint8)

    decoded: list[weakref.ref] = []
    decode = network.decode

    def watched(features_1, features_2):
        maps = decode(features_1, features_2)
        decoded.append(weakref.ref(maps[0]))
        return maps

    network.decode = watched
    network.predict_series(random_series(batch=batch, years=years), chunk=chunk, transform=count)
    assert max(network.encoded) == batch * min(2 * chunk, years)
    assert max(network.decoded) == batch * chunk
    assert len(alive) == -(-28 // chunk)
    assert max(alive) <= 2


@pytest.mark.parametrize(("device", "pairs"), [("cpu", 1), ("meta", 9)])
def test_a_cpu_decodes_fewer_pairs_at_once_than_an_accelerator(device, pairs):
    network = difference().to(device)
    network.predict_series(random_series(batch=1, years=10).to(device))
    assert max(network.decoded) == pairs


def test_a_series_is_reduced_chunk_by_chunk_where_less_than_logits_is_wanted():
    network = difference()
    series = random_series()
    shapes = []

    def reduce(logits: Tensor) -> Tensor:
        shapes.append(tuple(logits.shape))
        return logits.argmax(2).to(torch.uint8)

    maps = network.predict_series(series, chunk=4, transform=reduce)
    assert shapes == [(2, 4, 2, 9, 21), (2, 2, 2, 9, 21)]
    assert maps.dtype == torch.uint8
    assert torch.equal(maps, network.predict_series(series).argmax(2).to(torch.uint8))


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_any_size_comes_back_as_it_went_in(height, width):
    pixel_values = random_series(batch=1, years=2, height=height, width=width)
    output = difference()(pixel_values)
    expected = (pixel_values[:, 1] - pixel_values[:, 0]).mean(1)
    torch.testing.assert_close(output.logits[:, 1], expected)
    assert [tuple(each.shape) for each in output.auxiliary_logits] == 2 * [(1, 2, height, width)]


@pytest.mark.parametrize("side", [(1, 1), (15, 17), (16, 16), (24, 8)])
def test_images_are_padded_to_what_the_network_takes_by_repeating_the_border(side):
    height, width = side
    network = difference()
    images = random_series(height=height, width=width)[:, 0]
    padded = network.pad(images)
    assert all(found >= 16 and found % 8 == 0 for found in padded.shape[-2:])
    assert all(found - 8 < max(given, 9) for found, given in zip(padded.shape[-2:], side, strict=True))
    assert torch.equal(padded[..., :height, :width], images)
    rows = torch.arange(padded.shape[-2]).clamp(max=height - 1)
    columns = torch.arange(padded.shape[-1]).clamp(max=width - 1)
    assert torch.equal(padded, images[..., rows, :][..., columns])


def test_the_loss_is_the_mean_binary_cross_entropy_over_what_is_not_ignored():
    change = torch.randn(2, 1, 5, 7, requires_grad=True)
    labels = torch.randint(0, 3, (2, 5, 7))
    seen = labels != 2
    expected = F.binary_cross_entropy(change[:, 0].sigmoid()[seen], labels[seen].float())
    (expected_gradient,) = torch.autograd.grad(expected, change)
    loss = difference().loss(two_class_logits(change), (), torch.where(seen, labels, 255))
    (gradient,) = torch.autograd.grad(loss, change)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, expected_gradient)


def test_tinycds_loss_is_the_published_binary_cross_entropy_of_its_sigmoid():
    torch.manual_seed(0)
    network = create_model("tinycd").eval()
    pixel_values = random_series(batch=2, years=2, channels=10, height=32, width=32)
    labels = torch.randint(0, 2, (2, 32, 32))
    output = network(pixel_values, labels=labels)
    probability = output.logits.softmax(1)[:, 1]
    torch.testing.assert_close(probability, output.logits[:, 1].sigmoid())
    torch.testing.assert_close(output.loss, F.binary_cross_entropy(probability, labels.float()))


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_auxiliary_maps_enter_the_loss_with_their_weight(weight):
    network = difference(auxiliary_loss_weight=weight)
    pixel_values = random_series(years=2)
    labels = torch.randint(0, 2, (2, 9, 21))
    output = network(pixel_values, labels=labels)
    main, *others = (F.cross_entropy(maps, labels) for maps in (output.logits, *output.auxiliary_logits))
    torch.testing.assert_close(output.loss, main + weight * (others[0] + others[1]) / 2)


def test_labels_may_be_left_out():
    output = difference()(random_series(years=2))
    assert output.loss is None


@pytest.mark.parametrize(
    ("shape", "named"),
    [
        ((2, 1, 2, 8, 8), r"\(2, 1, 2, 8, 8\); expected two dates"),
        ((2, 3, 2, 8, 8), r"\(2, 3, 2, 8, 8\); expected two dates"),
        ((2, 2, 8, 8), r"\(2, 2, 8, 8\); expected two dates"),
        ((2, 2, 3, 8, 8), "found 3 channels; expected the 2 bands of this .*: band_1, band_2"),
    ],
)
def test_other_than_two_dates_of_the_right_bands_are_refused(shape, named):
    with pytest.raises(ValueError, match=named):
        difference()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (torch.full((2, 8, 8), 2), r"labels: found \[2\]"),
        (torch.full((2, 8, 8), -1), r"labels: found \[-1\]"),
        (torch.full((2, 8, 8), 254), r"labels: found \[254\]"),
        (torch.zeros(2, 8, 8), "labels: found torch.float32; expected torch.int64"),
        (torch.zeros(2, 8, 9, dtype=torch.int64), r"\(2, 8, 9\)"),
        (torch.zeros(8, 8, dtype=torch.int64), r"\(8, 8\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, named):
    with pytest.raises(ValueError, match=named):
        difference()(torch.zeros(2, 2, 2, 8, 8), labels=labels)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"pixel_values": torch.zeros(4, 2, 8, 8)}, r"\(4, 2, 8, 8\)"),
        ({"pixel_values": torch.zeros(1, 4, 3, 8, 8)}, "3 channels"),
        ({"pixel_values": torch.zeros(1, 1, 2, 8, 8)}, "pairs: found none in a series of 1 years"),
        (
            {"pixel_values": torch.zeros(1, 4, 2, 8, 8), "pairs": []},
            "pairs: found none in a series of 4 years",
        ),
        ({"pixel_values": torch.zeros(1, 4, 2, 8, 8), "pairs": [(0, 4)]}, r"\(0, 4\)"),
        ({"pixel_values": torch.zeros(1, 4, 2, 8, 8), "pairs": [(-1, 2)]}, r"\(-1, 2\)"),
        ({"pixel_values": torch.zeros(1, 4, 2, 8, 8), "pairs": [(0, 1, 2)]}, r"\(0, 1, 2\)"),
        ({"pixel_values": torch.zeros(1, 4, 2, 8, 8), "chunk": 0}, "chunk: found 0"),
    ],
)
def test_a_series_that_cannot_be_compared_is_refused(arguments, named):
    with pytest.raises(ValueError, match=named):
        difference().predict_series(**arguments)


def test_pairs_of_many_images_are_compared_and_each_image_is_encoded_once():
    network = difference(auxiliary_loss_weight=0.5)
    images = random_series(batch=1, years=5)[0]
    pairs = torch.tensor([[3, 0], [0, 3], [1, 2], [0, 1]])
    labels = torch.randint(0, 2, (4, 9, 21))
    labels[1, :4] = 255
    together = network(images, labels=labels, pairs=pairs)
    assert (network.encoded, network.decoded) == ([5], [4])
    means = images.mean(1)
    torch.testing.assert_close(together.logits[:, 1], means[[0, 3, 2, 1]] - means[[3, 0, 1, 0]])
    apart = network(images[pairs], labels=labels)
    torch.testing.assert_close(together.loss, apart.loss)
    for first, second in zip(together.auxiliary_logits, apart.auxiliary_logits, strict=True):
        torch.testing.assert_close(first, second)


def test_the_loss_of_several_pairs_weighs_every_known_pixel_alike():
    """As in a batch of pairs: a pair's share is that of its known pixels, and none where it has none."""
    network = difference()
    images = random_series(batch=1, years=3, height=8, width=8)[0]
    pairs = torch.tensor([[0, 1], [0, 2], [1, 2]])
    labels = torch.randint(0, 2, (3, 8, 8))
    labels[1, 2:] = 255
    labels[2] = 255
    losses = [
        network(images[pair][None], labels=label[None]).loss
        for pair, label in zip(pairs, labels, strict=True)
    ]
    expected = (64 * losses[0] + 16 * losses[1]) / 80
    torch.testing.assert_close(network(images, labels=labels, pairs=pairs).loss, expected)


def test_a_batch_norm_of_an_encoder_counts_each_year_of_a_series_once():
    network = create_model("siamunet-diff", num_channels=2, widths=(4, 4, 4, 4)).train()
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    seen: list[Tensor] = []
    norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    images = random_series(batch=1, years=3, height=32, width=32)[0]
    network(images, pairs=torch.tensor([[0, 1], [0, 2], [0, 1]]))
    assert [len(each) for each in seen] == [3]
    assert norm.num_batches_tracked == 1
    torch.testing.assert_close(norm.running_mean, norm.momentum * seen[0].mean((0, 2, 3)))


@pytest.mark.parametrize(
    ("images", "pairs", "named"),
    [
        ((1, 3, 2, 8, 8), [[0, 1]], r"\(1, 3, 2, 8, 8\); expected \(images, channels, height, width\)"),
        ((3, 3, 8, 8), [[0, 1]], "found 3 channels; expected the 2 bands"),
        ((3, 2, 8, 8), [[0.0, 1.0]], "pairs: found torch.float32; expected torch.int64"),
        ((3, 2, 8, 8), [0, 1], r"pairs: found the shape \(2,\)"),
        ((3, 2, 8, 8), [[0, 1, 2]], r"pairs: found the shape \(1, 3\)"),
        ((3, 2, 8, 8), [[0, 3], [1, 2]], r"pairs: found \[3\]; expected indices of images, 0 to 2"),
        ((3, 2, 8, 8), [[-1, 2]], r"pairs: found \[-1\]"),
    ],
)
def test_pairs_that_are_none_of_the_images_are_refused(images, pairs, named):
    with pytest.raises(ValueError, match=named):
        difference()(torch.zeros(images), pairs=torch.tensor(pairs))


def test_labels_of_pairs_are_one_for_each_pair():
    labels = torch.zeros(3, 8, 8, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"\(3, 8, 8\); expected \(2, 8, 8\) as of the images"):
        difference()(torch.zeros(3, 2, 8, 8), labels=labels, pairs=torch.tensor([[0, 1], [1, 2]]))


@pytest.fixture(scope="module", params=sorted(CHANGE_DETECTORS))
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def detector(name, fill_with_signal) -> ChangeDetector:
    torch.manual_seed(0)
    network = create_model(name, num_channels=4, **SMALL.get(name, {})).eval()
    fill_with_signal(network)
    return network


@torch.no_grad()
def test_a_detector_gives_for_a_series_what_it_gives_pair_by_pair(detector):
    series = random_series(years=3, channels=4, height=33, width=40)
    before = series.clone()
    pairs = [(2, 0), (0, 2), (0, 1)]
    apart = torch.stack([detector(series[:, list(pair)]).logits for pair in pairs], dim=1)
    tolerance = 1e-5 * apart.abs().max().item()
    for chunk in (1, 2, 9):
        together = detector.predict_series(series, pairs, chunk=chunk)
        torch.testing.assert_close(together, apart, rtol=1e-4, atol=tolerance)
    assert torch.equal(series, before)
    assert (apart[:, 0] - apart[:, 2]).abs().max() > 10 * tolerance


def test_a_detector_learns_from_pairs_of_a_series_what_it_learns_from_them_one_by_one(detector):
    """The loss of several pairs is the mean of theirs, and so are the gradients, where batch norms stand."""
    network = deepcopy(detector).double().eval()
    network.config.auxiliary_loss_weight = 0.5
    images = random_series(batch=1, years=3, channels=4, height=32, width=33)[0].double()
    pairs = torch.tensor([[0, 1], [2, 0]])
    labels = torch.randint(0, 2, (2, 32, 33), generator=torch.Generator().manual_seed(1))
    losses = [
        network(images[pair][None], labels=label[None]).loss
        for pair, label in zip(pairs, labels, strict=True)
    ]
    torch.stack(losses).mean().backward()
    expected = {name: parameter.grad for name, parameter in network.named_parameters()}
    network.zero_grad()
    loss = network(images, labels=labels, pairs=pairs).loss
    loss.backward()
    # AFCF3D takes the logit of its probability in float32.
    torch.testing.assert_close(loss, torch.stack(losses).mean(), rtol=1e-6, atol=0)
    largest = max(gradient.abs().max().item() for gradient in expected.values() if gradient is not None)
    assert largest > 1e-6
    for name, parameter in network.named_parameters():
        if (gradient := expected[name]) is None:
            assert parameter.grad is None, name
            continue
        torch.testing.assert_close(
            parameter.grad, gradient, rtol=1e-4, atol=1e-6 * largest, msg=lambda text, name=name: name + text
        )


@torch.no_grad()
def test_a_detector_is_symmetric_in_the_dates_or_known_not_to_be(name, detector):
    pixel_values = random_series(batch=1, years=2, channels=4, height=32, width=32)
    forth = detector(pixel_values).logits
    back = detector(pixel_values.flip(1)).logits
    difference_by_swapping = (forth - back).abs().max() / forth.abs().max()
    assert (difference_by_swapping < 1e-5) == (name in SYMMETRIC)


def test_a_detector_that_encodes_years_says_so(detector):
    assert detector.encodes_years == isinstance(detector, SiameseChangeDetector)
