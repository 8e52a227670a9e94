"""Stems: three-band first layers for any bands, and checkpoints with the true names made on the spot."""

import csv
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn
from torch.nn import functional as F

from euromine.modeling import BANDS, create_model
from euromine.modeling.native import NATIVE_SEGMENTERS
from euromine.modeling.stem import find_stem, inflate_stem

FACTS = Path(__file__).parents[2].parent / "shared" / "facts" / "seg_models.csv"

SMALL: dict[str, dict[str, Any]] = {
    "segformer-b0": {
        "depths": [1, 1, 1, 1],
        "hidden_sizes": [8, 16, 16, 32],
        "num_attention_heads": [1, 2, 2, 4],
        "decoder_hidden_size": 16,
    },
    "upernet-swin-base": {
        "backbone_config": {
            "model_type": "swin",
            "embed_dim": 12,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 1, 2, 2],
            "window_size": 4,
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
        },
        "hidden_size": 16,
        "auxiliary_in_channels": 48,
        "auxiliary_channels": 8,
    },
    "upernet-convnext-base": {
        "backbone_config": {
            "model_type": "convnext",
            "hidden_sizes": [8, 8, 16, 16],
            "depths": [1, 1, 1, 1],
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
        },
        "hidden_size": 16,
        "auxiliary_in_channels": 16,
        "auxiliary_channels": 8,
    },
    "deeplabv3-mobilevitv2": {
        "width_multiplier": 0.25,
        "aspp_out_channels": 16,
        "n_attn_blocks": [1, 1, 1],
        "base_attn_unit_dims": [16, 16, 16],
        "output_stride": 16,
    },
    "deeplabv3plus-mobilenetv2": {"depth_multiplier": 0.25, "output_stride": 8},
}
COLOURS = [BANDS.index(band) for band in ("B04", "B03", "B02")]


def three_band_network(name: str, **fields: Any) -> transformers.PreTrainedModel:
    """Transformers' own class for red, green and blue, with random weights that let a signal through."""
    ours = NATIVE_SEGMENTERS[name].model_class
    network = getattr(transformers, ours.__name__)(ours.config_class(**{**SMALL[name], **fields}))
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    # Without statistics of its own the signal fades on the way through the batch norms.
    with torch.no_grad():
        network.train()(torch.randn(4, network_channels(network), 64, 64))
    return network.eval()


def network_channels(network: transformers.PreTrainedModel) -> int:
    config = getattr(network.config, "backbone_config", network.config)
    return int(config.num_channels)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_a_semantic_stem_sees_in_red_green_and_blue_what_the_three_band_one_sees() -> None:
    weight = torch.randn(4, 3, 3, 3)
    picture = torch.randn(2, 3, 8, 8)
    ten = torch.zeros(2, 10, 8, 8)
    ten[:, COLOURS] = picture
    got = F.conv2d(ten, inflate_stem(weight, BANDS, "semantic"))
    torch.testing.assert_close(got, F.conv2d(picture, weight) * 3 / 10)
    assert not torch.allclose(F.conv2d(ten, inflate_stem(weight, BANDS, "cyclic")), got, atol=0.1)


def test_a_semantic_stem_gives_the_other_bands_the_mean_of_the_three() -> None:
    weight = torch.randn(4, 3, 2, 2)
    inflated = inflate_stem(weight, ["VV", "B04", "band_7", "B8A"], "semantic")
    for position, filters in (
        (0, weight.mean(1)),
        (1, weight[:, 0]),
        (2, weight.mean(1)),
        (3, weight.mean(1)),
    ):
        torch.testing.assert_close(inflated[:, position], filters * 3 / 4)


def test_a_semantic_stem_turns_three_bands_in_another_order_round() -> None:
    weight = torch.randn(4, 3, 2, 2)
    torch.testing.assert_close(inflate_stem(weight, ["B02", "B03", "B04"], "semantic"), weight.flip(1))


@pytest.mark.parametrize("count", [2, 3, 4, 10, 20])
def test_a_cyclic_stem_repeats_red_green_and_blue_in_turn(count: int) -> None:
    weight = torch.randn(4, 3, 2, 2)
    inflated = inflate_stem(weight, [f"band_{number + 1}" for number in range(count)], "cyclic")
    assert inflated.shape == (4, count, 2, 2)
    for position in range(count):
        torch.testing.assert_close(inflated[:, position], weight[:, position % 3] * 3 / count)


def test_a_cyclic_stem_of_one_band_is_the_sum_of_the_three() -> None:
    weight = torch.randn(4, 3, 2, 2)
    torch.testing.assert_close(inflate_stem(weight, ["B08"], "cyclic"), weight.sum(1, keepdim=True))


