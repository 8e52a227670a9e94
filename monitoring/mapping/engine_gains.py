"""Gains of OpenVINO in float32 over PyTorch by network and part, by which "auto" decides.

Measured by `benchmark/engine_part_speed.py` (docs/benchmarks/engines.md) on windows of 512 pixels, 256 for
detectors and networks for series. A part that is not listed stays with PyTorch.
"""

from __future__ import annotations

from typing import NamedTuple


class Gain(NamedTuple):
    """A measured gain.

    Attributes:
        times: PyTorch's time over OpenVINO's; at most 1 where PyTorch is as quick.
        conversion: Seconds to convert the part once.
        seconds: PyTorch's seconds on one thread for a megapixel of windows.
    """

    times: float
    conversion: float
    seconds: float


# By `architecture_name` and part: "forward", "encode", "decode" or "compare". SegFormer's are those of its
# smallest size.
OPENVINO_GAINS: dict[tuple[str, str], Gain] = {
    ("euromine_a2net", "encode"): Gain(1.7, 4.0, 0.32),
    ("euromine_a2net", "decode"): Gain(1.4, 2.8, 0.25),
    ("euromine_afcf3d", "compare"): Gain(1.0, 7.0, 6.8),
    ("euromine_bit", "encode"): Gain(1.1, 1.2, 0.6),
    ("euromine_bit", "decode"): Gain(1.5, 3.1, 0.43),
    ("euromine_cgnet", "encode"): Gain(1.1, 0.9, 2.7),
    ("euromine_cgnet", "decode"): Gain(1.4, 1.6, 8.9),
    ("euromine_changeformer", "encode"): Gain(2.5, 3.9, 2.1),
    ("euromine_changeformer", "decode"): Gain(1.2, 2.0, 20.0),
    ("euromine_deeplabv3plus-resnet101", "forward"): Gain(1.2, 8.4, 8.2),
    ("euromine_dminet", "encode"): Gain(1.0, 1.5, 0.39),
    ("euromine_dminet", "decode"): Gain(1.3, 1.4, 0.75),
    ("euromine_dtcdscn", "encode"): Gain(1.6, 2.5, 1.2),
    ("euromine_dtcdscn", "decode"): Gain(1.6, 1.8, 0.55),
    ("euromine_fc-ef", "compare"): Gain(1.2, 1.1, 0.6),
    ("euromine_fcnpp", "compare"): Gain(1.4, 1.7, 8.5),
    ("euromine_hanet", "encode"): Gain(1.0, 1.7, 2.7),
    ("euromine_hanet", "decode"): Gain(1.1, 2.4, 5.5),
    ("euromine_hcgmnet", "encode"): Gain(1.4, 1.2, 3.5),
    ("euromine_hcgmnet", "decode"): Gain(1.1, 2.1, 42.0),
    ("euromine_icifnet", "encode"): Gain(1.8, 9.7, 4.3),
    ("euromine_icifnet", "decode"): Gain(0.9, 2.9, 0.45),
    ("euromine_linknet", "forward"): Gain(1.2, 1.7, 0.47),
    ("euromine_mask2former-swin-base", "forward"): Gain(2.0, 25.0, 14.0),
    ("euromine_mspsnet", "encode"): Gain(1.0, 2.1, 2.9),
    ("euromine_mspsnet", "decode"): Gain(1.0, 1.8, 1.4),
    ("euromine_pspnet", "forward"): Gain(1.1, 10.0, 23.0),
    ("euromine_rdpnet", "compare"): Gain(3.0, 4.7, 2.6),
    ("euromine_resunet", "encode"): Gain(0.8, 1.5, 0.85),
    ("euromine_resunet", "decode"): Gain(1.3, 1.9, 3.6),
    ("euromine_series/mit-b0", "encode"): Gain(2.3, 5.1, 0.39),
    ("euromine_siamunet-conc", "encode"): Gain(0.7, 0.7, 0.25),
    ("euromine_siamunet-conc", "decode"): Gain(1.1, 0.9, 0.72),
    ("euromine_siamunet-diff", "encode"): Gain(0.7, 0.8, 0.22),
    ("euromine_siamunet-diff", "decode"): Gain(1.6, 0.9, 0.61),
    ("euromine_snunet", "encode"): Gain(0.7, 1.2, 0.79),
    ("euromine_snunet", "decode"): Gain(1.2, 1.8, 8.3),
    ("euromine_sqnet", "forward"): Gain(1.1, 1.2, 2.4),
    ("euromine_tfi-gr", "encode"): Gain(1.6, 12.0, 1.3),
    ("euromine_tfi-gr", "decode"): Gain(1.8, 20.0, 2.7),
    ("euromine_tinycd", "encode"): Gain(1.2, 4.0, 0.45),
    ("euromine_tinycd", "decode"): Gain(0.6, 3.0, 0.7),
    ("euromine_unet", "forward"): Gain(1.1, 1.0, 5.2),
    # Over PyTorch with innermost channels, as it gets them.
    ("mobilenet_v2", "forward"): Gain(3.3, 3.3, 1.3),
    ("mobilevitv2", "forward"): Gain(1.7, 3.1, 1.4),
    ("segformer", "forward"): Gain(1.5, 6.0, 0.7),
    ("upernet/convnext", "forward"): Gain(1.2, 5.3, 14.0),
    ("upernet/swin", "forward"): Gain(1.4, 12.0, 16.0),
}
