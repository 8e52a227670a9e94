"""Component segmenter: one encoder, one head for each group of a mine's components.

The components of a mine overlap: a dumping ground can lie inside an excavation. Within a group they do not,
so each group is a segmentation of its own. As in multi-task learning with hard parameter sharing (Caruana,
"Multitask learning", Machine Learning 28, 1997), the groups share a footprint mapper, whose last layer has
the classes of all groups: behind a final 1 x 1 convolution this equals one head for each group. Jablonska et
al., Remote Sensing 2024, 16(6) 955, train one network for each group instead.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SemanticSegmenterOutput

from .base import MultispectralModel, PaddedModel
from .configuration import MultispectralConfig
from .losses import check_labels, masked_cross_entropy
from .mask2former import Mask2FormerForSemanticSegmentation
from .native import NativeSegmenter
from .pretrained import is_encoder
from .segmentation import Segmenter
from .wrapped_segmenters import fresh_segmenter, inputs_of, keep_weights, wrapped_fields


class ComponentSegmenterConfig(MultispectralConfig):
    """Configuration of a component segmenter.

    Attributes:
        segmenter: The wrapped mapper's configuration from `to_dict`, with `model_type`.
        groups: Classes of each group in their order, by the group's name, in the order of the maps.
        group_order: Names of the groups in their order, which JSON objects do not keep.

    Raises:
        ValueError: A group has no classes, or one twice.
    """

    model_type = "euromine_components"

    segmenter: dict[str, Any] | None = None
    groups: dict[str, list[str]] | None = None
    group_order: list[str] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        groups = checked_label_groups(self.groups) if self.groups else {}
        order = self.group_order or list(groups)
        if sorted(order) != sorted(groups):
            raise ValueError(
                f"group_order: found {', '.join(order)}; expected the names of the groups: "
                f"{', '.join(groups)}."
            )
        self.groups = {name: groups[name] for name in order}
        self.group_order = order
        if self.groups:
            names = [
                f"{group}: {name}" for group, classes in self.groups.items() for name in ("none", *classes)
            ]
            self.id2label = dict(enumerate(names))
            self.label2id = {name: index for index, name in enumerate(names)}
        super().__post_init__(**kwargs)

    @classmethod
    def of(
        cls, config: PreTrainedConfig, label_groups: Mapping[str, Sequence[str]]
    ) -> "ComponentSegmenterConfig":
        """Wrap a mapper's configuration.

        Raises:
            ValueError: The groups are none, or their classes are not as many as the mapper's; or it does not
                give the number of bands.
        """
        groups = checked_label_groups(label_groups)
        if config.num_labels != (expected := count_logits(groups)):
            raise ValueError(
                f"segmenter: found {config.num_labels} classes in this {config.model_type}; expected "
                f"{expected}: those of {', '.join(groups)}, and one for none of them in each group."
            )
        found = cls(**inputs_of(config), groups=groups)
        found.segmenter = wrapped_fields(config, found.bands)
        return found


class ComponentSegmenter(MultispectralModel):
    """A footprint mapper that maps several groups of components at once.

    Args:
        segmenter: A footprint mapper with `count_logits(label_groups)` classes, which is not modified; or a
            configuration for a fresh one, as `from_pretrained` passes it.
        label_groups: Classes of each group, by its name; with a mapper only.

    Raises:
        ValueError: `segmenter` is no footprint mapper, has another number of classes, or does not give each
            class a logit of its own.

    Example:
        >>> groups = {"deposits": ["dumping_ground", "stockpile"], "total": ["any component"]}
        >>> model = create_model("segformer-b0", label_groups=groups)
        >>> model.predict_maps(torch.zeros(1, 10, 160, 160)).shape
        torch.Size([1, 2, 160, 160])
    """

    config_class = ComponentSegmenterConfig

    def __init__(
        self,
        segmenter: PreTrainedModel | ComponentSegmenterConfig,
        label_groups: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        if isinstance(segmenter, ComponentSegmenterConfig):
            config, mapper = segmenter, fresh_segmenter(segmenter.segmenter)
        else:
            config, mapper = ComponentSegmenterConfig.of(segmenter.config, label_groups or {}), segmenter
        _check_mapper(mapper)
        super().__init__(config)
        self.segmenter = keep_weights(mapper) if mapper is segmenter else mapper
        self.supports_gradient_checkpointing = mapper.supports_gradient_checkpointing
        self.post_init()

    @property
    def groups(self) -> dict[str, list[str]]:
        """Classes of each group, by its name."""
        return dict(self.config.groups or {})

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Hub repositories of the mapper's published weights, if any."""
        return self.segmenter.checkpoints if isinstance(self.segmenter, MultispectralModel) else ()

    def freeze_unused(self) -> None:
        """Freeze the mapper's unused parameters."""
        if isinstance(self.segmenter, PaddedModel):
            self.segmenter.freeze_unused()

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> SemanticSegmenterOutput:
        """Map the components.

        Args:
            pixel_values: (batch, channels, height, width), float, normalised; any height and width.
            labels: (batch, groups, height, width), int64, of each group 0 none, 1, 2, ... its classes in
                their order, 255 ignored.
            num_items_in_batch: Number of labelled pixels in the whole batch of an optimiser step, of each
                group (groups,) or of all together, where this is a part of it: the losses of all parts then
                add up to that of the batch.

        Returns:
            Logits (batch, classes, height, width) of all groups one after the other (`split_logits`) and,
            with labels, the mean of the groups' cross-entropies.

        Raises:
            ValueError: The number of dimensions or bands, or the labels, do not fit.
        """
        self.check_images(pixel_values)
        if labels is not None:
            self._check_labels(labels, pixel_values)
        size = (pixel_values.shape[-2], pixel_values.shape[-1])
        # Auxiliary heads are computed for a loss only.
        maps = [_resized(each, size) for each in self._class_maps(pixel_values, labels is not None)]
        loss = None
        if labels is not None:
            loss = self._loss(maps[0], labels, num_items_in_batch)
            for auxiliary in maps[1:]:
                weight = self.segmenter.config.auxiliary_loss_weight
                loss = loss + weight * self._loss(auxiliary, labels, num_items_in_batch)
        return SemanticSegmenterOutput(loss=loss, logits=maps[0])

    def split_logits(self, logits: Tensor) -> dict[str, Tensor]:
        """Logits of each group.

        Args:
            logits: (batch, classes, height, width), as of `forward`.

        Returns:
            (batch, 1 + classes of the group, height, width) by the group's name; the first class is none.
        """
        sizes = [1 + len(classes) for classes in self.groups.values()]
        return dict(zip(self.groups, logits.split(sizes, dim=-3), strict=True))

    @torch.no_grad()
    def predict_maps(self, pixel_values: Tensor) -> Tensor:
        """The most probable class of each group. The caller sets evaluation mode and autocast.

        Args:
            pixel_values: As of `forward`.

        Returns:
            uint8 (batch, groups, height, width): 0 none, 1, 2, ... the group's classes in their order.
        """
        groups = self.split_logits(self(pixel_values=pixel_values).logits)
        return torch.stack([logits.argmax(1) for logits in groups.values()], dim=1).to(torch.uint8)

    def load_pretrained(self, source: str, stem_init: str | None) -> None:
        """Load a checkpoint of a component segmenter of the same groups, or one that the mapper can load.

        Args:
            source: A Hub repository or a local path.
            stem_init: How to adapt a first layer for red, green and blue to the network's bands.

        Raises:
            ValueError: The checkpoint does not fit, or is of other groups.
            OSError: The checkpoint cannot be found or read.
        """
        stored = {} if is_encoder(source) else _stored_config(source)
        if stored.get("model_type") == self.config.model_type:
            theirs = ComponentSegmenterConfig(
                groups=stored.get("groups"), group_order=stored.get("group_order")
            ).groups
            if theirs != self.groups or list(theirs) != list(self.groups):
                raise ValueError(
                    f"{source}: found a model of the label groups {_in_words(theirs or {})}; expected "
                    f"{_in_words(self.groups)}."
                )
            super().load_pretrained(source, stem_init)
            return
        cast("Segmenter | NativeSegmenter", self.segmenter).load_pretrained(source, stem_init)
        self.config.segmenter = wrapped_fields(self.segmenter.config, self.config.bands)

    def _class_maps(self, pixel_values: Tensor, with_auxiliary: bool) -> list[Tensor]:
        """The mapper's logits, and its auxiliary ones if any, at its own resolution."""
        if isinstance(self.segmenter, (Segmenter, NativeSegmenter)):
            logits, auxiliary = self.segmenter.class_maps(pixel_values, with_auxiliary)
            return [logits] if auxiliary is None else [logits, auxiliary]
        return [self.segmenter(pixel_values=pixel_values).logits]

    def _check_labels(self, labels: Tensor, pixel_values: Tensor) -> None:
        size = (len(pixel_values), *pixel_values.shape[-2:])
        if not isinstance(labels, Tensor):
            raise ValueError(
                f"labels: found a {type(labels).__name__}; expected a tensor (batch, groups, height, width)."
            )
        if labels.ndim != 4 or labels.shape[1] != len(self.groups):
            raise ValueError(
                f"labels: found the shape {tuple(labels.shape)}; expected "
                f"({size[0]}, {len(self.groups)}, {size[1]}, {size[2]}), a map of each group: "
                f"{', '.join(self.groups)}."
            )
        for classes, of_group in zip(self.groups.values(), labels.unbind(1), strict=True):
            check_labels(of_group, size, 1 + len(classes), self.ignore_index)

    def _loss(self, logits: Tensor, labels: Tensor, num_items_in_batch: Tensor | int | None) -> Tensor:
        groups = self.split_logits(logits).values()
        counts: Sequence[Tensor | None] = [None] * len(groups)
        if num_items_in_batch is not None:
            items = torch.as_tensor(num_items_in_batch, device=logits.device).reshape(-1)
            counts = (items if len(items) > 1 else items.expand(len(groups)) / len(groups)).unbind()
        losses = [
            masked_cross_entropy(of_group, known.contiguous(), self.ignore_index, count)
            for of_group, known, count in zip(groups, labels.unbind(1), counts, strict=True)
        ]
        return torch.stack(losses).mean()