@pytest.mark.parametrize("rule", ["semantic", "cyclic"])
def test_an_image_equal_in_all_bands_excites_a_stem_as_before(rule: str) -> None:
    weight = torch.rand(4, 3, 3, 3)
    bands = ("B04", "B03", "B02", "band_1", "band_2", "band_3")
    got = F.conv2d(torch.ones(1, 6, 5, 5), inflate_stem(weight, bands, rule))
    torch.testing.assert_close(got, F.conv2d(torch.ones(1, 3, 5, 5), weight))


def test_a_random_stem_is_drawn_as_transformers_draws_and_again_the_same() -> None:
    weight = torch.ones(64, 3, 7, 7, dtype=torch.float16)
    first = inflate_stem(weight, BANDS, "random", torch.Generator().manual_seed(3))
    assert torch.equal(first, inflate_stem(weight, BANDS, "random", torch.Generator().manual_seed(3)))
    assert first.shape == (64, 10, 7, 7)
    assert first.dtype == torch.float16
    assert first.float().std().item() == pytest.approx(0.02, rel=0.05)
    assert abs(first.float().mean().item()) < 0.001


def test_stems_that_cannot_be_are_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="stem_init: found 'rgb'; expected one of semantic, cyclic, random"):
        inflate_stem(torch.zeros(4, 3, 2, 2), BANDS, "rgb")
    with pytest.raises(ValueError, match=r"\(4, 4, 2, 2\); expected \(out, 3, height, width\)"):
        inflate_stem(torch.zeros(4, 4, 2, 2), BANDS, "semantic")
    with pytest.raises(ValueError, match="found none; expected one convolution for 3 channels"):
        find_stem(nn.Sequential(nn.Conv2d(4, 3, 1)), 3)
    with pytest.raises(ValueError, match="found 0, 1; expected one"):
        find_stem(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 1)), 3)


@pytest.mark.parametrize("name", SMALL)
def test_a_pretrained_network_sees_in_a_colour_picture_what_its_checkpoint_sees(
    name: str, tmp_path: Path
) -> None:
    checkpoint = three_band_network(name)
    checkpoint.save_pretrained(tmp_path)
    network = create_model(name, pretrained=str(tmp_path), **SMALL[name]).eval()
    picture = torch.randn(1, 3, 64, 64)
    ten = torch.zeros(1, 10, 64, 64)
    ten[:, COLOURS] = picture
    with torch.no_grad():
        want = checkpoint(picture * 3 / 10).logits
        torch.testing.assert_close(network(ten).logits, want, rtol=1e-4, atol=1e-4)
        cyclic = create_model(name, pretrained=str(tmp_path), stem_init="cyclic", **SMALL[name]).eval()
        assert (cyclic(ten).logits - want).abs().max() > 1e-3
    assert network.config.stem_init == "semantic"
    assert network.config.bands == list(BANDS)
    assert network.config.id2label == {0: "background", 1: "mine"}


@pytest.mark.parametrize("name", SMALL)
def test_what_knows_other_classes_starts_afresh_and_all_else_is_kept(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = three_band_network(name, num_labels=150)
    checkpoint.save_pretrained(tmp_path)
    with caplog.at_level(logging.INFO, "euromine.modeling.stem"):
        network = create_model(name, bands=["B08", "B04"], pretrained=tmp_path, **SMALL[name])
    theirs, ours = checkpoint.state_dict(), network.state_dict()
    stem = f"{find_stem(network, 2)}.weight"
    changed = {key for key in ours if ours[key].shape != theirs[key].shape}
    assert all("classifier" in key for key in changed - {stem})
    assert changed - {stem}
    assert all(torch.equal(ours[key], theirs[key]) for key in ours.keys() - changed)
    torch.testing.assert_close(ours[stem][:, 1], theirs[stem][:, 0] * 3 / 2)
    message = "".join(caplog.messages)
    assert "stay fresh" in message
    assert all(key in message for key in changed - {stem})


def test_a_random_stem_leaves_the_rest_pretrained(tmp_path: Path) -> None:
    checkpoint = three_band_network("segformer-b0")
    checkpoint.save_pretrained(tmp_path)
    network = create_model("segformer-b0", pretrained=tmp_path, stem_init="random", **SMALL["segformer-b0"])
    stem = f"{find_stem(network, 10)}.weight"
    ours, theirs = network.state_dict(), checkpoint.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if key != stem)
    assert ours[stem].std().item() == pytest.approx(0.02, rel=0.1)


def test_a_checkpoint_of_ones_own_starts_another_training(tmp_path: Path) -> None:
    fields = {**SMALL["segformer-b0"], "bands": ["B08", "B04", "VV"]}
    first = create_model("segformer-b0", **fields)
    first.save_pretrained(tmp_path)
    second = create_model("segformer-b0", pretrained=tmp_path, stem_init=None, **fields)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    with pytest.raises(ValueError, match="found the bands B08, B04, VV; expected those of the network: B02"):
        create_model("segformer-b0", pretrained=tmp_path, **SMALL["segformer-b0"])


