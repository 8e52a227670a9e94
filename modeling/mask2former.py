"""Mask2Former on a Swin Transformer, as a semantic segmenter.

Cheng et al., "Masked-attention mask transformer for universal image segmentation", CVPR 2022.

The network is transformers' own. Its output is a hundred queries, each a mask and its class probabilities;
this module sums their scores to class logits at the masks' resolution, a quarter of the image's, and builds
the masks and classes for the loss from ordinary labels.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation
from transformers.modeling_outputs import SemanticSegmenterOutput

from .base import MultispectralModel, resize_and_crop
from .configuration import SegmentationConfig
from .losses import check_labels
from .offload import weights_in_place
from .stem import load_checkpoint

# A mask logit with practically no loss where the target is 0: its sigmoid is 4.5e-5.
_NOT = -10.0


class Mask2FormerSwinConfig(SegmentationConfig):
    """Configuration of Mask2Former on a Swin Transformer; the defaults are the base size.

    Attributes:
        embed_dim: Channels of the backbone's first stage; each further stage doubles them.
        depths: Blocks of its stages.
        num_heads: Attention heads of its stages.
        window_size: Side of its attention windows, in patches of 4 pixels.
        drop_path_rate: Stochastic depth of its last block.
        hidden_dim: Channels of the pixel decoder, the queries and the masks' features.
        encoder_layers: Layers of the pixel decoder.
        encoder_feedforward_dim: Width of their feed-forward layers.
        decoder_layers: Layers of the transformer decoder plus one.
        dim_feedforward: Width of their feed-forward layers.
        num_attention_heads: Attention heads of both decoders.
        num_queries: Number of proposed masks.
        dropout: Dropout in the transformer decoder.
        no_object_weight: Weight of "no object" in the class loss.
        class_weight: Weight of the class cross-entropy.
        mask_weight: Weight of the masks' binary cross-entropy.
        dice_weight: Weight of the masks' dice loss.
        train_num_points: Number of points at which a mask is compared.
        oversample_ratio: Candidates drawn per uncertain point.
        importance_sample_ratio: Share of points sampled where a mask is uncertain.
    """

    model_type = "euromine_mask2former-swin-base"

    embed_dim: int = 128
    depths: tuple[int, ...] | list[int] = (2, 2, 18, 2)
    num_heads: tuple[int, ...] | list[int] = (4, 8, 16, 32)
    window_size: int = 12
    drop_path_rate: float = 0.3
    hidden_dim: int = 256
    encoder_layers: int = 6
    encoder_feedforward_dim: int = 1024
    decoder_layers: int = 10
    dim_feedforward: int = 2048
    num_attention_heads: int = 8
    num_queries: int = 100
    dropout: float = 0.0
    no_object_weight: float = 0.1
    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    train_num_points: int = 12544
    oversample_ratio: float = 3.0
    importance_sample_ratio: float = 0.75

    def of_transformers(self) -> Mask2FormerConfig:
        """Configuration of transformers' own class."""
        backbone = {
            "model_type": "swin",
            "num_channels": self.num_channels,
            "embed_dim": self.embed_dim,
            "depths": list(self.depths),
            "num_heads": list(self.num_heads),
            "window_size": self.window_size,
            "drop_path_rate": self.drop_path_rate,
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
        }
        return Mask2FormerConfig(
            backbone_config=backbone,
            id2label=self.id2label,
            label2id=self.label2id,
            feature_size=self.hidden_dim,
            mask_feature_size=self.hidden_dim,
            hidden_dim=self.hidden_dim,
            encoder_layers=self.encoder_layers,
            encoder_feedforward_dim=self.encoder_feedforward_dim,
            decoder_layers=self.decoder_layers,
            dim_feedforward=self.dim_feedforward,
            num_attention_heads=self.num_attention_heads,
            num_queries=self.num_queries,
            dropout=self.dropout,
            no_object_weight=self.no_object_weight,
            class_weight=self.class_weight,
            mask_weight=self.mask_weight,
            dice_weight=self.dice_weight,
            train_num_points=self.train_num_points,
            oversample_ratio=self.oversample_ratio,
            importance_sample_ratio=self.importance_sample_ratio,
        )


