import json
import re
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn

from euromine.modeling import pretrained
from euromine.modeling.auto import create_model
from euromine.modeling.bands import BANDS
from euromine.modeling.layers import BatchNorm2d
from euromine.modeling.pretrained import load_encoder, read_encoder
from euromine.modeling.resnet import BasicBlock, Bottleneck, ResNet, resnet_weights

# torchvision's ResNets without their last layer of 1000 classes.
PARAMETERS = {18: 11_176_512, 34: 21_284_672, 50: 23_508_032, 101: 42_500_160}


def scrambled(module: nn.Module) -> nn.Module:
    """The module in evaluation, with batch norms that do something."""
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point() and tensor.ndim < 2:
            tensor.uniform_(-1, 1)
    return module.eval()


def from_transformers(state_dict):
    """The tensors of transformers' ResNet under torchvision's names."""
    renamed = {}
    for name, tensor in state_dict.items():
        for pattern, replacement in (
            (r"^embedder\.embedder\.convolution", "conv1"),
            (r"^embedder\.embedder\.normalization", "bn1"),
            (r"^encoder\.stages\.(\d)\.layers\.", lambda match: f"layer{int(match[1]) + 1}."),
            (r"layer\.(\d)\.convolution", lambda match: f"conv{int(match[1]) + 1}"),
            (r"layer\.(\d)\.normalization", lambda match: f"bn{int(match[1]) + 1}"),
            (r"shortcut\.convolution", "downsample.0"),
            (r"shortcut\.normalization", "downsample.1"),
        ):
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


@pytest.mark.parametrize("depth", PARAMETERS)
def test_the_parameters_are_as_many_as_in_torchvision(depth):
    with torch.device("meta"):
        trunk = ResNet(3, depth)
    assert sum(parameter.numel() for parameter in trunk.parameters()) == PARAMETERS[depth]


@pytest.mark.parametrize(("depth", "kind", "expansion"), [(18, "basic", 1), (50, "bottleneck", 4)])
def test_the_maps_are_those_of_the_resnet_in_transformers(depth, kind, expansion):
    torch.manual_seed(0)
    other = transformers.ResNetModel(
        transformers.ResNetConfig(
            num_channels=5,
            embedding_size=8,
            hidden_sizes=[expansion * 8 * 2**stage for stage in range(4)],
            depths=[2, 2, 2, 2] if depth == 18 else [3, 4, 6, 3],
            layer_type=kind,
        )
    )
    scrambled(other)
    trunk = ResNet(5, depth, width=8).eval()
    trunk.load_state_dict(from_transformers(other.state_dict()), strict=True)
    images = torch.randn(2, 5, 45, 64)
    with torch.no_grad():
        expected = other(images, output_hidden_states=True).hidden_states[1:]
        stem, *maps = trunk(images)
    assert stem.shape == (2, 8, 23, 32)
    for ours, theirs in zip(maps, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max().item())


# Means of the published networks' maps of the first date (parity trace, probe in3_64_fanin).
@pytest.mark.parametrize(
    ("name", "rules", "arguments", "means"),
    [
        (
            "bit",
            ((r"^resnet\.", ""),),
            {"depth": 18, "strides": (1, 2, 1), "dilations": (1, 1, 1)},
            {2: 8.086541601346937, 3: 17.952003872734338},
        ),
        (
            "dtcdscn",
            ((r"^firstconv\.", "conv1."), (r"^firstbn\.", "bn1."), (r"^encoder", "layer")),
            {"depth": 34, "squeeze_excitation": True},
            {1: 2.5902759377904614, 2: 4.182009966679159, 4: 13.918657452569736},
        ),
    ],
)
def test_a_trunk_cut_short_or_with_excitation_is_the_published(
    name, rules, arguments, means, published_network
):
    published = published_network(name)
    trunk = ResNet(3, **arguments).eval()
    expected = trunk.state_dict().keys()
    state_dict = {}
    for key, tensor in published.state_dict("in3_64_fanin").items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        state_dict[key] = tensor
    trunk.load_state_dict({key: state_dict[key] for key in expected})
    with torch.no_grad():
        maps = trunk(published.pixel_values("in3_64_fanin")[:, 0])
    for stage, mean in means.items():
        assert maps[stage].double().mean().item() == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize(
    ("strides", "dilations", "sides"),
    [
        ((1, 2, 2, 2), (1, 1, 1, 1), (32, 16, 8, 4, 2)),
        ((1, 2, 2, 1), (1, 1, 1, 2), (32, 16, 8, 4, 4)),
        ((1, 2, 1, 1), (1, 1, 2, 4), (32, 16, 8, 8, 8)),
        ((1, 2, 2), (1, 1, 1), (32, 16, 8, 4)),
        ((1,), (1,), (32, 16)),
    ],
)
@pytest.mark.parametrize("depth", [18, 50])
def test_strides_and_dilations_say_which_maps_there_are(depth, strides, dilations, sides):
    with torch.device("meta"):
        trunk = ResNet(3, depth, strides=strides, dilations=dilations)
        maps = trunk(torch.zeros(1, 3, 64, 64))
    assert [tuple(each.shape[1:]) for each in maps] == [
        (width, side, side) for width, side in zip(trunk.widths, sides, strict=True)
    ]


