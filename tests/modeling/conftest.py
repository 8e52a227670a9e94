"""The published networks as the tests know them: their tensors, fills, inputs and outputs."""

import json
import os
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

PARITY = Path(__file__).parent / "parity"


class PublishedTensor(NamedTuple):
    """One tensor of a published network's state dict."""

    key: str
    shape: tuple[int, ...]
    rule: str
    is_unused: bool

    @property
    def is_parameter(self) -> bool:
        return self.rule in ("normal", "norm_weight")


class PublishedNetwork:
    """What was measured on one published network (parity/<name>.json and .npz, made by parity/compact.py)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.facts: dict[str, Any] = json.loads((PARITY / f"{name}.json").read_text())
        with np.load(PARITY / f"{name}.npz") as outputs:
            self.outputs: dict[str, NDArray[np.float32]] = dict(outputs)
        self._noise: dict[tuple[str, tuple[int, ...]], NDArray[np.float64]] = {}

    def tensors(self, bands: int) -> list[PublishedTensor]:
        """The state dict for 3 or 10 bands, in order."""
        other_shapes = self.facts["ten_band_shapes"] if bands == 10 else {}
        tensors = []
        for line in self.facts["tensors"]:
            key, shape, rule, *unused = line.split()
            shape = other_shapes.get(key, shape)
            sides = () if shape == "scalar" else tuple(map(int, shape.split("x")))
            tensors.append(PublishedTensor(key, sides, rule, bool(unused)))
        return tensors

    def state_dict(self, tag: str) -> dict[str, Tensor]:
        """The published network's tensors as the probe `tag` fills them."""
        probe = self.facts["probes"][tag]
        return {
            tensor.key: self._filled(tensor, probe["factor"], probe["gain"])
            for tensor in self.tensors(probe["bands"])
        }

    def _filled(self, tensor: PublishedTensor, factor: float, gain: float | None) -> Tensor:
        if tensor.rule == "untouched":
            # A batch norm's counter. Constants are left as constructed, which only the network itself
            # knows: a conversion that takes one over is shown up by what is no number.
            is_counter = tensor.key.endswith("num_batches_tracked")
            return torch.zeros((), dtype=torch.int64) if is_counter else torch.full(tensor.shape, torch.nan)
        where = (tensor.key, tensor.shape)
        if where not in self._noise:
            generator = np.random.default_rng(zlib.crc32(tensor.key.encode()))
            self._noise[where] = generator.standard_normal(tensor.shape)
        noise = self._noise[where]
        scale = factor
        if tensor.rule == "normal" and gain is not None and noise.ndim >= 2:
            scale = np.sqrt(gain / np.prod(tensor.shape[1:]))
        if tensor.rule == "norm_weight":
            noise = 1 + scale * noise
        elif tensor.rule == "running_var":
            noise = 1 + scale * np.abs(noise)
        else:
            # Multiplied in float64, then rounded, without a float64 copy of the largest tensors.
            rounded = np.empty(tensor.shape, dtype=np.float32)
            return torch.from_numpy(np.multiply(noise, scale, out=rounded, casting="same_kind"))
        return torch.from_numpy(noise.astype(np.float32))

    def pixel_values(self, tag: str) -> Tensor:
        """The probe's input: (1, 2, bands, size, size) for a change detector, else (1, bands, size, size)."""
        probe = self.facts["probes"][tag]
        shape = (1, probe["bands"], probe["size"], probe["size"])
        dates = [np.random.default_rng(seed).standard_normal(shape).astype(np.float32) for seed in (1, 2)]
        if self.facts["task"] == "segmentation":
            return torch.from_numpy(dates[0])
        return torch.from_numpy(np.stack(dates, axis=1))


@lru_cache(maxsize=1)
def _published_network(name: str) -> PublishedNetwork:
    # One at a time: the largest network's noise alone takes 500 MB.
    return PublishedNetwork(name)


@pytest.fixture
def published_network() -> Callable[[str], PublishedNetwork]:
    """A function from a network's name to what was measured on the published one."""
    return _published_network


@torch.no_grad()
def _fill_with_signal(network: nn.Module) -> None:
    # More than 1 drives AFCF3D's sigmoid to its end.
    gain = 1 if "AFCF3D" in type(network).__name__ else 2
    generator = torch.Generator().manual_seed(0)
    for key, tensor in network.state_dict().items():
        if key.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=generator)
        elif tensor.ndim >= 2:
            tensor.normal_(std=(gain / tensor[0].numel()) ** 0.5, generator=generator)
        elif tensor.is_floating_point() and not tensor.any():
            tensor.normal_(std=0.1, generator=generator)


@pytest.fixture(scope="session")
def fill_with_signal() -> Callable[[nn.Module], None]:
    """A function that draws a network's weights anew.

    Signals reach the end from every depth, batch norms do something, and no scale is zero.
    """
    return _fill_with_signal


@contextmanager
def _program_runner(folder: Path, *options: str, **environment: str) -> Iterator[Callable[..., str]]:
    runner = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("program_runner.py")), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert runner.stdin is not None
    assert runner.stdout is not None

    def run(program: str, *arguments: str | Path, cwd: Path = folder) -> str:
        line = json.dumps([str(cwd), textwrap.dedent(program), *map(str, arguments)])
        runner.stdin.write(f"{line}\n")
        runner.stdin.flush()
        status, output, errors = json.loads(runner.stdout.readline())
        assert status == 0, errors
        return output.strip()

    yield run
    runner.stdin.close()
    runner.wait(timeout=60)


@pytest.fixture(scope="session")
def run_with_torch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """A function from a program and its arguments to what it prints, in a process that has loaded PyTorch."""
    with _program_runner(tmp_path_factory.mktemp("programs")) as run:
        yield run


@pytest.fixture(scope="session")
def run_without_the_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """As `run_with_torch`, but in a process that has loaded transformers and cannot import the package."""
    modules = str(tmp_path_factory.mktemp("modules"))
    folder = tmp_path_factory.mktemp("programs")
    with _program_runner(
        folder, "--without-the-package", HF_MODULES_CACHE=modules, HF_HUB_OFFLINE="1"
    ) as run:
        yield run


LOAD_AND_PREDICT = """
    import sys
    import numpy as np
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForSemanticSegmentation

    assert "euromine" not in sys.modules
    folder = sys.argv[1]
    if getattr(AutoConfig.from_pretrained(folder, trust_remote_code=True), "auto_map", None):
        network = AutoModel.from_pretrained(folder, trust_remote_code=True)
    else:
        # A network that transformers has brings no code along, and is asked for by its task.
        network = AutoModelForSemanticSegmentation.from_pretrained(folder)
    with torch.no_grad():
        logits = network(torch.from_numpy(np.load(f"{folder}/pixel_values.npy"))).logits
    np.save(f"{folder}/logits.npy", logits.numpy())
"""


@pytest.fixture(scope="session")
def load_without_the_package(
    run_without_the_package: Callable[..., str],
) -> Callable[[Path, Tensor], Tensor]:
    """A function from a checkpoint and an input to the logits that a process without the package gets."""

    def load(checkpoint: Path, pixel_values: Tensor) -> Tensor:
        np.save(checkpoint / "pixel_values.npy", pixel_values.numpy())
        run_without_the_package(LOAD_AND_PREDICT, checkpoint)
        return torch.from_numpy(np.load(checkpoint / "logits.npy"))

    return load
