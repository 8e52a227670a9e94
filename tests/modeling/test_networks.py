"""What every network must do. A new one needs no line here: `list_models` names it."""

import copy
import json
import re
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
import torch.fx.config
import transformers
from accelerate import cpu_offload
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.onnx._internal.exporter._registration import ONNXRegistry
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSemanticSegmentation,
    PreTrainedConfig,
    PreTrainedModel,
)

from euromine.modeling.auto import (
    CHANGE_DETECTORS,
    SERIES,
    AutoModelForChangeDetection,
    AutoModelForSeries,
    create_model,
    list_models,
)
from euromine.modeling.component_segmenter import ComponentSegmenter
from euromine.modeling.native import NATIVE_SEGMENTERS
from euromine.modeling.series_model import SeriesModel

# Settings that make the largest networks small; their layers are of the same kinds, in the same order.
SMALL = json.loads(Path(__file__).with_name("small_networks.json").read_text())
# SegFormers B1 to B5 are B0 with other numbers of layers and channels, and as small the same network; so are
# the series networks with other encoders (test_series_network.py).
NAMES = [
    *(name for name in list_models() if not re.fullmatch(r"segformer-b[1-5]|euromine-series-(?!b0).*", name)),
    "components",
]
# A footprint mapper with the classes of two groups; test_component_segmenter.py wraps the others.
COMPONENTS = ("segformer-b0", {"deposits": ["dumping_ground"], "total": ["any component"]})
# Networks whose logits are coarser than the image.
OWN_RESOLUTION = {*NATIVE_SEGMENTERS, "mask2former-swin-base"}

# Networks that compile to one graph without a loss only, and why.
NO_GRAPH_OF_THE_LOSS = {
    "mask2former-swin-base": "SciPy assigns queries to masks, and how many masks there are is in the data",
}
# Networks whose loss is no sum over pixels, and so not over the parts of a batch: over matched queries, or
# with a Dice loss.
NO_SUM_OF_PIXELS = {"mask2former-swin-base", *list_models(SERIES)}
# Networks whose blocks may be computed again in the backward pass instead of being kept.
CHECKPOINTING = {
    *("bit", "changeformer", "dminet", "dtcdscn", "icifnet", "tfi-gr"),
    *("deeplabv3plus-resnet101", "linknet", "pspnet", "sqnet", "unet"),
    *("deeplabv3-mobilevitv2", "segformer-b0", "upernet-swin-base"),
    "euromine-series-b0",
    "components",
}