def test_multi_grid_widens_the_last_stage_alone():
    with torch.device("meta"):
        trunk = ResNet(3, 101, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), multi_grid=(1, 2, 4))
    dilations = [
        [block.conv2.dilation[0] for block in getattr(trunk, f"layer{stage}")] for stage in (1, 2, 3, 4)
    ]
    assert dilations == [[1] * 3, [1] * 4, [1] * 23, [2, 4, 8]]


def test_a_deep_stem_is_three_convolutions_to_twice_the_width():
    trunk = ResNet(7, 50, strides=(1,), dilations=(1,), width=8, deep_stem=True)
    convolutions = [module for module in trunk.conv1 if isinstance(module, nn.Conv2d)]
    assert [(each.in_channels, each.out_channels, each.stride[0]) for each in convolutions] == [
        (7, 8, 2),
        (8, 8, 1),
        (8, 16, 1),
    ]
    assert trunk.widths == [16, 32]
    assert trunk(torch.randn(2, 7, 20, 24))[0].shape == (2, 16, 10, 12)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"depth": 42}, "18, 34, 50, 101"),
        ({"strides": (1, 2), "dilations": (1,)}, "one of each"),
        ({"strides": (), "dilations": ()}, "1 to 4 stages"),
        ({"strides": (1, 2, 2, 2, 2), "dilations": (1,) * 5}, "1 to 4 stages"),
        ({"multi_grid": ()}, "multi_grid"),
    ],
)
def test_a_trunk_that_cannot_be_is_refused(arguments, said):
    with torch.device("meta"), pytest.raises(ValueError, match=re.escape(said)):
        ResNet(3, **arguments)


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_block_leaves_its_input_as_it_is(block):
    features = torch.randn(1, 4 * block.expansion, 6, 6)
    before = features.clone()
    block(features.shape[1], 4)(features)
    assert torch.equal(features, before)


def test_a_batch_norm_with_one_value_a_channel_trains_with_its_running_statistics():
    norm = BatchNorm2d(3).train()
    norm.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    norm.running_var.fill_(4.0)
    features = torch.tensor([5.0, 6.0, 7.0]).reshape(1, 3, 1, 1).requires_grad_()
    normalised = norm(features)
    torch.testing.assert_close(normalised.flatten(), torch.tensor([2.0, 2.0, 2.0]))
    normalised.sum().backward()
    torch.testing.assert_close(features.grad.flatten(), torch.full((3,), 0.5))
    assert norm.running_mean.tolist() == [1, 2, 3]
    assert norm.num_batches_tracked == 0


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_a_batch_that_is_seen_again_for_the_backward_pass_is_counted_once(use_reentrant):
    plain, norm = nn.BatchNorm2d(3).train(), BatchNorm2d(3).train()
    features = (3 * torch.randn(4, 3, 5, 5) + 1).requires_grad_()
    repeated = features.detach().clone().requires_grad_()
    weights = torch.randn(4, 3, 5, 5)
    (plain(features) * weights).sum().backward()
    again = torch.utils.checkpoint.checkpoint(norm, repeated, use_reentrant=use_reentrant)
    (again * weights).sum().backward()
    torch.testing.assert_close(repeated.grad, features.grad, rtol=0, atol=0)
    for name, expected in plain.state_dict().items():
        assert torch.equal(norm.state_dict()[name], expected), name


def test_the_batch_norm_compiles_without_a_break_of_the_graph():
    norm = BatchNorm2d(3).train()
    plain = nn.BatchNorm2d(3).train()
    features = torch.randn(2, 3, 4, 4)
    compiled = torch.compile(norm, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(features), plain(features))
    assert norm.num_batches_tracked == 1


# Weights of the Hub, made on the spot: random numbers under torchvision's names, as wide as they are.
SENTINEL_2 = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]


