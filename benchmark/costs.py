"""The cost of a network: its parameters, and the operations for one image, one pair or one series.

`python -m euromine.benchmark.costs` prints a Markdown table of all networks, or of those named.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from euromine.modeling.auto import create_model, list_models
from euromine.modeling.change_detection import ChangeDetector, SiameseChangeDetector
from euromine.modeling.series_model import SeriesModel
from euromine.support.errors import reported_errors

from .command_line import benchmark_parser, check_networks, positive

PATCH_SIDE = 160
SERIES_YEARS = 10

Result = TypeVar("Result")


@dataclass(frozen=True)
class NetworkCosts:
    """The cost of a network.

    One GMAC is a thousand million multiplications, each with its addition. Convolutions, matrix products and
    attention are counted; norms, activations, poolings and resizings are not, as is the custom.

    Attributes:
        parameters: All of them.
        trainable_parameters: Those that ask for a gradient.
        gmacs: Of one image for a footprint mapper, of one pair of dates for a change detector, of ten years
            for a network that sees series.
        encoder_gmacs: Of one year's `encode`; None where the network does not encode years.
        decoder_gmacs: Of one pair's `decode`; None likewise.
    """

    parameters: int
    trainable_parameters: int
    gmacs: float
    encoder_gmacs: float | None = None
    decoder_gmacs: float | None = None

    def series_speed_up(self, years: int = 10) -> float:
        """The ratio of operations: a series pair by pair, to one that encodes each year once.

        (90E + 45D) / (10E + 45D) for ten years, an encoder E and a decoder D. A pair counts as what the
        network does for one, which is less than 2E + D where `encode` makes a year ready for both places in
        a pair. 1 where the network does not encode years.
        """
        if self.encoder_gmacs is None or self.decoder_gmacs is None:
            return 1.0
        pairs = years * (years - 1) / 2
        return pairs * self.gmacs / (years * self.encoder_gmacs + pairs * self.decoder_gmacs)


def _matrix_vector_flop(matrix: torch.Size, vector: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * matrix[0] * matrix[1]


def _added_matrix_vector_flop(
    added: torch.Size, matrix: torch.Size, vector: torch.Size, *_: Any, **__: Any
) -> int:
    return 2 * matrix[0] * matrix[1]


def _dot_flop(first: torch.Size, second: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * first[0]


def _attention_flop(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    batch, heads, queries, width = query
    return 2 * batch * heads * queries * key[2] * (width + value[3])


# What PyTorch's counter passes over. The attention is the one of the CPU.
UNCOUNTED: dict[Any, Callable[..., int]] = {
    torch.ops.aten.mv: _matrix_vector_flop,
    torch.ops.aten.addmv: _added_matrix_vector_flop,
    torch.ops.aten.dot: _dot_flop,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop,
}


def gmacs_of(work: Callable[[], Result]) -> tuple[float, Result]:
    """The multiply-accumulate operations of a call, in units of 1e9, and its result.

    Args:
        work: Called once, without gradients.
    """
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=UNCOUNTED) as counter:
        result = work()
    return counter.get_total_flops() / 2e9, result


def shapes_of(network: nn.Module, shapes_only: FakeTensorMode) -> Any:
    """A copy of a network in evaluation mode, on the CPU, on the meta device: shapes without numbers."""
    copies: dict[int, Any] = {}
    with shapes_only:
        for tensor in (*network.parameters(), *network.buffers()):
            shape = torch.empty_like(tensor, device="cpu")
            is_parameter = isinstance(tensor, nn.Parameter)
            copies[id(tensor)] = nn.Parameter(shape, tensor.requires_grad) if is_parameter else shape
    # The copy finds its tensors there instead of copying them: they may be gigabytes.
    return copy.deepcopy(network, copies).eval()


def _dates(network: nn.Module) -> tuple[int, ...]:
    """The dimension of dates in a network's input: a pair, ten years, or none."""
    if isinstance(network, SeriesModel):
        return (SERIES_YEARS,)
    return (2,) if isinstance(network, ChangeDetector) else ()


def network_costs(network: nn.Module, size: tuple[int, int] = (PATCH_SIDE, PATCH_SIDE)) -> NetworkCosts:
    """The cost of a network, whose device and mode stay unchanged.

    Args:
        network: A footprint mapper, a change detector or a network for series of this package; its
            configuration names the bands.
        size: Height and width of an image in pixels.
    """
    # Not the meta device: Mask2Former asks its device for autocast, which that one has not.
    shapes_only = FakeTensorMode(allow_non_fake_inputs=True)
    shapes = shapes_of(network, shapes_only)
    dates = _dates(shapes)
    encoder = decoder = None
    with shapes_only:
        # Ours count their bands, transformers' own leave some of them to a backbone's configuration.
        pixel_values = torch.empty(1, *dates, len(shapes.config.bands), *size)
        gmacs, _ = gmacs_of(lambda: shapes(pixel_values=pixel_values))
        if isinstance(shapes, SiameseChangeDetector):
            encoder, features = gmacs_of(lambda: shapes.encode(shapes.pad(pixel_values[:, 0])))
            decoder, _ = gmacs_of(lambda: shapes.decode(features, features))
    return NetworkCosts(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        trainable_parameters=sum(each.numel() for each in network.parameters() if each.requires_grad),
        gmacs=gmacs,
        encoder_gmacs=encoder,
        decoder_gmacs=decoder,
    )


def markdown(costs: dict[str, NetworkCosts], size: tuple[int, int], channels: int) -> str:
    """The costs by network as a Markdown table."""
    lines = [
        f"One image, one pair of dates or one series of {SERIES_YEARS} years, of {size[0]} x {size[1]} "
        f"pixels and {channels} bands:",
        "",
        "| network | parameters | GMAC | encoder, one year | decoder, one pair | ideal speed-up |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, cost in costs.items():
        parts = ["", "", ""]
        if cost.encoder_gmacs is not None and cost.decoder_gmacs is not None:
            parts = [
                f"{each:.2f}" for each in (cost.encoder_gmacs, cost.decoder_gmacs, cost.series_speed_up())
            ]
        lines.append(f"| {name} | {cost.parameters / 1e6:.2f} M | {cost.gmacs:.2f} | {' | '.join(parts)} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Print the cost of networks.

    Returns:
        The exit status.
    """
    parser = benchmark_parser("costs", __doc__)
    parser.add_argument("networks", nargs="*", metavar="network", help="default: all")
    parser.add_argument("--size", type=positive, default=PATCH_SIDE, help="side of the images in pixels")
    parser.add_argument("--bands", type=positive, default=10, help="number of bands")
    options = parser.parse_args(arguments)
    check_networks(parser, options.networks, list_models())
    size = (options.size, options.size)
    costs = {}
    for name in options.networks or list_models():
        with torch.device("meta"):
            network = create_model(name, num_channels=options.bands)
        costs[name] = network_costs(network, size)
    sys.stdout.write(markdown(costs, size, options.bands))
    return 0


if __name__ == "__main__":
    with reported_errors("costs"):
        sys.exit(main())
