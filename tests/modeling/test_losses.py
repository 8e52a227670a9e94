"""The loss against a loop over pixels, and labels that it refuses."""

import math

import pytest
import torch
from torch.nn import functional as F

from euromine.modeling.losses import check_labels, masked_cross_entropy


def by_hand(logits: torch.Tensor, labels: torch.Tensor, ignored: int) -> float:
    total, count = 0.0, 0
    for sample in range(labels.shape[0]):
        for row in range(labels.shape[1]):
            for column in range(labels.shape[2]):
                label = int(labels[sample, row, column])
                if label != ignored:
                    scores = logits[sample, :, row, column].double().tolist()
                    total += math.log(sum(math.exp(score) for score in scores)) - scores[label]
                    count += 1
    return total / count


@pytest.mark.parametrize("classes", [2, 3])
def test_the_loss_is_the_mean_over_the_pixels_that_count(classes: int) -> None:
    generator = torch.Generator().manual_seed(classes)
    logits = torch.randn(3, classes, 4, 5, generator=generator)
    labels = torch.randint(0, classes, (3, 4, 5), generator=generator)
    labels[0, :2] = 255
    labels[2] = 255
    assert masked_cross_entropy(logits, labels, 255).item() == pytest.approx(
        by_hand(logits, labels, 255), rel=1e-5
    )


def test_labels_that_are_all_ignored_give_a_loss_of_zero_with_a_gradient() -> None:
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = masked_cross_entropy(logits, torch.full((1, 3, 3), 255), 255)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.eq(0).all()


def test_small_logits_are_resized_as_transformers_does() -> None:
    logits = torch.randn(2, 2, 3, 4)
    labels = torch.randint(0, 2, (2, 12, 16))
    larger = torch.nn.functional.interpolate(logits, size=(12, 16), mode="bilinear", align_corners=False)
    want = torch.nn.functional.cross_entropy(larger, labels)
    torch.testing.assert_close(masked_cross_entropy(logits, labels, 255), want)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ({"total": torch.zeros(1, 4, 5)}, "labels: found a dict; expected a tensor of torch.int64"),
        (torch.zeros(1, 4, 5, dtype=torch.int32), "labels: found torch.int32; expected torch.int64"),
        (torch.zeros(1, 4, 5), "torch.float32"),
        (torch.zeros(1, 5, 4, dtype=torch.int64), r"\(1, 4, 5\) as of the images"),
        (torch.zeros(4, 5, dtype=torch.int64), r"\(1, 4, 5\) as of the images"),
        (
            torch.zeros(2, 4, 5, dtype=torch.int64),
            r"shape \(2, 4, 5\); expected \(1, 4, 5\) as of the images",
        ),
        (torch.full((1, 4, 5), 2), r"labels: found \[2\]; expected 0 to 1 and 255 \(ignored\)"),
        (torch.full((1, 4, 5), -1), r"labels: found \[-1\]"),
    ],
)
def test_labels_that_do_not_fit_are_refused_with_a_sentence(labels: torch.Tensor, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_labels(labels, (1, 4, 5), 2, 255)


def test_labels_of_classes_and_ignored_pixels_pass() -> None:
    check_labels(torch.tensor([[[0, 1], [255, 1]]]), (1, 2, 2), 2, 255)
    check_labels(torch.full((1, 2, 2), 255), (1, 2, 2), 2, 255)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("side", [160, 40])
def test_losses_of_half_precision_logits_are_summed_in_float32(dtype, side):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 2, side, side, generator=generator).to(dtype)
    labels = torch.randint(0, 2, (8, 160, 160), generator=generator)
    found = masked_cross_entropy(logits, labels, 255)
    whole = F.interpolate(logits.double(), size=(160, 160), mode="bilinear", align_corners=False)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), F.cross_entropy(whole, labels), rtol=1e-4, atol=0)
