"""Change detectors whose encoders start from published weights, made here with the true names and shapes.

The true names and shapes are those inside the published networks (parity/), which wrap torchvision's and
PVTv2's own; timm's are written down here, layer by layer in the order of their modules.
"""

import json
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from euromine.modeling.auto import CHANGE_DETECTORS, convert_state_dict, create_model
from euromine.modeling.bands import BANDS
from euromine.modeling.mobilenetv2 import STAGES
from euromine.modeling.pretrained import PretrainedEncoderModel

# Where the published network keeps the encoder's tensors: our encoder, and what its own names were.
WRAPPED = {
    ("bit", "backbone"): ((r"^resnet\.", ""),),
    ("dminet", "backbone"): ((r"^resnet\.", ""),),
    ("tfi-gr", "backbone"): ((r"^backbone\.", ""),),
    ("dtcdscn", "backbone"): (
        (r"^firstconv\.", "conv1."),
        (r"^firstbn\.", "bn1."),
        (r"^encoder(?=\d\.\d)", "layer"),
    ),
    ("icifnet", "resnet"): ((r"^resnet\.", ""),),
    ("icifnet", "transformer"): ((r"^backbone\.", ""),),
    ("a2net", "backbone"): ((r"^backbone\.", ""),),
    ("cgnet", "encoder"): ((r"^(inc|down\d)\.", "features."),),
    ("hcgmnet", "encoder"): ((r"^(inc|down\d)\.", "features."),),
}
# Grouped by network: its weights are drawn once for both tests.
each_encoder = pytest.mark.parametrize(("name", "encoder"), WRAPPED, scope="module")
REPOSITORIES = {
    "a2net": ("timm/mobilenetv2_100.ra_in1k",),
    "bit": ("timm/resnet18.tv_in1k",),
    "cgnet": ("timm/vgg16_bn.tv_in1k",),
    "dminet": ("timm/resnet18.tv_in1k",),
    "dtcdscn": ("timm/resnet34.tv_in1k",),
    "hcgmnet": ("timm/vgg16_bn.tv_in1k",),
    "icifnet": ("timm/resnet18.tv_in1k", "timm/pvt_v2_b1.in1k"),
    "tfi-gr": ("timm/resnet18.tv_in1k",),
    "tinycd": ("timm/efficientnet_b4.ra2_in1k",),
}


@pytest.fixture
def encoder_weights(published_network):
    """The published encoder inside a published network as a file of its own would hold it."""

    def weights(name: str, encoder: str) -> dict[str, Tensor]:
        network = published_network(name)
        tag = next(tag for tag, probe in network.facts["probes"].items() if probe["bands"] == 3)
        tensors = {}
        for key, value in network.state_dict(tag).items():
            own = key
            for pattern, replacement in WRAPPED[name, encoder]:
                own = re.sub(pattern, replacement, own)
            # What ImageNet's weights do not have: the weighing of channels.
            if own != key and ".se." not in own:
                tensors[own] = value
        return tensors

    return weights


@each_encoder
def test_an_encoder_starts_from_the_weights_that_the_published_one_starts_from(
    name, encoder, encoder_weights, published_network, tmp_path
):
    theirs = encoder_weights(name, encoder)
    save_file({key: value.contiguous() for key, value in theirs.items()}, tmp_path / "weights.safetensors")
    network = create_model(name, bands=("B04", "B03", "B02"), pretrained=tmp_path / "weights.safetensors")
    tag = next(tag for tag, probe in published_network(name).facts["probes"].items() if probe["bands"] == 3)
    whole = convert_state_dict(name, published_network(name).state_dict(tag))
    compared = 0
    for key, value in network.get_submodule(encoder).state_dict().items():
        if ".se." in key:
            assert not torch.equal(value, whole[f"{encoder}.{key}"]), key
        else:
            torch.testing.assert_close(value, whole[f"{encoder}.{key}"], rtol=0, atol=0, msg=key)
            compared += 1
    assert compared > 50


@each_encoder
def test_ten_bands_see_the_colours_where_they_belong(name, encoder, encoder_weights, tmp_path):
    theirs = encoder_weights(name, encoder)
    torch.save(theirs, tmp_path / "weights.pth")
    network = create_model(name, pretrained=tmp_path / "weights.pth")
    (stem,) = (each for each in theirs.values() if each.ndim == 4 and each.shape[1] == 3)
    (ours,) = (
        each
        for each in network.get_submodule(encoder).state_dict().values()
        if each.ndim == 4 and each.shape[1] == 10 and each.shape[0] == stem.shape[0]
    )
    red, green, blue = stem.unbind(1)
    for band, colour in {"B04": red, "B03": green, "B02": blue, "B08": (red + green + blue) / 3}.items():
        torch.testing.assert_close(ours[:, BANDS.index(band)], 0.3 * colour)
    assert network.config.stem_init == "semantic"


