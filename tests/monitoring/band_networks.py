"""Component segmenters whose weights are set by hand: a class is likely where its band is high."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from euromine.modeling import create_model
from euromine.modeling.component_segmenter import ComponentSegmenter

GROUPS = {
    "ground": ["excavation"],
    "deposits": ["dumping_ground", "stockpile"],
    "transformed_area": ["any component"],
}
COMPONENT_BANDS = ("B02", "B03", "B04", "B08")
LIMIT = 500


def component_network(
    groups: Mapping[str, Sequence[str]] = GROUPS, bands: Sequence[str] = COMPONENT_BANDS
) -> ComponentSegmenter:
    """A U-Net with heads for components, whose logits are the bands' digital numbers less 500.

    Args:
        groups: The classes by group; the n-th of all follows the n-th band.
        bands: At least as many as classes.
    """
    count = len(bands)
    model = create_model(
        "unet", bands=bands, widths=(count, *[count + count % 2] * 4), label_groups=groups
    ).eval()
    unet = model.segmenter
    with torch.no_grad():
        for module in unet.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.zero_()
                module.bias.zero_()
        # The finest scale passes the bands through; the coarser ones are 0.
        for block in (unet.encoder[0], unet.decoder[-1]):
            for convolution in (block.first.conv, block.second.conv):
                for band in range(count):
                    convolution.weight[band, band, 1, 1] = 1
        logit = band = 0
        for classes in groups.values():
            for place in range(1, len(classes) + 1):
                unet.head.weight[logit + place, band] = 1
                unet.head.bias[logit + place] = -LIMIT
                band += 1
            logit += 1 + len(classes)
    return model
