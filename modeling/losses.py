"""Loss of both tasks: cross-entropy without ignored pixels."""

import torch
from torch import Tensor
from torch.nn import functional as F


def check_labels(labels: Tensor, size: tuple[int, ...], num_labels: int, ignore_index: int) -> None:
    """Refuse labels that the loss cannot take.

    Values are checked only on the CPU in eager mode: elsewhere the check would synchronise the device or
    break the graph.

    Args:
        labels: (batch, height, width) or (batch, years, height, width), int64.
        size: The shape of the images without their channels.
        num_labels: Number of classes.
        ignore_index: The label that is ignored.

    Raises:
        ValueError: Type or size do not fit, or a value is neither a class nor `ignore_index`.
    """
    if not isinstance(labels, Tensor):
        raise ValueError(f"labels: found a {type(labels).__name__}; expected a tensor of torch.int64.")
    if labels.dtype != torch.int64:
        raise ValueError(f"labels: found {labels.dtype}; expected torch.int64.")
    if tuple(labels.shape) != size:
        raise ValueError(f"labels: found the shape {tuple(labels.shape)}; expected {size} as of the images.")
    if labels.device.type == "cpu" and not torch.compiler.is_compiling() and labels.numel():
        valid = labels[labels != ignore_index]
        if valid.numel() and (valid.min() < 0 or valid.max() >= num_labels):
            found = sorted(set(torch.unique(valid).tolist()) - set(range(num_labels)))
            raise ValueError(
                f"labels: found {found[:5]}; expected 0 to {num_labels - 1} and {ignore_index} (ignored)."
            )


def masked_cross_entropy(
    logits: Tensor, labels: Tensor, ignore_index: int, num_items_in_batch: Tensor | int | None = None
) -> Tensor:
    """Mean cross-entropy over the pixels that are not ignored; 0, with a gradient, if all are.

    Half-precision logits are resized and summed in float32: the sum of a batch exceeds float16.

    Args:
        logits: (batch, classes, height, width); resized bilinearly to the labels' size, as in transformers'
            networks.
        labels: (batch, height, width), int64.
        ignore_index: The label that is ignored.
        num_items_in_batch: Number of pixels to divide the sum by, where this batch is a part of a larger
            one; default those of this batch that are not ignored.
    """
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    if logits.shape[-2:] != labels.shape[-2:]:
        logits = F.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
    total = F.cross_entropy(logits, labels, ignore_index=ignore_index, reduction="sum")
    if num_items_in_batch is None:
        return total / (labels != ignore_index).sum().clamp(min=1)
    # One number, which DataParallel gives each replica as a tensor of two dimensions.
    items = torch.as_tensor(num_items_in_batch, device=total.device).reshape(())
    return total / items.clamp(min=1)
