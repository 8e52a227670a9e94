"""Training of networks that map components, scored over whole series."""

from typing import Any

from torch import Tensor, nn

from euromine.dataset_script.label_groups import NOT_ANNOTATED

from .collation import owned_pixels
from .component_scores import predict_components
from .series_trainer import SeriesTrainer


class ComponentTrainer(SeriesTrainer):
    """As `SeriesTrainer`, for maps of label groups; `scores` are `ComponentScores`."""

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[None, Tensor, Any]:
        """Predict the maps of a batch of series.

        Args:
            model: The network with its wrappers.
            inputs: A batch of series from the collator, its labels being reference bits.
            prediction_loss_only: Ignored, as series have no loss.
            ignore_keys: Ignored.

        Returns:
            No loss; maps uint8 (batch, years, groups, height, width); and labels: reference bits int32
            (batch, years, height, width), not annotated in pixels that the patch does not own, site
            (batch,), years (batch, years).
        """
        inputs = self._prepare_inputs(inputs)
        self.settle_divided_network()
        with self.accelerator.autocast():
            maps = predict_components(self.network, self.image_processor, inputs["pixel_values"])
        references = inputs["labels"]
        owned = owned_pixels(references, inputs["own"])
        references = references.masked_fill(~owned, 1 << NOT_ANNOTATED)
        return None, maps, (references, inputs["site"], inputs["years"])