class Mask2FormerForSemanticSegmentation(MultispectralModel):
    """Mask2Former from `(pixel_values, labels)` to per-pixel logits."""

    config_class = Mask2FormerSwinConfig
    task_auto_class = "AutoModelForSemanticSegmentation"
    checkpoint = "facebook/mask2former-swin-base-ade-semantic"
    # The backbone's last normalisation, after its feature maps.
    unused = ("mask2former.model.pixel_level_module.encoder.swin.layernorm.",)
    # Units of sharded training (FSDP2), as in transformers' own Swin networks.
    _no_split_modules = ["SwinStage"]  # noqa: RUF012 - an instance attribute in the base class
    # The coarsest scale, so that the maps of all scales cover the same pixels.
    size_multiple = 32
    # Group norms at the coarsest scale refuse a map of a single pixel.
    minimum_size = 64

    def __init__(self, config: Mask2FormerSwinConfig) -> None:
        super().__init__(config)
        self.mask2former = Mask2FormerForUniversalSegmentation(config.of_transformers())
        self.freeze_unused()
        self.post_init()

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> SemanticSegmenterOutput:
        """Map the footprint.

        Args:
            pixel_values: (batch, channels, height, width), float, normalised; any height and width.
            labels: (batch, height, width), int64, 0 background, 1 mine, 255 ignored.

        Returns:
            Logits (batch, classes, height', width') float32 at the masks' resolution, a quarter of the
            image's, or at the image's if that had to be padded (`semantic_logits`); with labels,
            Mask2Former's own loss, weighted and summed over the decoder's layers.

        Raises:
            ValueError: The number of dimensions or bands, or the labels, do not fit.
        """
        self.check_images(pixel_values)
        size = (pixel_values.shape[-2], pixel_values.shape[-1])
        if labels is not None:
            check_labels(
                labels, (len(pixel_values), *size), self.num_labels, self.config.semantic_loss_ignore_index
            )
        images = self.pad(pixel_values)
        padded = (images.shape[-2], images.shape[-1])
        with weights_in_place(*self._read_without_call()):
            outputs = self.mask2former(images, output_auxiliary_logits=True)
        logits = semantic_logits(outputs.class_queries_logits, outputs.masks_queries_logits)
        if padded != size:
            logits = resize_and_crop(logits, padded, size)
        loss = None
        if labels is not None:
            ignored = self.config.semantic_loss_ignore_index
            labels = F.pad(labels, (0, padded[1] - size[1], 0, padded[0] - size[0]), value=ignored)
            final = {
                "class_queries_logits": outputs.class_queries_logits,
                "masks_queries_logits": outputs.masks_queries_logits,
            }
            loss = self.loss([*outputs.auxiliary_logits, final], labels)
        return SemanticSegmenterOutput(loss=loss, logits=logits)

    def _read_without_call(self) -> list[nn.Module]:
        """Layers of transformers' network whose weights are used without a call of the layer."""
        kinds = (nn.Embedding, nn.modules.linear.NonDynamicallyQuantizableLinear)
        return [] if torch.compiler.is_compiling() else [m for m in self.modules() if isinstance(m, kinds)]

    @property
    def accepts_loss_kwargs(self) -> bool:
        """False: the loss is a mean over masks and queries, not over pixels."""
        return False

    def loss(self, layers: list[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Mask2Former's loss, summed over the layers, of which the last is the final one.

        Each class of an image is one target mask. Ignored pixels belong to none, and every query's logit
        there is replaced by one that fits this, so they affect neither the assignment nor gradients. Images
        of ignored pixels only are left out.

        Args:
            layers: `class_queries_logits` (batch, queries, classes + 1) and `masks_queries_logits` (batch,
                queries, height', width') of each decoder layer.
            labels: (batch, height, width), int64, of the padded images.
        """
        ignored = labels == self.config.semantic_loss_ignore_index
        is_used = ~ignored.flatten(1).all(dim=1)
        # Without any label the loss is computed all the same and weighted by 0: with several processes, each
        # must take part in counting the masks.
        weight = 1.0 if is_used.any() else 0.0
        kept = is_used.nonzero().flatten() if weight else torch.arange(len(labels), device=labels.device)
        labels, ignored = labels[kept], ignored[kept]
        found = [torch.unique(each[~hidden]) for each, hidden in zip(labels, ignored, strict=True)]
        masks = [(each == known[:, None, None]).float() for each, known in zip(labels, found, strict=True)]
        cells = layers[-1]["masks_queries_logits"].shape[-2:]
        hidden = F.interpolate(ignored[:, None].float(), size=cells, mode="area") > 0.5
        *auxiliary, final = (
            {
                "class_queries_logits": layer["class_queries_logits"][kept].float(),
                "masks_queries_logits": layer["masks_queries_logits"][kept].float().masked_fill(hidden, _NOT),
            }
            for layer in layers
        )
        # transformers types these lists as tensors.
        network: Any = self.mask2former
        parts = network.get_loss_dict(
            **final, mask_labels=masks, class_labels=found, auxiliary_predictions=auxiliary
        )
        return network.get_loss(parts) * weight

    def load_pretrained(self, source: str, stem_init: str | None) -> None:
        """Load a checkpoint of transformers' class.

        Args:
            source: A Hub repository or a local folder.
            stem_init: How to adapt the first layer for red, green and blue to the network's bands.

        Raises:
            ValueError: The checkpoint does not fit (`stem.load_checkpoint`).
            OSError: The checkpoint cannot be found or read.
        """
        load_checkpoint(
            self.mask2former,
            source,
            self.config.bands,
            stem_init,
            classifiers=("class_predictor.", "criterion."),
            unused=[prefix.removeprefix("mask2former.") for prefix in self.unused],
        )


def semantic_logits(class_queries_logits: Tensor, masks_queries_logits: Tensor) -> Tensor:
    """Sum the queries' scores to class logits.

    A class's score at a pixel is the sum over the queries of the class probability times the mask
    probability, as in transformers' post-processing. The logit is its logarithm, so the argmax is the same
    class and the softmax each class's share of the scores.

    Args:
        class_queries_logits: (batch, queries, classes + 1), the last being "no object".
        masks_queries_logits: (batch, queries, height, width).

    Returns:
        (batch, classes, height, width), float32.
    """
    # In half precision the scores of a hundred queries tie.
    with torch.autocast(class_queries_logits.device.type, enabled=False):
        classes = class_queries_logits.float().softmax(dim=-1)[..., :-1]
        # Mask probabilities relative to each pixel's largest: far from every mask their sum would underflow,
        # with other runtimes' sigmoid earlier than with PyTorch's.
        masks = -F.softplus(-masks_queries_logits.float())
        largest = masks.amax(dim=1, keepdim=True)
        scores = torch.einsum("bqc,bqhw->bchw", classes, (masks - largest).exp())
        return scores.clamp(min=torch.finfo(torch.float32).tiny).log() + largest
