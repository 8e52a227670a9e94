"""Mask2Former's wrapper against transformers' own network, post-processing and loss."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers.models.mask2former.image_processing_pil_mask2former import Mask2FormerImageProcessorPil

from euromine.modeling import create_model
from euromine.modeling.mask2former import Mask2FormerForSemanticSegmentation, semantic_logits

SMALL: dict[str, Any] = json.loads(Path(__file__).with_name("small_networks.json").read_text())[
    "mask2former-swin-base"
]


def test_the_blocks_that_are_divided_in_sharded_training_are_there():
    network = small()
    named = [module for module in network.modules() if type(module).__name__ in network._no_split_modules]
    assert len(named) == 4
    in_blocks = sum(parameter.numel() for module in named for parameter in module.parameters())
    assert in_blocks > 0


def small(**fields: Any) -> Any:
    torch.manual_seed(0)
    return create_model("mask2former-swin-base", **{**SMALL, **fields})


def test_the_base_size_has_the_benchmarks_number_of_parameters() -> None:
    with torch.device("meta"):
        network = create_model("mask2former-swin-base")
    assert sum(parameter.numel() for parameter in network.parameters()) == 106_900_539


def test_the_largest_logit_is_the_class_that_transformers_maps() -> None:
    torch.manual_seed(0)
    # At this size transformers' own resizing on the way changes nothing.
    queries = SimpleNamespace(
        class_queries_logits=torch.randn(2, 7, 4), masks_queries_logits=torch.randn(2, 7, 384, 384) * 3
    )
    want = Mask2FormerImageProcessorPil().post_process_semantic_segmentation(queries)
    got = semantic_logits(queries.class_queries_logits, queries.masks_queries_logits).argmax(1)
    assert torch.equal(got, torch.stack(want))
    assert got.unique().numel() == 3


def test_the_softmax_of_the_logits_is_each_classs_share_of_the_scores() -> None:
    torch.manual_seed(0)
    classes, masks = torch.randn(1, 3, 3), torch.randn(1, 3, 2, 2)
    scores = torch.zeros(2, 2, 2, dtype=torch.float64)
    for query in range(3):
        for label in range(2):
            exponentials = classes[0, query].double().exp()
            share = exponentials[label] / exponentials.sum()
            scores[label] += share / (1 + (-masks[0, query].double()).exp())
    got = semantic_logits(classes, masks)[0].softmax(0).double()
    torch.testing.assert_close(got, scores / scores.sum(0), rtol=1e-5, atol=1e-6)


def test_far_from_every_mask_the_logits_are_still_those_of_the_scores() -> None:
    """There every sigmoid is nothing in single precision."""
    torch.manual_seed(0)
    classes, masks = torch.randn(1, 4, 3), torch.randn(1, 4, 3, 3) * 20 - 150
    shares = classes.double().softmax(-1)[..., :-1]
    scores = torch.einsum("bqc,bqhw->bchw", shares, masks.double().sigmoid())
    torch.testing.assert_close(semantic_logits(classes, masks).double(), scores.log(), rtol=1e-5, atol=1e-5)


def test_scores_that_vanish_give_finite_logits() -> None:
    logits = semantic_logits(torch.tensor([[[-200.0, 0.0, 200.0]]]), torch.full((1, 1, 1, 1), -200.0))
    assert logits.isfinite().all()


def test_the_logits_are_the_networks_at_a_quarter_of_the_scale() -> None:
    network = small(bands=["B04", "B08", "VV"]).eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        output = network(images)
        queries = network.mask2former(images)
    assert output.logits.shape == (2, 2, 16, 24)
    want = semantic_logits(queries.class_queries_logits, queries.masks_queries_logits)
    torch.testing.assert_close(output.logits, want)


@pytest.mark.parametrize(("size", "bands"), [((1, 1), 1), ((40, 161), 20), ((65, 33), 4)])
def test_any_size_and_any_number_of_bands_is_mapped(size: tuple[int, int], bands: int) -> None:
    network = small(num_channels=bands)
    output = network(torch.randn(1, bands, *size), torch.randint(0, 2, (1, *size)))
    assert output.logits.shape == (1, 2, *size)
    assert output.loss.isfinite()
    output.loss.backward()
    missing = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing


def test_the_loss_is_mask2formers_own_of_one_mask_a_class() -> None:
    network = small().eval()
    images, labels = torch.randn(2, 10, 64, 64), torch.randint(0, 2, (2, 64, 64))
    labels[1] = 1
    torch.manual_seed(5)
    loss = network(images, labels).loss
    torch.manual_seed(5)
    want = network.mask2former(
        images,
        mask_labels=[torch.stack([labels[0] == 0, labels[0] == 1]).float(), torch.ones(1, 64, 64)],
        class_labels=[torch.tensor([0, 1]), torch.tensor([1])],
    ).loss
    torch.testing.assert_close(loss, want)


def queries_of_layers(count: int) -> list[dict[str, Tensor]]:
    return [
        {
            "class_queries_logits": torch.randn(2, 5, 3, requires_grad=True),
            "masks_queries_logits": torch.randn(2, 5, 16, 16, requires_grad=True),
        }
        for _ in range(count)
    ]


def test_ignored_pixels_and_images_give_no_gradient() -> None:
    network = small()
    layers = queries_of_layers(3)
    labels = torch.randint(0, 2, (2, 64, 64))
    labels[0, :, 32:] = 255
    labels[1] = 255
    network.loss(layers, labels).backward()
    for layer in layers:
        masks, classes = layer["masks_queries_logits"].grad, layer["class_queries_logits"].grad
        assert masks is not None
        assert classes is not None
        assert masks[0, :, :, 8:].eq(0).all()
        assert masks[0, :, :, :8].ne(0).any()
        assert classes[0].ne(0).any()
        assert masks[1].eq(0).all()
        assert classes[1].eq(0).all()


def test_what_the_network_says_of_ignored_pixels_does_not_count() -> None:
    network = small()
    layers = queries_of_layers(1)
    labels = torch.randint(0, 2, (2, 64, 64))
    labels[:, :32] = 255
    torch.manual_seed(1)
    first = network.loss(layers, labels)
    layers[0]["masks_queries_logits"].data[:, :, :8] = 50.0
    torch.manual_seed(1)
    torch.testing.assert_close(network.loss(layers, labels), first)


def test_labels_that_are_all_ignored_give_a_loss_of_zero_with_gradients() -> None:
    network = small()
    loss = network(torch.randn(2, 10, 64, 64), torch.full((2, 64, 64), 255)).loss
    loss.backward()
    assert loss.item() == 0
    gradients = [parameter.grad for parameter in network.parameters() if parameter.requires_grad]
    assert all(gradient is not None and gradient.eq(0).all() for gradient in gradients)


def test_the_loss_learns_a_footprint() -> None:
    network = small(train_num_points=512)
    torch.manual_seed(0)
    labels = torch.zeros(2, 64, 64, dtype=torch.int64)
    labels[:, 16:48, 16:48] = 1
    images = torch.randn(2, 10, 64, 64) * 0.1 + labels[:, None]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for _ in range(60):
        optimizer.zero_grad()
        network(images, labels).loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        logits = network.eval()(images).logits
    mask = nn.functional.interpolate(logits, size=(64, 64), mode="bilinear").argmax(1)
    agreement = (mask == labels).double().mean().item()
    # Background everywhere would agree on 0.75.
    assert agreement > 0.9


def test_bf16_autocast_trains() -> None:
    network = small()
    with torch.autocast("cpu", torch.bfloat16):
        output = network(torch.randn(1, 10, 64, 64), torch.randint(0, 2, (1, 64, 64)))
    output.loss.backward()
    assert output.loss.isfinite()
    assert output.logits.dtype == torch.float32


def test_a_pretrained_network_sees_in_a_colour_picture_what_its_checkpoint_sees(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = small(num_channels=3).config.of_transformers()
    config.id2label = {index: str(index) for index in range(150)}
    checkpoint = transformers.Mask2FormerForUniversalSegmentation(config).eval()
    for module in checkpoint.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(module.weight, std=0.1)
    checkpoint.save_pretrained(tmp_path)
    network = small(pretrained=tmp_path).eval()
    picture = torch.randn(1, 3, 64, 64)
    ten = torch.zeros(1, 10, 64, 64)
    ten[:, [2, 1, 0]] = picture
    with torch.no_grad():
        want = checkpoint(picture * 3 / 10).masks_queries_logits
        torch.testing.assert_close(network.mask2former(ten).masks_queries_logits, want, rtol=1e-3, atol=1e-4)
    assert want.std() > 1e-3
    assert network.mask2former.class_predictor.weight.shape[0] == 3
    assert network.mask2former.criterion.empty_weight.tolist() == pytest.approx([1, 1, 0.1])


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (torch.zeros(10, 64, 64), None, r"expected \(batch, channels, height, width\)"),
        (torch.zeros(1, 3, 64, 64), None, "found 3 channels"),
        (torch.zeros(1, 10, 64, 64), torch.full((1, 64, 64), 3), r"labels: found \[3\]"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(
    images: Tensor, labels: Tensor | None, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        small()(images, labels)


def test_a_checkpoint_comes_back_equal_here_and_where_the_package_is_not_installed(
    tmp_path: Path, run_without_the_package: Callable[..., str]
) -> None:
    network = small().eval()
    network.save_pretrained(tmp_path / "checkpoint")
    again = transformers.AutoModelForSemanticSegmentation.from_pretrained(tmp_path / "checkpoint")
    assert type(again) is Mask2FormerForSemanticSegmentation
    assert [p.requires_grad for p in network.parameters()] == [p.requires_grad for p in again.parameters()]
    image = torch.randn(1, 10, 64, 64)
    with torch.no_grad():
        logits = network(image).logits
        torch.testing.assert_close(again(image).logits, logits)
    torch.save((image, logits), tmp_path / "expected.pt")
    program = """
        import torch
        from transformers import AutoModel
        image, logits = torch.load("expected.pt")
        network = AutoModel.from_pretrained("checkpoint", trust_remote_code=True)
        with torch.no_grad():
            torch.testing.assert_close(network(image).logits, logits)
        print(type(network).__name__)
    """
    assert run_without_the_package(program, cwd=tmp_path) == "Mask2FormerForSemanticSegmentation"
