"""HANet's attention along lines, against a loop over the lines."""

import shutil

import pytest
import torch

from euromine.modeling.hanet import LineAttention


def line_attention(along: str) -> LineAttention:
    torch.manual_seed(0)
    attention = LineAttention(6, along)
    torch.nn.init.constant_(attention.gamma, 0.5)
    return attention.eval()


@pytest.mark.parametrize("along", ["columns", "rows"])
def test_the_pixels_of_a_line_attend_to_each_other_alone(along):
    attention, features = line_attention(along), torch.randn(2, 6, 5, 7)
    query, key, value = (
        layer(features) for layer in (attention.query, attention.key, attention.value)
    )  # (batch, channels, height, width)
    expected = features.clone()
    for image in range(2):
        for line in range(7 if along == "columns" else 5):
            here = (
                (image, slice(None), slice(None), line) if along == "columns" else (image, slice(None), line)
            )
            shares = (query[here].T @ key[here]).softmax(-1)
            expected[here] += 0.5 * (value[here] @ shares.T)
    assert torch.allclose(attention(features), expected, atol=1e-6)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
@pytest.mark.parametrize("along", ["columns", "rows"])
def test_the_compiler_takes_it(along):
    # Products of permuted maps in another order are taken by the compiler for attention among heads, whose
    # axes are not these ones.
    attention, features = line_attention(along), torch.randn(1, 6, 5, 7)
    with torch.no_grad():
        compiled = torch.compile(attention, dynamic=False)
        assert torch.allclose(compiled(features), attention(features), atol=1e-6)