@pytest.fixture(scope="module", autouse=True)
def _without_stack_traces() -> Iterator[None]:
    """Programs are the same without the lines of source behind each operation, and exported sooner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.fx.config, "do_not_emit_stack_traces", True)
        yield


@pytest.fixture(scope="module", autouse=True)
def _one_registry() -> Iterator[None]:
    """The exporter collects ONNX's version of each operation again for every program, in half a second.

    The class is private, as `torch.onnx.export` makes the registry itself and takes none (torch 2.13).
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(lru_cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture(scope="module", params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(name, fill_with_signal) -> PreTrainedModel:
    """The network with weights that let a signal through and ten bands; training moves its batch norms."""
    torch.manual_seed(0)
    if name == "components":
        mapper, groups = COMPONENTS
        network = create_model(mapper, label_groups=groups, **SMALL[mapper])
    else:
        network = create_model(name, **SMALL.get(name, {}), **auxiliary(name))
    fill_with_signal(network)
    return network


@pytest.fixture(scope="module")
def saved(network) -> Iterator[Path]:
    """The network's checkpoint, removed when the next network's turn comes."""
    with tempfile.TemporaryDirectory() as folder:
        network.save_pretrained(folder)
        yield Path(folder)


def auxiliary(name: str) -> dict[str, float]:
    """Settings that put a network's auxiliary maps, if it has any, into the loss."""
    return {"auxiliary_loss_weight": 0.5} if name in CHANGE_DETECTORS else {}


def dates_of(network: PreTrainedModel) -> tuple[int, ...]:
    """The dimension of dates in a network's input: (2,) for a change detector, (3,) for a series, else ()."""
    if isinstance(network, SeriesModel):
        return (3,)
    return (2,) if isinstance(network, tuple(CHANGE_DETECTORS.values())) else ()


def of_years(network: PreTrainedModel) -> tuple[int, ...]:
    """The dimension of years in a network's labels and logits: only a series has one."""
    return dates_of(network) if isinstance(network, SeriesModel) else ()


def maps_of(network: PreTrainedModel) -> tuple[int, ...]:
    """The dimension of maps in a network's labels: years of a series, groups of components, else ()."""
    return (len(network.groups),) if isinstance(network, ComponentSegmenter) else of_years(network)


def random_images(network: PreTrainedModel, height: int, width: int, batch: int = 1) -> Tensor:
    """Input of a network: (batch, dates, channels, height, width), a footprint mapper's without dates."""
    dates = dates_of(network)
    generator = torch.Generator().manual_seed(height * width)
    return torch.randn(batch, *dates, network.config.num_channels, height, width, generator=generator)


def random_labels(network: PreTrainedModel, height: int, width: int, batch: int = 1) -> Tensor:
    """Labels 0, 1 and 255: one map of an input, or one of each year of a series."""
    generator = torch.Generator().manual_seed(7)
    labels = torch.randint(0, 3, (batch, *maps_of(network), height, width), generator=generator)
    return torch.where(labels == 2, 255, labels)


def test_a_batch_of_one_trains_every_parameter(name, network):
    """An odd rectangle too: a batch norm over a pooled map of one value must not stop it."""
    network.train().zero_grad()
    output = network(random_images(network, 33, 47), labels=random_labels(network, 33, 47))
    assert output.logits.shape[:-2] == (1, *of_years(network), 4 if name == "components" else 2)
    assert output.logits.shape[-2:] == (33, 47) or name in OWN_RESOLUTION
    output.loss.backward()
    assert output.loss.isfinite()
    # Transformers' own layers that reach no output are frozen.
    trained = {key: each for key, each in network.named_parameters() if each.requires_grad}
    assert len(trained) == len(list(network.parameters())) or name in OWN_RESOLUTION
    for key, parameter in trained.items():
        assert parameter.grad is not None, f"{key} is not reached"
        assert parameter.grad.isfinite().all(), key
    assert any(parameter.grad.abs().max() > 0 for parameter in trained.values())


def test_an_entirely_ignored_batch_gives_no_loss_and_no_gradient(network):
    network.train().zero_grad()
    labels = torch.full((1, *maps_of(network), 32, 32), 255)
    loss = network(random_images(network, 32, 32), labels=labels).loss
    loss.backward()
    assert loss.item() == 0
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients
    assert all(not gradient.any() for gradient in gradients)


@pytest.mark.parametrize(
    ("num_channels", "height", "width"), [(1, 32, 32), (3, 33, 47), (10, 160, 161), (13, 250, 96)]
)
# Mask2Former's reference points are made on the CPU; its own tests build it small.
@pytest.mark.parametrize(
    "architecture", [*sorted({*NAMES} - {"mask2former-swin-base", "components"}), "segformer-b5"]
)
def test_any_number_of_bands_and_any_size_is_taken(architecture, num_channels, height, width):
    """At the published size, without its weights."""
    with torch.device("meta"):
        network = create_model(architecture, num_channels=num_channels, **auxiliary(architecture)).eval()
    with torch.no_grad():
        output = network(random_images(network, height, width, batch=2).to("meta"))
    for logits in (output.logits, *(getattr(output, "auxiliary_logits", None) or ())):
        assert logits.shape[:-2] == (2, *of_years(network), 2)
        assert logits.shape[-2:] == (height, width) or architecture in {*OWN_RESOLUTION, *NATIVE_SEGMENTERS}


def test_images_of_a_batch_do_not_see_each_other_and_are_left_as_they_are(network):
    network.eval()
    pixel_values = random_images(network, 32, 48, batch=2)
    before = pixel_values.clone()
    with torch.no_grad():
        together = network(pixel_values).logits
        alone = network(pixel_values[1:]).logits
    assert torch.equal(pixel_values, before)
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-4 * alone.abs().max().item())


def settings(config: PreTrainedConfig) -> dict[str, Any]:
    """What a configuration says, its backbone's included, but for where it came from and in which type."""
    own = {key: value for key, value in config.to_dict().items() if key not in ("_name_or_path", "dtype")}
    backbone = getattr(config, "backbone_config", None)
    return {**own, "backbone_config": settings(backbone)} if backbone is not None else own


def test_a_checkpoint_is_loaded_by_the_auto_classes_bit_for_bit(name, network, saved):
    network.eval()
    pixel_values = random_images(network, 33, 47)
    is_native = name in NATIVE_SEGMENTERS
    # A checkpoint of a network that transformers has comes back as transformers' own class.
    expected_type = getattr(transformers, type(network).__name__) if is_native else type(network)
    of_task = AutoModelForSemanticSegmentation
    if name in (*CHANGE_DETECTORS, *list_models(SERIES)):
        of_task = AutoModelForChangeDetection if name in CHANGE_DETECTORS else AutoModelForSeries
    with torch.no_grad():
        expected = network(pixel_values).logits
    auto_classes = (of_task,) if is_native else (AutoModel, of_task)
    # Its logits are no single segmentation.
    for auto_class in (AutoModel,) if name == "components" else auto_classes:
        loaded = auto_class.from_pretrained(saved)
        assert type(loaded) is expected_type
        assert not loaded.training
        assert settings(loaded.config) == settings(network.config)
        tensors = loaded.state_dict()
        assert list(tensors) == list(network.state_dict())
        assert all(torch.equal(tensors[key], value) for key, value in network.state_dict().items())
    # Buffers outside the state dict count as well; where the weights lie in memory changes the rounding.
    again = type(network).from_pretrained(saved)
    with torch.no_grad():
        logits = again(pixel_values).logits
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    stored = AutoConfig.from_pretrained(saved).model_type
    own_type = "euromine_series" if name == "euromine-series-b0" else f"euromine_{name}"
    assert stored == (type(network).config_class.model_type if is_native else own_type)


def test_a_checkpoint_gives_the_same_logits_where_the_package_is_not_installed(
    network, saved, load_without_the_package
):
    network.eval()
    # Nothing to pad: that is what the package adds to transformers' own classes.
    pixel_values = random_images(network, 64, 96)
    with torch.no_grad():
        expected = network(pixel_values).logits
    logits = load_without_the_package(saved, pixel_values)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_bfloat16_autocast_trains(network):
    network.train().zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network(random_images(network, 32, 32), labels=random_labels(network, 32, 32)).loss
    loss.backward()
    assert loss.isfinite()


@pytest.fixture(scope="module")
def pixel_values(network) -> Tensor:
    return random_images(network, 32, 64, batch=2)


@pytest.fixture(scope="module")
def program(network, pixel_values) -> ExportedProgram:
    with torch.no_grad():
        return torch.export.export(network.eval(), (pixel_values,), strict=False)


@torch.no_grad()
def test_an_exported_program_gives_the_same_logits(network, pixel_values, program):
    expected = network.eval()(pixel_values).logits
    exported = program.module()(pixel_values).logits
    torch.testing.assert_close(exported, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def onnx_logits(program: ExportedProgram, pixel_values: Tensor, *, optimize: bool) -> Tensor:
    """ONNX Runtime's logits for an exported program; optimising it takes a third of the time."""
    exported = torch.onnx.export(program, dynamo=True, verbose=False, optimize=optimize)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(exported.model_proto.SerializeToString(), options)
    logits = session.run(None, {session.get_inputs()[0].name: pixel_values.numpy()})[0]
    return torch.from_numpy(logits)


@torch.no_grad()
def test_an_onnx_program_gives_the_same_logits(network, pixel_values, program):
    expected = network.eval()(pixel_values).logits
    logits = onnx_logits(program, pixel_values, optimize=False)
    # Other kernels sum in another order, layer upon layer: up to 3e-5 of the largest logit was measured.
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4 * expected.abs().max().item())
    assert expected.std() > 1e-3 * expected.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("architecture", ["segformer-b0", "siamunet-diff", "unet"])
def test_an_exported_program_may_leave_batch_and_sides_open(architecture, fill_with_signal):
    """Sides by multiples of what every network takes without padding, and none reduced to a single value."""
    network = create_model(architecture, **SMALL.get(architecture, {})).eval()
    fill_with_signal(network)
    example, other = random_images(network, 64, 96, batch=2), random_images(network, 96, 64, batch=3)
    sides = {
        example.ndim - 2: 32 * Dim("rows", min=2, max=64),
        example.ndim - 1: 32 * Dim("columns", min=2, max=64),
    }
    shapes = ({0: Dim("batch", max=64), **sides},)
    program = torch.export.export(network, (example,), dynamic_shapes=shapes, strict=False)
    expected = network(other).logits
    atol = 1e-4 * expected.abs().max().item()
    torch.testing.assert_close(program.module()(other).logits, expected, rtol=0, atol=atol)
    torch.testing.assert_close(onnx_logits(program, other, optimize=True), expected, rtol=0, atol=atol)


def test_network_and_loss_compile_to_one_graph(name, network):
    torch._dynamo.reset()
    pixel_values, labels = random_images(network, 64, 64, batch=2), random_labels(network, 64, 64, batch=2)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    if name in NO_GRAPH_OF_THE_LOSS:
        with torch.no_grad():
            expected, logits = (each(pixel_values).logits for each in (network.eval(), compiled))
        torch.testing.assert_close(logits, expected, rtol=0, atol=0)
        queries = {
            "class_queries_logits": torch.randn(2, 5, 3),
            "masks_queries_logits": torch.randn(2, 5, 16, 16),
        }
        with pytest.raises(torch._dynamo.exc.Unsupported):
            torch.compile(network.loss, backend="eager", fullgraph=True)([queries], labels)
        return
    network.train()
    # Batch norms move in both, but look at the batch alone; what is dropped is drawn alike.
    results = []
    for each in (network, compiled):
        network.zero_grad()
        torch.manual_seed(0)
        output = each(pixel_values, labels=labels)
        output.loss.backward()
        gradients = [parameter.grad for parameter in network.parameters() if parameter.requires_grad]
        results.append((output.logits.detach(), output.loss.detach(), *gradients))
    for found, expected in zip(*reversed(results), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7 * expected.abs().max().item())


def test_labels_out_of_range_are_refused_though_a_graph_cannot_look_at_them(network):
    network.train()
    with pytest.raises(ValueError, match=r"labels: found \[7\]; expected 0 to 1 and 255 \(ignored\)"):
        network(random_images(network, 32, 32), labels=torch.full((1, *maps_of(network), 32, 32), 7))


def test_losses_of_the_parts_of_a_batch_add_up_to_that_of_the_whole(name, network):
    """With auxiliary maps, and unequal numbers of known pixels in the parts; no batch norm mixes these."""
    if not hasattr(network.eval(), "ignore_index") or name in NO_SUM_OF_PIXELS:
        assert not network.accepts_loss_kwargs
        return
    images, labels = random_images(network, 32, 32, batch=3), random_labels(network, 32, 32, batch=3)
    labels[0, :25] = labels[1, 3:9] = 255
    # Of components, the mean over each group's pixels.
    known = (labels != 255).sum((0, 2, 3)) if name == "components" else (labels != 255).sum()
    with torch.no_grad():
        whole = network(images, labels=labels).loss
        parts = [
            network(images[part], labels=labels[part], num_items_in_batch=known).loss
            for part in (slice(0, 1), slice(1, 3))
        ]
    torch.testing.assert_close(sum(parts), whole, rtol=1e-5, atol=0)
    assert not network.accepts_loss_kwargs, "transformers' Trainer would count ignored pixels"


def test_a_network_whose_weights_are_offloaded_computes_the_same(network):
    images = random_images(network.eval(), 32, 64)
    offloaded = cpu_offload(copy.deepcopy(network), execution_device=torch.device("cpu"))
    assert all(parameter.is_meta for parameter in offloaded.parameters())
    with torch.no_grad():
        expected, found = network(images).logits, offloaded(images).logits
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
        if images.ndim == 5:
            series = torch.cat((images, images[:, :1] + 0.1), dim=1)
            torch.testing.assert_close(
                offloaded.predict_series(series), network.predict_series(series), rtol=1e-3, atol=1e-4
            )
    assert all(parameter.is_meta for parameter in offloaded.parameters())


def test_gradients_are_the_same_with_checkpoints_or_checkpoints_are_refused(name, network):
    checkpointed = copy.deepcopy(network).train()
    # Newer versions of transformers prefer the longer name.
    enable = getattr(
        checkpointed, "activation_checkpointing_enable", checkpointed.gradient_checkpointing_enable
    )
    if name not in CHECKPOINTING:
        with pytest.raises(ValueError, match=r"does not support|is not compatible with"):
            enable({"use_reentrant": False})
        return
    with pytest.raises(ValueError, match="use_reentrant: found True; expected False"):
        enable({"use_reentrant": True})
    enable({"preserve_rng_state": True})
    plain = copy.deepcopy(network).train()
    pixel_values, labels = random_images(network, 64, 64, batch=2), random_labels(network, 64, 64, batch=2)
    for each in (plain, checkpointed):
        each.zero_grad()
        torch.manual_seed(1)
        each(pixel_values, labels=labels).loss.backward()
    others = dict(checkpointed.named_parameters())
    for key, parameter in plain.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(others[key].grad, parameter.grad, rtol=1e-5, atol=1e-8, msg=key)
    for (key, buffer), other in zip(plain.named_buffers(), checkpointed.buffers(), strict=True):
        assert torch.equal(buffer, other), f"{key} was counted twice"


@pytest.mark.parametrize(
    ("stored", "asked"), [("rdpnet", "fc-ef"), ("fc-ef", "siamunet-diff"), ("sqnet", "unet")]
)
def test_a_checkpoint_of_another_network_is_refused_by_a_networks_own_class(stored, asked, tmp_path):
    """Transformers itself would draw at random whatever it does not find."""
    create_model(stored, **SMALL.get(stored, {})).save_pretrained(tmp_path)
    with torch.device("meta"):
        network_class = type(create_model(asked))
    with pytest.raises(ValueError, match=f"found euromine_{stored}; expected euromine_{asked}"):
        network_class.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"found euromine_{stored}; expected euromine_{asked}"):
        create_model(asked, pretrained=tmp_path)
