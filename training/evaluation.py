"""A network's maps of whole series, and their scores."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import EvalPrediction, PreTrainedModel

from euromine.metrics.annual_f1.annual_f1 import AnnualF1
from euromine.metrics.ca_tiou.ca_tiou import CATIoU
from euromine.metrics.interval_f1.interval_f1 import IntervalF1
from euromine.modeling.change_detection import ChangeDetector, year_pairs
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.modeling.layers import laid_out_for
from euromine.modeling.series_model import SeriesModel
from euromine.modeling.tasks import CHANGE_DETECTION, SEGMENTATION

# The headline scores of each task: by metric, the metric's name of a score and the name in logs and records.
# Changes between the maps of a footprint mapper are post-classification.
HEADLINES: dict[str, dict[str, dict[str, str]]] = {
    SEGMENTATION: {
        "annual_f1": {
            "of1": "of1",
            "of1_pooled": "of1_pooled",
            "precision_pooled": "precision",
            "recall_pooled": "recall",
            "iou_pooled": "iou",
        },
        "ca_tiou": {"gca_tiou": "gca_tiou", "lca_tiou": "lca_tiou"},
        "interval_f1": {"of1_pooled": "change_of1_pooled", "of1_mean": "change_of1_mean"},
    },
    CHANGE_DETECTION: {"interval_f1": {"of1_pooled": "of1_pooled", "of1_mean": "of1_mean"}},
}


def task_of(model: PreTrainedModel) -> str:
    """The task of a network: "segmentation" or "change-detection"; the first for one that does both."""
    is_detector = hasattr(model, "predict_series") and not isinstance(model, SeriesModel)
    return CHANGE_DETECTION if is_detector else SEGMENTATION


@torch.no_grad()
def predict_series(
    model: PreTrainedModel,
    image_processor: EuroMineImageProcessor,
    images: NDArray[Any] | Tensor,
    chunk: int | None = None,
    *,
    task: str | None = None,
    years: Tensor | None = None,
) -> Tensor:
    """Predict maps of series of years.

    A footprint mapper takes all years of the batch at once. A change detector encodes each year once where
    it can, and compares all pairs of years. The caller sets evaluation mode and autocast.

    Args:
        model: A footprint mapper, a change detector or a network for series.
        image_processor: Its image processor.
        images: (batch, years, channels, height, width), digital numbers, NumPy or torch on any device.
        chunk: Number of pairs of years that a change detector decodes at once; default its own.
        task: "segmentation" or "change-detection", for a network for series; default footprints.
        years: Calendar years (batch, years), ascending, -1 for the missing years at the end of shorter
            series, for a network for series; default consecutive years.

    Returns:
        uint8 on the network's device: footprints (batch, years, height, width), or changes (batch, pairs,
        height, width) with the pairs in the order of `itertools.combinations`.

    Raises:
        ValueError: The images have another shape, or other bands than the processor expects.
    """
    if images.ndim != 5:
        raise ValueError(
            f"images: found the shape {tuple(images.shape)}; expected "
            "(batch, years, channels, height, width)."
        )
    series = images if isinstance(images, Tensor) else torch.from_numpy(np.ascontiguousarray(images))
    pixel_values: Tensor = image_processor(series.to(model.device)).pixel_values
    if isinstance(model, SeriesModel):
        return _maps_of_series(model, pixel_values, chunk, task or SEGMENTATION, years)
    if task_of(model) == CHANGE_DETECTION:
        detector = cast("ChangeDetector", model)
        return detector.predict_series(pixel_values, chunk=chunk, transform=_argmax)
    batch, count = pixel_values.shape[:2]
    outputs = model(pixel_values=laid_out_for(model.config.model_type, pixel_values.flatten(0, 1)))
    height, width = images.shape[-2:]
    maps = image_processor.post_process_semantic_segmentation(outputs, [(height, width)] * (batch * count))
    return torch.stack(maps).unflatten(0, (batch, count))


def _maps_of_series(
    model: SeriesModel, pixel_values: Tensor, chunk: int | None, task: str, years: Tensor | None
) -> Tensor:
    calendar, mask = (None, None) if years is None else calendar_of(years.to(pixel_values.device))
    if task == CHANGE_DETECTION:
        return model.predict_series(pixel_values, chunk=chunk, transform=_argmax, years=calendar, mask=mask)
    logits: Tensor = model(pixel_values=pixel_values, years=calendar, mask=mask).logits
    return _argmax(logits)


def calendar_of(years: Tensor) -> tuple[Tensor, Tensor | None]:
    """Ascending years of series, and a mask of those with an image.

    Args:
        years: (batch, years), integers, ascending, -1 for the missing years at the end of shorter series.

    Returns:
        (batch, years) int64, missing years after the last one; and (batch, years) bool, None if no year is
        missing.
    """
    present = years >= 0
    if bool(present.all()):
        return years.to(torch.int64), None
    after = years.amax(dim=1, keepdim=True) + (~present).cumsum(dim=1)
    return torch.where(present, years, after).to(torch.int64), present


def _argmax(logits: Tensor) -> Tensor:
    return logits.argmax(2).to(torch.uint8)


class SeriesScores:
    """The metrics of a task, counted batch by batch: a `compute_metrics` for `batch_eval_metrics`.

    Args:
        task: "segmentation" or "change-detection".
        sites: Names of the sites, in the collator's order.
        average: "site" or "pooled".

    Attributes:
        details: All scores of the last split, by metric, including lists by year and interval.
        counts: The counted pixels of each site that these come from, by metric.
        bootstrap: Number of resamples of the sites for confidence intervals; 0 for none.
    """

    def __init__(self, task: str, sites: Sequence[str], average: str = "site") -> None:
        self.task = task
        self.sites = tuple(sites)
        self.average = average
        self.bootstrap = 0
        self.details: dict[str, dict[str, Any]] = {}
        self.counts: dict[str, Any] = {}
        self._metrics: dict[str, Any]
        if task == SEGMENTATION:
            self._metrics = {"annual_f1": AnnualF1(), "ca_tiou": CATIoU(), "interval_f1": IntervalF1()}
        else:
            self._metrics = {"interval_f1": IntervalF1("change")}

    @property
    def headlines(self) -> Mapping[str, Mapping[str, str]]:
        """The headline scores: by metric, the metric's name of a score and the name in logs and records."""
        return HEADLINES[self.task]

    def __call__(self, prediction: EvalPrediction, compute_result: bool = True) -> dict[str, float]:
        """Count a batch and, after the last one, score.

        Args:
            prediction: Maps (batch, years or pairs, height, width) as predictions; references (batch, years,
                height, width), sites (batch,) and years (batch, years; -1 for a missing year) as labels.
            compute_result: Whether this is the last batch.

        Returns:
            The scores of `HEADLINES`; empty before the last batch.
        """
        references, sites, years = (to_numpy(part) for part in prediction.label_ids)
        predictions = to_numpy(prediction.predictions)
        batch: dict[str, list[Any]] = {"predictions": [], "references": [], "sites": [], "years": []}
        for maps, reference, site, calendar in zip(predictions, references, sites, years, strict=True):
            present = int((calendar >= 0).sum())
            kept = list(range(present))
            if self.task == CHANGE_DETECTION:
                pairs = year_pairs(len(calendar))
                kept = [place for place, (_, second) in enumerate(pairs) if second < present]
            batch["predictions"].append(maps[kept])
            batch["references"].append(reference[:present])
            batch["sites"].append(self.site_name(int(site)))
            batch["years"].append(calendar[:present].tolist())
        for metric in self._metrics.values():
            metric.add_batch(**batch)
        return self.compute() if compute_result else {}

    def compute(self) -> dict[str, float]:
        """Score everything counted so far, and reset the counts."""
        self.counts = {name: metric.table() for name, metric in self._metrics.items()}
        self.details = {
            name: metric.compute(average=self.average, bootstrap=self.bootstrap)
            for name, metric in self._metrics.items()
        }
        return {
            headline: float(self.details[name][score])
            for name, headlines in self.headlines.items()
            for score, headline in headlines.items()
        }

    def site_name(self, site: int) -> str:
        """The name of a site by its position.

        Raises:
            ValueError: It is not scored.
        """
        if site < 0:
            raise ValueError(f"site: found {site}, of a site that is not scored; expected a scored site.")
        return self.sites[site]


def to_numpy(part: Any) -> NDArray[Any]:
    """A tensor on any device, or an array, as an array."""
    return part.cpu().numpy() if isinstance(part, Tensor) else np.asarray(part)
