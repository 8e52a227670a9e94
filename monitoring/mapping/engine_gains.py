"""Gains of OpenVINO in float32 over PyTorch by architecture, by which "auto" decides.

Measured by `benchmark/engine_speed.py` (docs/benchmarks/engines.md). An architecture that is not listed stays
with PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Gain(NamedTuple):
    """A measured gain.

    Attributes:
        times: PyTorch's time over OpenVINO's; at most 1 where PyTorch is as quick.
        conversion: Seconds to convert the network once.
        seconds: PyTorch's seconds on one thread for a megapixel of input by part: "forward", "encode",
            "decode" or "compare".
    """

    times: float
    conversion: float
    seconds: Mapping[str, float]


# The seconds of conversions were taken beside other work, so they are rather too long. SegFormer's are those
# of its smallest size.
OPENVINO_GAINS: dict[str, Gain] = {
    "euromine_a2net": Gain(1.6, 15.0, {"compare": 1.8}),
    "euromine_afcf3d": Gain(1.2, 60.0, {"compare": 12.4}),
    "euromine_bit": Gain(1.5, 15.0, {"encode": 1.7, "decode": 0.88}),
    "euromine_changeformer": Gain(1.3, 45.0, {"encode": 3.2, "decode": 50.0}),
    "euromine_dtcdscn": Gain(1.4, 30.0, {"compare": 5.3}),
    "euromine_fc-ef": Gain(1.7, 13.0, {"compare": 1.8}),
    "euromine_linknet": Gain(1.4, 15.0, {"forward": 1.3}),
    "euromine_resunet": Gain(1.1, 15.0, {"compare": 11.0}),
    "euromine_siamunet-diff": Gain(1.4, 7.0, {"encode": 0.66, "decode": 1.1}),
    "euromine_snunet": Gain(1.4, 22.0, {"encode": 1.9, "decode": 20.0}),
    "euromine_tfi-gr": Gain(1.7, 31.0, {"encode": 1.3, "decode": 2.7}),
    "euromine_tinycd": Gain(1.9, 8.0, {"encode": 1.1, "decode": 2.3}),
    "euromine_unet": Gain(1.4, 10.0, {"forward": 17.0}),
    "segformer": Gain(1.5, 6.0, {"forward": 0.7}),
}