def checked_label_groups(label_groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Classes of each group as lists.

    Raises:
        ValueError: There are no groups, or a group has no classes or one twice.
    """
    if not label_groups:
        raise ValueError("label_groups: found none; expected the classes of at least one group.")
    groups: dict[str, list[str]] = {}
    for name, classes in label_groups.items():
        if isinstance(classes, str) or not classes:
            raise ValueError(f"label_groups: found {classes!r} for {name}; expected a list of classes.")
        if len(set(classes)) < len(classes):
            raise ValueError(f"label_groups: found a class twice in {name}; expected each class once.")
        groups[str(name)] = [str(each) for each in classes]
    return groups


def count_logits(groups: Mapping[str, Sequence[str]]) -> int:
    """The number of logits of groups: their classes, and one for none of them in each."""
    return sum(1 + len(classes) for classes in groups.values())


def _check_mapper(segmenter: PreTrainedModel) -> None:
    """Refuse networks whose logits cannot be divided into groups."""
    if isinstance(segmenter, Mask2FormerForSemanticSegmentation):
        raise ValueError(
            "segmenter: found Mask2Former, whose masks have one softmax over all classes; expected a network "
            "with one logit for each class and pixel. Train it on one group alone."
        )
    if hasattr(segmenter, "predict_series"):
        raise ValueError(
            f"segmenter: found {type(segmenter).__name__}, a network for several years; expected a "
            "footprint mapper."
        )


def _stored_config(source: str) -> dict[str, Any]:
    """A checkpoint's configuration; empty where there is none, which loading it raises."""
    try:
        return dict(PreTrainedConfig.get_config_dict(source)[0])
    except OSError:
        return {}


def _resized(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits at the images' own size, resized in float32 as for the loss."""
    if tuple(logits.shape[-2:]) == size:
        return logits
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def _in_words(groups: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{name} ({', '.join(classes)})" for name, classes in groups.items())