def hub_weights(depth: int, channels: int = 3, **settings) -> dict[str, Tensor]:
    """A state dict with a last layer, and without the counters that old checkpoints lack."""
    torch.manual_seed(depth)
    tensors = scrambled(ResNet(channels, depth, **settings)).state_dict()
    tensors["fc.weight"] = torch.randn(1000, 8)
    tensors["fc.bias"] = torch.randn(1000)
    return {key: tensor for key, tensor in tensors.items() if not key.endswith("num_batches_tracked")}


@pytest.mark.parametrize(
    ("bands", "rule", "channels", "scale"),
    [
        # A picture in the bands of red, green and blue is seen as before, up to the scale 3 / n.
        (BANDS, "semantic", {"B04": 0, "B03": 1, "B02": 2}, 0.3),
        (("B08", "B02", "B03", "B04"), "semantic", {"B04": 0, "B03": 1, "B02": 2}, 0.75),
        (BANDS, "cyclic", {"B02": 0, "B03": 1, "B04": 2}, 0.3),
        (("B04", "B03", "B02"), "semantic", {"B04": 0, "B03": 1, "B02": 2}, 1.0),
    ],
)
@pytest.mark.parametrize("deep_stem", [False, True])
def test_a_picture_in_red_green_and_blue_is_seen_as_before(deep_stem, bands, rule, channels, scale):
    state_dict = hub_weights(18, width=8, deep_stem=deep_stem)
    trunk = ResNet(len(bands), 18, width=8, deep_stem=deep_stem, strides=(1, 2), dilations=(1, 1))
    load_encoder(trunk, resnet_weights(trunk), state_dict, bands, rule)
    picture = torch.randn(1, 3, 32, 32)
    images = torch.zeros(1, len(bands), 32, 32)
    for band, channel in channels.items():
        images[:, bands.index(band)] = picture[:, channel]
    first, weight = (
        (trunk.conv1[0], state_dict["conv1.0.weight"])
        if deep_stem
        else (trunk.conv1, state_dict["conv1.weight"])
    )
    expected = scale * nn.functional.conv2d(picture, weight, stride=first.stride, padding=first.padding)
    torch.testing.assert_close(first(images), expected, rtol=1e-4, atol=1e-5)
    for key, tensor in trunk.state_dict().items():
        if not key.endswith("num_batches_tracked") and key not in ("conv1.weight", "conv1.0.weight"):
            assert torch.equal(tensor, state_dict[key]), key


def test_the_random_rule_keeps_the_first_layer_as_it_started():
    trunk = ResNet(10, 18, width=8)
    before = trunk.conv1.weight.detach().clone()
    load_encoder(trunk, resnet_weights(trunk), hub_weights(18, width=8), BANDS, "random")
    assert torch.equal(trunk.conv1.weight, before)


@pytest.mark.parametrize("bands", [BANDS, ("B12", "B01", "B8A")])
def test_of_thirteen_bands_those_of_the_network_are_taken(bands):
    state_dict = hub_weights(50, channels=13, width=8)
    trunk = ResNet(len(bands), 50, width=8)
    load_encoder(trunk, resnet_weights(trunk), state_dict, bands, None)
    for channel, band in enumerate(bands):
        theirs = state_dict["conv1.weight"][:, SENTINEL_2.index(band)]
        assert torch.equal(trunk.conv1.weight[:, channel], theirs)


