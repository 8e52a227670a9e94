"""What every network written here must do. A new one needs no line: `list_models` names it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForSemanticSegmentation

from euromine.modeling.auto import (
    CHANGE_DETECTORS,
    SEGMENTERS,
    AutoModelForChangeDetection,
    create_model,
    list_models,
)
from euromine.modeling.base import MultispectralModel
from euromine.modeling.change_detection import ChangeDetector
from euromine.modeling.segmentation import Segmenter

# transformers' own networks have tests of their own.
NAMES = [
    name
    for name in list_models()
    if name in CHANGE_DETECTORS or (name in SEGMENTERS and issubclass(SEGMENTERS[name], Segmenter))
]


@pytest.fixture(scope="module", params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(name) -> MultispectralModel:
    """The network with fresh weights and ten bands; whoever trains it leaves its batch norms moved."""
    torch.manual_seed(0)
    return create_model(name, **auxiliary(name))


@pytest.fixture(scope="module")
def saved(network) -> Iterator[Path]:
    """The network's checkpoint, removed when the next network's turn comes."""
    with tempfile.TemporaryDirectory() as folder:
        network.save_pretrained(folder)
        yield Path(folder)


@pytest.fixture(scope="module")
def load_without_the_package(tmp_path_factory) -> Iterator[Callable[[Path, Tensor], Tensor]]:
    """A function from a checkpoint and an input to the logits that a process without the package gets."""
    folder = tmp_path_factory.mktemp("without_the_package")
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("remote_loader.py"))],
        cwd=folder,
        env={**os.environ, "HF_MODULES_CACHE": str(folder / "modules"), "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def load(checkpoint: Path, pixel_values: Tensor) -> Tensor:
        np.save(checkpoint / "pixel_values.npy", pixel_values.numpy())
        process.stdin.write(f"{checkpoint}\n")
        process.stdin.flush()
        # transformers may speak as well.
        answer = next(line for line in process.stdout if line.startswith("answer "))
        assert answer.strip() == "answer done", answer
        return torch.from_numpy(np.load(checkpoint / "logits.npy"))

    yield load
    process.stdin.close()
    process.wait(timeout=60)


def auxiliary(name: str) -> dict[str, float]:
    """Settings that put a network's auxiliary maps, if it has any, into the loss."""
    return {"auxiliary_loss_weight": 0.5} if name in CHANGE_DETECTORS else {}


def random_images(network: MultispectralModel, height: int, width: int, batch: int = 1) -> Tensor:
    """Input of a network: (batch, 2, channels, height, width) for a change detector, else without the 2."""
    dates = (2,) if isinstance(network, ChangeDetector) else ()
    generator = torch.Generator().manual_seed(height * width)
    return torch.randn(batch, *dates, network.config.num_channels, height, width, generator=generator)


def random_labels(height: int, width: int, batch: int = 1) -> Tensor:
    """Labels 0, 1 and 255."""
    generator = torch.Generator().manual_seed(7)
    labels = torch.randint(0, 3, (batch, height, width), generator=generator)
    return torch.where(labels == 2, 255, labels)


def test_a_batch_of_one_trains_every_parameter(network):
    """An odd rectangle too: a batch norm over a pooled map of one value must not stop it."""
    network.train().zero_grad()
    output = network(random_images(network, 33, 47), labels=random_labels(33, 47))
    assert output.logits.shape == (1, 2, 33, 47)
    output.loss.backward()
    assert output.loss.isfinite()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, f"{key} is not reached"
        assert parameter.grad.isfinite().all(), key
    assert any(parameter.grad.abs().max() > 0 for parameter in network.parameters())


def test_an_entirely_ignored_batch_gives_no_loss_and_no_gradient(network):
    network.train().zero_grad()
    loss = network(random_images(network, 32, 32), labels=torch.full((1, 32, 32), 255)).loss
    loss.backward()
    assert loss.item() == 0
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients
    assert all(not gradient.any() for gradient in gradients)


@pytest.mark.parametrize(
    ("num_channels", "height", "width"), [(1, 32, 32), (3, 33, 47), (10, 160, 161), (13, 250, 96)]
)
def test_any_number_of_bands_and_any_size_is_taken(name, num_channels, height, width):
    with torch.device("meta"):
        network = create_model(name, num_channels=num_channels, **auxiliary(name)).eval()
    with torch.no_grad():
        output = network(random_images(network, height, width, batch=2).to("meta"))
    for logits in (output.logits, *(getattr(output, "auxiliary_logits", None) or ())):
        assert logits.shape == (2, 2, height, width)


def test_images_of_a_batch_do_not_see_each_other_and_are_left_as_they_are(network):
    network.eval()
    pixel_values = random_images(network, 32, 48, batch=2)
    before = pixel_values.clone()
    with torch.no_grad():
        together = network(pixel_values).logits
        alone = network(pixel_values[1:]).logits
    assert torch.equal(pixel_values, before)
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-4 * alone.abs().max().item())


def test_a_checkpoint_is_loaded_by_the_auto_classes_bit_for_bit(name, network, saved):
    network.eval()
    pixel_values = random_images(network, 33, 47)
    of_task = AutoModelForSemanticSegmentation if name in SEGMENTERS else AutoModelForChangeDetection
    with torch.no_grad():
        expected = network(pixel_values).logits
    for auto_class in (AutoModel, of_task):
        loaded = auto_class.from_pretrained(saved)
        assert type(loaded) is type(network)
        assert not loaded.training
        assert {**loaded.config.to_dict(), "_name_or_path": ""} == network.config.to_dict()
        tensors = loaded.state_dict()
        assert list(tensors) == list(network.state_dict())
        assert all(torch.equal(tensors[key], value) for key, value in network.state_dict().items())
    # Buffers outside the state dict count as well; where the weights lie in memory changes the rounding.
    with torch.no_grad():
        logits = loaded(pixel_values).logits
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    assert AutoConfig.from_pretrained(saved).model_type == f"euromine_{name}"


def test_a_checkpoint_gives_the_same_logits_where_the_package_is_not_installed(
    network, saved, load_without_the_package
):
    network.eval()
    pixel_values = random_images(network, 33, 47)
    with torch.no_grad():
        expected = network(pixel_values).logits
    logits = load_without_the_package(saved, pixel_values)
    # Another process may run with another number of threads.
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_bfloat16_autocast_trains(network):
    network.train().zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network(random_images(network, 32, 32), labels=random_labels(32, 32)).loss
    loss.backward()
    assert loss.isfinite()


def test_an_exported_program_gives_the_same_logits(network):
    network.eval()
    pixel_values = random_images(network, 32, 48)
    with torch.no_grad():
        program = torch.export.export(network, (pixel_values,), strict=False)
        exported = program.module()(pixel_values).logits
        expected = network(pixel_values).logits
    torch.testing.assert_close(exported, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_tinycd_compiles_without_a_break_of_the_graph():
    """The others' compilation takes seconds each and is left to the benchmark of the networks."""
    network = create_model("tinycd").train()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    compiled(random_images(network, 32, 32), labels=random_labels(32, 32)).loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