def timm_mobilenetv2() -> list[str]:
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    layers = [("conv_stem", "bn1")]
    for stage, (_, _, repeats, _) in enumerate(STAGES):
        for block in range(repeats):
            named = [("conv_dw", "bn1"), ("conv_pw", "bn2")]
            if stage:
                named = [("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")]
            layers += [
                (f"blocks.{stage}.{block}.{conv}", f"blocks.{stage}.{block}.{bn}") for conv, bn in named
            ]
    layers.append(("conv_head", "bn2"))
    keys = [key for conv, bn in layers for key in (f"{conv}.weight", *(f"{bn}.{each}" for each in norm))]
    return [*keys, "classifier.weight", "classifier.bias"]


def timm_pvt_v2_b1() -> list[str]:
    def both(layer: str) -> tuple[str, str]:
        return f"{layer}.weight", f"{layer}.bias"

    keys = []
    # The published network has its embeddings in front of the blocks.
    for embedding in ("patch_embed", *(f"stages.{stage}.downsample" for stage in (1, 2, 3))):
        keys += [*both(f"{embedding}.proj"), *both(f"{embedding}.norm")]
    for stage in range(4):
        for block in range(2):
            # The last stage's attention looks at the whole map.
            reduced = () if stage == 3 else ("attn.sr", "attn.norm")
            layers = ("norm1", "attn.q", "attn.kv", "attn.proj", *reduced, "norm2")
            for layer in (*layers, "mlp.fc1", "mlp.dwconv", "mlp.fc2"):
                keys += both(f"stages.{stage}.blocks.{block}.{layer}")
        keys += both(f"stages.{stage}.norm")
    return [*keys, *both("head")]


@pytest.mark.parametrize(
    ("name", "encoder", "timm_keys"),
    [("a2net", "backbone", timm_mobilenetv2), ("icifnet", "transformer", timm_pvt_v2_b1)],
)
def test_timms_names_give_what_the_published_ones_give(name, encoder, timm_keys, encoder_weights, tmp_path):
    theirs = encoder_weights(name, encoder)
    names = timm_keys()
    missing = set(names[len(theirs) :])
    # The published networks may lack the last layer, which no encoder takes.
    assert missing <= {"classifier.weight", "classifier.bias", "head.weight", "head.bias"}
    renamed = dict(zip(names, theirs.values(), strict=False))
    encoders = []
    for folder, tensors in (("theirs", theirs), ("timm", renamed)):
        # timm's repositories: the architecture is named, transformers' model type is not.
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text(json.dumps({"architecture": "anything"}))
        save_file(
            {key: value.contiguous() for key, value in tensors.items()},
            tmp_path / folder / "model.safetensors",
        )
        network = create_model(name, pretrained=tmp_path / folder)
        encoders.append(network.get_submodule(encoder).state_dict())
    for key, value in encoders[0].items():
        assert torch.equal(value, encoders[1][key]), key


def test_each_of_two_encoders_takes_its_own_weights(encoder_weights, tmp_path, monkeypatch):
    files = {}
    for repository, encoder in zip(REPOSITORIES["icifnet"], ("resnet", "transformer"), strict=True):
        files[repository] = encoder_weights("icifnet", encoder)
    asked = []

    def read(source: str) -> dict[str, Tensor]:
        asked.append(source)
        return files[source]

    monkeypatch.setattr("euromine.modeling.pretrained.is_encoder", lambda source: True)
    monkeypatch.setattr("euromine.modeling.pretrained.read_encoder", read)
    network = create_model("icifnet", pretrained=True)
    assert asked == list(REPOSITORIES["icifnet"])
    assert torch.equal(network.resnet.layer1[0].conv1.weight, files[asked[0]]["layer1.0.conv1.weight"])
    assert torch.equal(network.transformer.block1[0].attn.q.weight, files[asked[1]]["block1.0.attn.q.weight"])


def test_the_networks_say_where_their_weights_are():
    with torch.device("meta"):
        networks = {name: create_model(name) for name in CHANGE_DETECTORS}
    found = {name: network.checkpoints for name, network in networks.items() if network.checkpoints}
    assert found == REPOSITORIES
    assert all(
        isinstance(network, PretrainedEncoderModel) == (name in REPOSITORIES)
        for name, network in networks.items()
    )


@pytest.mark.parametrize(
    ("name", "tensors", "said"),
    [
        (
            "bit",
            {"features.0.0.weight": torch.zeros(32, 3, 3, 3)},
            "expected a ResNet-18 as this network's encoder",
        ),
        ("cgnet", {"features.0.weight": torch.zeros(64, 3, 3, 3)}, "found a VGG16 without batch norm"),
        (
            "a2net",
            {"features.0.0.weight": torch.zeros(32, 3, 3, 3)},
            "expected a MobileNetV2 as this network's",
        ),
        ("icifnet", {"features.0.weight": torch.zeros(1)}, "expected ResNet-18 or PVTv2-B1"),
    ],
)
def test_weights_of_another_encoder_are_refused(name, tensors, said, tmp_path):
    torch.save(tensors, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=rf"weights\.pth: .*{re.escape(said)}"):
        create_model(name, pretrained=tmp_path / "weights.pth")


def test_red_green_and_blue_need_a_rule_for_other_bands(encoder_weights, tmp_path):
    torch.save(encoder_weights("bit", "backbone"), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights\.pth: found weights for other bands, with stem_init None"):
        create_model("bit", pretrained=tmp_path / "weights.pth", stem_init=None)