def test_a_change_detector_starts_from_a_checkpoint_of_its_own(tmp_path: Path) -> None:
    first = create_model("tinycd", bands=["B08", "B04"])
    first.save_pretrained(tmp_path)
    second = create_model("tinycd", bands=["B08", "B04"], pretrained=tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_network_without_pretrained_weights_says_so() -> None:
    with pytest.raises(
        ValueError, match=r"pretrained: found True; expected .*, as fc-ef has no published weights"
    ):
        create_model("fc-ef", pretrained=True)


def test_a_half_precision_checkpoint_becomes_single(tmp_path: Path) -> None:
    three_band_network("segformer-b0").half().save_pretrained(tmp_path)
    network = create_model("segformer-b0", pretrained=tmp_path, **SMALL["segformer-b0"])
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_ten_bands_without_names_are_taken_for_ours_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    three_band_network("segformer-b0", num_channels=10).save_pretrained(tmp_path)
    create_model("segformer-b0", pretrained=tmp_path, stem_init=None, **SMALL["segformer-b0"])
    assert "does not name its bands; assuming B02, B03" in "".join(caplog.messages)


def test_a_checkpoint_made_with_other_settings_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    three_band_network("deeplabv3-mobilevitv2", hidden_act="relu").save_pretrained(tmp_path)
    create_model("deeplabv3-mobilevitv2", pretrained=tmp_path, **SMALL["deeplabv3-mobilevitv2"])
    assert "was built with hidden_act = relu; this network has swish" in "".join(caplog.messages)
    caplog.clear()
    three_band_network("deeplabv3-mobilevitv2").save_pretrained(tmp_path)
    create_model("deeplabv3-mobilevitv2", pretrained=tmp_path, **SMALL["deeplabv3-mobilevitv2"])
    assert "was built with" not in "".join(caplog.messages)


@pytest.mark.parametrize(
    ("saved", "asked", "fields", "sentence"),
    [
        ("segformer-b0", "deeplabv3-mobilevitv2", {}, "found segformer; expected mobilevitv2"),
        (
            "upernet-swin-base",
            "upernet-convnext-base",
            {},
            "found upernet with swin; expected upernet with convnext",
        ),
        (
            "segformer-b0",
            "segformer-b0",
            {"depths": [1, 1, 2, 1]},
            r"found \d+ tensors unknown, missing or of another shape",
        ),
        (
            "segformer-b0",
            "segformer-b0",
            {"decoder_hidden_size": 8},
            r"found \d+ tensors unknown, missing or of another shape",
        ),
        (
            "segformer-b0",
            "segformer-b0",
            {"stem_init": None},
            "with stem_init None; expected one of semantic",
        ),
        ("segformer-b0", "segformer-b0", {"stem_init": "rgb"}, "stem_init: found 'rgb'"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_with_a_sentence(
    saved: str, asked: str, fields: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    three_band_network(saved).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        create_model(asked, pretrained=tmp_path, **{**SMALL[asked], **fields})


def test_a_checkpoint_of_another_number_of_channels_is_refused(tmp_path: Path) -> None:
    three_band_network("segformer-b0", num_channels=4).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="found 4 channels; expected 10: B02"):
        create_model("segformer-b0", pretrained=tmp_path, **SMALL["segformer-b0"])


def test_a_checkpoint_of_the_encoder_alone_is_refused(tmp_path: Path) -> None:
    config = transformers.SegformerConfig(**SMALL["segformer-b0"])
    transformers.SegformerForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"found \d+ tensors missing \(decode_head"):
        create_model("segformer-b0", pretrained=tmp_path, **SMALL["segformer-b0"])


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nothing', which is no folder or file; expected weights"):
        create_model("segformer-b0", pretrained=tmp_path / "nothing", **SMALL["segformer-b0"])
    with pytest.raises(OSError, match=r"found 'nvidia/segformer-b0-\S+', which .* Unset HF_HUB_OFFLINE"):
        create_model("segformer-b0", pretrained=True, **SMALL["segformer-b0"])


def test_pretrained_starts_from_the_checkpoints_of_the_benchmark() -> None:
    if not FACTS.is_file():
        pytest.skip(f"needs {FACTS}")
    with FACTS.open(newline="") as file:
        published = {
            row["hf_checkpoint_or_impl"] for row in csv.DictReader(file) if "transformers." in row["class"]
        }
    own = create_model(
        "mask2former-swin-base", embed_dim=4, depths=[1] * 4, num_heads=[1] * 4, encoder_layers=1
    )
    known = {native.checkpoint for native in NATIVE_SEGMENTERS.values()} | {own.checkpoint}
    assert published <= known
