"""Measured losses of the precisions below float32, by which a precision that loses much is refused.

Points of OF1 of a footprint mapper, or of change F1 of a detector, on simulated test sites with trained
weights (docs/benchmarks/engines.md).
"""

from __future__ import annotations

import logging

from euromine.support.errors import ArgumentError

logger = logging.getLogger(__name__)

# A precision that loses more is refused.
LARGEST_LOSS = 0.5

# By architecture and precision; negative numbers are gains.
MEASURED_LOSSES: dict[tuple[str, str], float] = {
    # SegFormer-B0 after 717 steps of crops on 12 sites, on one series of each of 3 other sites; SQNet, FC-EF,
    # SiamUNet-Conc and RDPNet likewise, after 198, 419, 300 and 113 steps.
    ("segformer", "bfloat16"): 0.01,
    ("segformer", "int8"): -0.06,
    ("euromine_sqnet", "bfloat16"): 0.02,
    ("euromine_sqnet", "int8"): 0.04,
    ("euromine_fc-ef", "bfloat16"): 0.01,
    ("euromine_fc-ef", "int8"): -0.16,
    ("euromine_siamunet-conc", "bfloat16"): 0.03,
    ("euromine_siamunet-conc", "int8"): 0.05,
    ("euromine_rdpnet", "bfloat16"): 0.01,
    ("euromine_rdpnet", "int8"): -1.26,
    # LinkNet after 250 steps, on 12 series of 3 sites.
    ("euromine_linknet", "bfloat16"): 0.0,
    ("euromine_linknet", "int8"): -0.04,
    # TinyCD after 300 steps, DeepLabV3+ MobileNet after 80, on one series of each of 3 sites; of PyTorch and
    # OpenVINO the engine that lost more.
    ("euromine_tinycd", "bfloat16"): 0.04,
    ("mobilenet_v2", "bfloat16"): -0.02,
    # U-Net after 90 steps and BIT after 450, most of them of crops, on the same three series.
    ("euromine_bit", "bfloat16"): -0.05,
    ("euromine_unet", "bfloat16"): 0.03,
    # TFI-GR of the comparison of networks for series, on the same three series.
    ("euromine_tfi-gr", "bfloat16"): 0.0,
    # TinyCD after 244 steps of crops on 12 sites, on one series of each of 3 other sites, load 14 to 18. That
    # of the comparison of networks for series gained 0.07.
    ("euromine_tinycd", "int8"): -0.15,
    # SiamUNet-Diff after 278 steps of crops, on the sites of that TinyCD, load up to 29.
    ("euromine_siamunet-diff", "bfloat16"): 0.04,
    ("euromine_siamunet-diff", "int8"): 0.04,
    # euromine-series-b0 after 400 steps, on 4 sites; OF1 is unchanged, so the loss is that of change F1.
    ("euromine_series/mit-b0", "bfloat16"): 0.01,
}


def check_precision_loss(name: str, architecture: str, precision: str, *, force: bool) -> None:
    """Refuse a precision that loses too much with an architecture, and report one that was not measured.

    Args:
        name: The checkpoint, for the message.
        architecture: Of `architecture_name`.
        precision: "float32", "bfloat16" or "int8".
        force: Whether to take it all the same.

    Raises:
        ArgumentError: It loses more than `LARGEST_LOSS`.
    """
    if precision == "float32":
        return
    loss = MEASURED_LOSSES.get((architecture, precision))
    if loss is None:
        logger.warning("%s: the loss of a %s in %s was not measured.", name, architecture, precision)
    elif loss > LARGEST_LOSS and not force:
        raise ArgumentError(
            f"precision: found {precision} with {name}, a {architecture}, which lost {loss:.1f} points of "
            f"F1 on simulated sites; expected a loss of at most {LARGEST_LOSS}. Use float32, or insist with "
            "--force-precision."
        )
    else:
        logger.info(
            "%s: in %s, a %s changed by %+.2f points of F1 on simulated sites.",
            name,
            precision,
            architecture,
            -loss,
        )
