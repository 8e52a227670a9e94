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
    # Trained on crops for one to four minutes, and scored on one series of each of 3 other sites; of PyTorch
    # and OpenVINO the engine that lost more.
    ("euromine_a2net", "bfloat16"): 0.04,
    ("euromine_a2net", "int8"): 0.19,
    ("euromine_afcf3d", "bfloat16"): 0.05,
    ("euromine_afcf3d", "int8"): 0.44,
    ("euromine_bit", "bfloat16"): -0.02,
    ("euromine_bit", "int8"): 0.06,
    ("euromine_cgnet", "bfloat16"): -0.02,
    ("euromine_cgnet", "int8"): 0.24,
    ("euromine_changeformer", "bfloat16"): 0.01,
    ("euromine_changeformer", "int8"): -0.22,
    ("euromine_deeplabv3plus-resnet101", "bfloat16"): -0.04,
    ("euromine_deeplabv3plus-resnet101", "int8"): 0.41,
    ("euromine_dminet", "bfloat16"): 0.01,
    ("euromine_dminet", "int8"): 0.22,
    ("euromine_dtcdscn", "bfloat16"): 0.01,
    ("euromine_dtcdscn", "int8"): -2.14,
    ("euromine_fc-ef", "bfloat16"): 0.01,
    ("euromine_fc-ef", "int8"): -0.12,
    ("euromine_fcnpp", "bfloat16"): 0.03,
    ("euromine_fcnpp", "int8"): 0.28,
    ("euromine_hanet", "bfloat16"): -0.01,
    ("euromine_hanet", "int8"): 0.10,
    ("euromine_icifnet", "bfloat16"): 0.03,
    ("euromine_icifnet", "int8"): 0.49,
    ("euromine_mspsnet", "bfloat16"): -0.02,
    ("euromine_mspsnet", "int8"): 0.69,
    ("euromine_pspnet", "bfloat16"): 0.02,
    ("euromine_pspnet", "int8"): 1.36,
    ("euromine_rdpnet", "bfloat16"): 0.01,
    ("euromine_rdpnet", "int8"): -0.38,
    ("euromine_resunet", "bfloat16"): 0.04,
    ("euromine_resunet", "int8"): 0.14,
    ("euromine_siamunet-conc", "bfloat16"): 0.03,
    ("euromine_siamunet-conc", "int8"): 0.04,
    ("euromine_siamunet-diff", "bfloat16"): 0.04,
    ("euromine_siamunet-diff", "int8"): 0.04,
    ("euromine_snunet", "bfloat16"): -0.02,
    ("euromine_snunet", "int8"): 1.61,
    ("euromine_sqnet", "bfloat16"): 0.02,
    ("euromine_sqnet", "int8"): 0.04,
    ("euromine_tinycd", "bfloat16"): 0.04,
    ("euromine_tinycd", "int8"): -0.15,
    ("euromine_unet", "bfloat16"): 0.04,
    ("euromine_unet", "int8"): -0.32,
    ("mobilenet_v2", "bfloat16"): 0.01,
    ("mobilenet_v2", "int8"): -0.11,
    ("mobilevitv2", "bfloat16"): 0.05,
    ("mobilevitv2", "int8"): -3.14,
    ("segformer", "bfloat16"): 0.01,
    ("segformer", "int8"): -0.06,
    ("upernet/convnext", "bfloat16"): -0.01,
    ("upernet/convnext", "int8"): -0.20,
    # LinkNet after 250 steps, on 12 series of 3 sites.
    ("euromine_linknet", "bfloat16"): 0.0,
    ("euromine_linknet", "int8"): -0.04,
    # TFI-GR of the comparison of networks for series, on the same three series.
    ("euromine_tfi-gr", "bfloat16"): 0.0,
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
