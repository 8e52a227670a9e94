"""SegFormer's quick layers against transformers' own, and where they stand back."""

import copy
import pickle
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from euromine.modeling.segformer import use_quick_layers

CLASSES = 3
# Each scale's channels differ from the head's and from the other scales'.
SMALL: dict[str, Any] = {
    "num_channels": 4,
    "num_labels": CLASSES,
    "depths": [1, 2, 1, 1],
    "hidden_sizes": [8, 16, 24, 32],
    "num_attention_heads": [1, 2, 3, 4],
    "decoder_hidden_size": 20,
    "drop_path_rate": 0.0,
    "classifier_dropout_prob": 0.0,
}


def networks(fill: Any, **fields: Any) -> tuple[Any, Any]:
    """Transformers' network, and a copy with quick layers."""
    config = transformers.SegformerConfig(**{**SMALL, **fields})
    theirs: Any = transformers.SegformerForSemanticSegmentation(config)
    fill(theirs)
    ours = copy.deepcopy(theirs)
    use_quick_layers(ours)
    return ours, theirs


def assert_same(found: Tensor, expected: Tensor, share: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=share * expected.abs().max().item())


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [(64, 64), (160, 96), (37, 65), (29, 29)])
@torch.no_grad()
def test_logits_and_states_of_all_scales_are_transformers_own(fill_with_signal, batch, size):
    ours, theirs = (network.eval() for network in networks(fill_with_signal))
    images = torch.randn(batch, 4, *size)
    found, expected = (each(images, output_hidden_states=True) for each in (ours, theirs))
    assert_same(found.logits, expected.logits)
    assert len(found.hidden_states) == len(expected.hidden_states) == 4
    for mine, other in zip(found.hidden_states, expected.hidden_states, strict=True):
        assert_same(mine, other)


def test_a_training_step_is_transformers_own(fill_with_signal):
    """In float64, where rounding cannot hide a wrong term."""
    ours, theirs = (network.double().train() for network in networks(fill_with_signal))
    images, labels = torch.randn(2, 4, 64, 96).double(), torch.randint(0, CLASSES, (2, 64, 96))
    losses = [each(images, labels=labels).loss for each in (ours, theirs)]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    for (key, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, msg=lambda text, key=key: f"{key}: {text}")
    for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine, other)


def test_the_heads_dropout_works_in_training_only(fill_with_signal):
    ours, _ = networks(fill_with_signal, classifier_dropout_prob=0.75)
    seen: list[Tensor] = []
    ours.decode_head.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.randn(2, 4, 64, 64)
    ours.train()(images)
    ours.eval()(images)
    dropped, whole = (features.eq(0).double().mean().item() for features in seen)
    # The activation, a ReLU, gives zeros too, about half of all; three of four others are dropped.
    assert 0.3 < whole < 0.7
    assert dropped == pytest.approx(1 - 0.25 * (1 - whole), abs=0.1)


@pytest.mark.parametrize(
    "watched",
    [
        "decode_head.linear_fuse",
        "decode_head.batch_norm",
        "decode_head.linear_projections.0",
        "decode_head.linear_projections.3.proj",
        "segformer.stages.1.blocks.1.mlp.dwconv.dwconv",
    ],
)
@torch.no_grad()
def test_a_watched_module_is_called(fill_with_signal, watched):
    ours, theirs = (network.eval() for network in networks(fill_with_signal))
    images, calls = torch.randn(1, 4, 64, 64), []
    ours.get_submodule(watched).register_forward_hook(lambda *_: calls.append(1))
    assert_same(ours(images).logits, theirs(images).logits)
    assert calls == [1]


@torch.no_grad()
def test_a_quantised_head_computes_with_its_quantised_layers(fill_with_signal):
    """On the same maps: rounding in an encoder before would move some features by a whole step."""
    ours, theirs = (network.eval() for network in networks(fill_with_signal))
    images = torch.randn(1, 4, 64, 64)
    maps = theirs(images, output_hidden_states=True).hidden_states
    found, expected = (
        torch.ao.quantization.quantize_dynamic(each.decode_head, {nn.Linear}, dtype=torch.qint8)(maps)
        for each in (ours, theirs)
    )
    assert_same(found, expected)
    assert not torch.equal(expected, theirs(images).logits)


def test_tensors_classes_copies_and_pickles_stay(fill_with_signal):
    ours, theirs = (network.eval() for network in networks(fill_with_signal))
    assert type(ours) is type(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    classes = [type(module) for module in ours.modules()]
    use_quick_layers(ours)
    assert [type(module) for module in ours.modules()] == classes
    for again in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert [type(module) for module in again.modules()] == classes
    other = nn.Sequential(nn.Linear(2, 2))
    use_quick_layers(other)
    assert type(other[0]) is nn.Linear