@pytest.mark.parametrize(
    ("weights", "trunk", "bands", "rule", "said"),
    [
        ({"depth": 34}, {"depth": 18}, BANDS, "semantic", "ResNet-18"),
        ({"depth": 18}, {"depth": 34}, BANDS, "semantic", "ResNet-34"),
        ({"depth": 18, "width": 4}, {"depth": 18}, BANDS, "semantic", "another shape"),
        ({"depth": 18}, {"depth": 18, "deep_stem": True}, BANDS, "semantic", "deep_stem=False"),
        ({"depth": 18, "deep_stem": True}, {"depth": 18}, BANDS, "semantic", "deep_stem=True"),
        ({"depth": 18}, {"depth": 18}, BANDS, None, "semantic, cyclic, random"),
        ({"depth": 18}, {"depth": 18}, BANDS, "nearest", "nearest"),
        ({"depth": 18, "channels": 5}, {"depth": 18}, BANDS, "cyclic", "3, height"),
        ({"depth": 18, "channels": 13}, {"depth": 18}, (*BANDS[:9], "VV"), "cyclic", "VV"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_change_nothing(weights, trunk, bands, rule, said):
    trunk = ResNet(len(bands), **{"width": 8, **trunk})
    before = {key: tensor.clone() for key, tensor in trunk.state_dict().items()}
    with pytest.raises(ValueError, match=re.escape(said)):
        load_encoder(trunk, resnet_weights(trunk), hub_weights(**{"width": 8, **weights}), bands, rule)
    assert all(torch.equal(tensor, before[key]) for key, tensor in trunk.state_dict().items())


SMALL = {
    "deeplabv3plus-resnet101": {"depth": 50, "width": 8, "hidden_size": 8, "low_level_size": 4},
    "linknet": {"width": 8},
    "pspnet": {"depth": 50, "width": 8, "hidden_size": 8},
}


@pytest.mark.parametrize("kind", ["safetensors", "torch", "folder"])
@pytest.mark.parametrize("name", SMALL)
def test_a_network_starts_from_an_encoder(name, kind, tmp_path):
    depth = SMALL[name].get("depth", 18)
    state_dict = hub_weights(depth, width=8, deep_stem=name == "pspnet")
    if kind == "torch":
        source = tmp_path / "resnet.pth"
        torch.save(state_dict, source)
    else:
        # timm's repositories: the architecture is named, transformers' model type is not.
        (tmp_path / "config.json").write_text(json.dumps({"architecture": f"resnet{depth}"}))
        save_file(state_dict, tmp_path / "model.safetensors")
        source = tmp_path if kind == "folder" else tmp_path / "model.safetensors"
    network = create_model(name, pretrained=source, stem_init="cyclic", **SMALL[name])
    assert network.training
    assert network.config.stem_init == "cyclic"
    for key in ("layer1.0.conv1.weight", "layer4.1.bn2.running_var"):
        assert torch.equal(network.encoder.state_dict()[key], state_dict[key])


def test_a_network_starts_from_the_weights_of_ssl4eo(monkeypatch, tmp_path):
    state_dict = hub_weights(50, channels=13, width=8)
    torch.save(state_dict, tmp_path / "resnet50_sentinel2_all_moco-df8b932e.pth")
    asked = []

    def hf_hub_download(repository: str, file: str) -> str:
        asked.append(repository)
        return str(tmp_path / file)

    monkeypatch.setattr(pretrained, "hf_hub_download", hf_hub_download)
    fields = {**SMALL["pspnet"], "deep_stem": False}
    network = create_model("pspnet", pretrained="ssl4eo-resnet50-moco", **fields)
    assert asked == ["torchgeo/resnet50_sentinel2_all_moco"]
    assert torch.equal(network.encoder.conv1.weight[:, 0], state_dict["conv1.weight"][:, 1])


@pytest.mark.parametrize(
    ("name", "fields", "repository"),
    [
        ("deeplabv3plus-resnet101", {}, "timm/resnet101.tv_in1k"),
        ("deeplabv3plus-resnet101", {"depth": 50}, "timm/resnet50.tv_in1k"),
        ("pspnet", {}, "timm/resnet101s.gluon_in1k"),
        ("pspnet", {"depth": 50, "deep_stem": False}, "timm/resnet50.tv_in1k"),
        ("pspnet", {"depth": 18}, None),
        ("linknet", {}, "timm/resnet18.tv_in1k"),
    ],
)
def test_the_encoder_says_where_its_weights_are(name, fields, repository):
    with torch.device("meta"):
        assert create_model(name, **fields).checkpoints == ((repository,) if repository else ())


def test_a_checkpoint_of_the_network_itself_is_one_to_start_from(tmp_path):
    network = create_model("linknet", width=8)
    network.save_pretrained(tmp_path)
    again = create_model("linknet", width=8, pretrained=tmp_path)
    assert torch.equal(again.head[2].weight, network.head[2].weight)


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def test_what_holds_no_weights_is_refused(tmp_path):
    for name in ("broken.safetensors", "broken.pth"):
        with pytest.raises(ValueError, match=f"{name}: found no readable tensors"):
            read_encoder(write(tmp_path / name, b"no weights"))
    torch.save({"state_dict": {}}, tmp_path / "nested.pth")
    with pytest.raises(ValueError, match=r"nested\.pth: found objects other than tensors"):
        read_encoder(str(tmp_path / "nested.pth"))
    with pytest.raises(OSError, match=r"nowhere', which is no folder or file"):
        read_encoder(str(tmp_path / "nowhere"))


def test_code_in_a_file_of_weights_is_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "run",))

    torch.save({"conv1.weight": Payload()}, tmp_path / "payload.pth")
    with pytest.raises(ValueError, match="found no readable tensors"):
        read_encoder(str(tmp_path / "payload.pth"))
    assert not (tmp_path / "run").exists()
