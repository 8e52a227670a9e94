"""Maps of components over whole series, and their scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import EvalPrediction, PreTrainedModel

from euromine.dataset_script.label_groups import COMPONENT_CLASSES, UNKNOWN_CLASSES, LabelGroups
from euromine.metrics.annual_f1.annual_f1 import AnnualF1
from euromine.metrics.component_iou.component_iou import ComponentIoU
from euromine.modeling.component_segmenter import ComponentSegmenter
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.modeling.tasks import SEGMENTATION

from .evaluation import SeriesScores, predict_series, to_numpy
from .recipes import BEST_COMPONENT_METRIC

COMPONENT_IOU, TOTAL = "component_iou", "total"
"""Names of the metrics: of the classes, and of the map of any component."""


@torch.no_grad()
def predict_components(
    model: PreTrainedModel, image_processor: EuroMineImageProcessor, images: Tensor
) -> Tensor:
    """Predict the maps of label groups in series. The caller sets evaluation mode and autocast.

    Args:
        model: A component segmenter, or a network for a single group.
        image_processor: Its image processor.
        images: (batch, years, bands, height, width), digital numbers, on any device.

    Returns:
        uint8 (batch, years, groups, height, width) on the network's device: 0 none, 1, 2, ... the group's
        classes.
    """
    if not isinstance(model, ComponentSegmenter):
        return predict_series(model, image_processor, images)[:, :, None]
    pixel_values: Tensor = image_processor(images.to(model.device)).pixel_values
    batch, years = pixel_values.shape[:2]
    return model.predict_maps(pixel_values.flatten(0, 1)).unflatten(0, (batch, years))


class ComponentScores(SeriesScores):
    """Scores of label groups: IoU and F1 of their classes, and of the map of any component.

    Classes outside the groups count as unknown, so that they are in no mean.

    Args:
        groups: The groups of the maps.
        sites: Names of the sites, in the collator's order.
        average: "site" or "pooled".
    """

    def __init__(self, groups: LabelGroups, sites: Sequence[str], average: str = "site") -> None:
        super().__init__(SEGMENTATION, sites, average)
        self.groups = groups
        self._metrics = {}
        if groups.groups:
            # A class by itself has an interval, too; an entry of a list of classes has none.
            alone = {name: (name,) for classes in groups.groups.values() for name in classes}
            self._metrics[COMPONENT_IOU] = ComponentIoU(label_groups={**alone, **groups.groups})
        if groups.total is not None:
            self._metrics[TOTAL] = AnnualF1()

    @property
    def headlines(self) -> Mapping[str, Mapping[str, str]]:
        """The headline scores: by metric, the metric's name of a score and the name in logs and records."""
        return component_headlines(self.groups)

    def __call__(self, prediction: EvalPrediction, compute_result: bool = True) -> dict[str, float]:
        """Count a batch and, after the last one, score.

        Args:
            prediction: Maps (batch, years, groups, height, width) as predictions; reference bits (batch,
                years, height, width), sites (batch,) and years (batch, years; -1 for a missing year) as
                labels.
            compute_result: Whether this is the last batch.

        Returns:
            The headline scores; empty before the last batch.
        """
        references, sites, years = (to_numpy(part) for part in prediction.label_ids)
        predictions = to_numpy(prediction.predictions)
        for maps, bits, site, calendar in zip(predictions, references, sites, years, strict=True):
            present = int((calendar >= 0).sum())
            self._add(
                np.moveaxis(maps[:present], 1, 0),
                bits[:present].astype(np.uint32),
                site=self.site_name(int(site)),
                years=calendar[:present].tolist(),
            )
        return self.compute() if compute_result else {}

    def _add(self, maps: NDArray[np.uint8], bits: NDArray[np.uint32], **series: Any) -> None:
        """Count the maps (groups, years, height, width) of one series."""
        for name, metric in self._metrics.items():
            if name == TOTAL:
                truth = LabelGroups({}, self.groups.total).maps(bits)[0]
                metric.add(prediction=maps[-1], reference=truth, **series)
            else:
                named = LabelGroups(self.groups.groups).bits(maps[: len(self.groups.groups)])
                metric.add(
                    prediction=named & _ALL_CLASSES, reference=bits | _unknown_outside(self.groups), **series
                )


_ALL_CLASSES = np.uint16((1 << len(COMPONENT_CLASSES)) - 1)


def component_headlines(groups: LabelGroups) -> dict[str, dict[str, str]]:
    """The headline scores of label groups, as `ComponentScores.headlines`."""
    found: dict[str, dict[str, str]] = {}
    total: dict[str, str] = {}
    if groups.total is not None:
        total = {"iou_pooled": f"{groups.total}_iou", "of1": f"{groups.total}_of1"}
    if groups.groups:
        scores = {name: name for name in (BEST_COMPONENT_METRIC, "macro_f1", "pooled_iou", "pooled_f1")}
        if len(groups.groups) > 1:
            scores |= {f"macro_iou_{name}": f"macro_iou_{name}" for name in groups.groups}
        found[COMPONENT_IOU] = scores
    elif total:
        # The mean over the one class that there is.
        total = {"iou_pooled": BEST_COMPONENT_METRIC, "of1_pooled": "macro_f1", "of1": "of1"}
    if total:
        found[TOTAL] = total
    return found


def _unknown_outside(groups: LabelGroups) -> np.uint32:
    """The bits that leave out the classes of no group."""
    inside = {name for classes in groups.groups.values() for name in classes}
    return np.uint32(
        sum(
            1 << UNKNOWN_CLASSES + place for place, name in enumerate(COMPONENT_CLASSES) if name not in inside
        )
    )
