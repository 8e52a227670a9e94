"""Gains of OpenVINO in float32 over PyTorch by architecture, by which "auto" decides.

Measured by `benchmark/engine_speed.py` (docs/benchmarks/engines.md). An architecture that is not listed stays
with PyTorch.
"""

from __future__ import annotations

from typing import NamedTuple


class Gain(NamedTuple):
    """A measured gain.

    Attributes:
        times: PyTorch's time over OpenVINO's; at most 1 where PyTorch is as quick.
        conversion: Seconds to convert the network once.
    """

    times: float
    conversion: float


OPENVINO_GAINS: dict[str, Gain] = {
    "segformer": Gain(1.5, 6.0),
}
