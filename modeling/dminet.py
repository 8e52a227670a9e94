"""DMINet: the dates attend to each other at three scales; agreement and difference are decoded separately.

Feng, Jiang, Xu, Zheng, "Change detection on remote sensing images using dual-branch multilevel intertemporal
network", IEEE TGRS 2023. Reproduces the benchmark's published network to float32 rounding; with
`prediction="authors"`, the authors' own prediction.
"""

from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from .base import init_convolutions
from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig
from .layers import MutualGate
from .offload import weights_in_place
from .pretrained import EncoderWeights, PretrainedEncoderModel
from .resnet import ResNet, resnet_weights


class DMINetConfig(ChangeDetectionConfig):
    """DMINet's configuration.

    Attributes:
        depth: Layers of the ResNet, of which three stages are used.
        head_width: Channels of each of the four heads.
        prediction: "benchmark" for the difference branch's coarser map, as in the benchmark's code; "authors"
            for the sum of both branches' finest maps.
    """

    model_type = "euromine_dminet"
    depth: int = 18
    head_width: int = 32
    prediction: str = "benchmark"

    def __post_init__(self, **kwargs: object) -> None:
        if self.prediction not in ("benchmark", "authors"):
            raise ValueError(f"prediction: found {self.prediction!r}; expected 'benchmark' or 'authors'.")
        super().__post_init__(**kwargs)


class JointAttention(nn.Module):
    """Both dates' queries together attend to each date, weighted by `gamma`, which starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query1 = nn.Conv2d(width, width // 8, 1)
        self.key1 = nn.Conv2d(width, width // 4, 1)
        self.value1 = nn.Conv2d(width, width, 1)
        self.query2 = nn.Conv2d(width, width // 8, 1)
        self.key2 = nn.Conv2d(width, width // 4, 1)
        self.value2 = nn.Conv2d(width, width, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.merge = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Two dates' maps, each (batch, width, h, w) -> their agreement and their absolute difference."""
        first, second = self.attended(first, second)
        return self.merge(torch.cat((first, second), dim=1)), abs(first - second)

    def attended(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Two dates' maps, each (batch, width, h, w) -> the same shapes, with attention added."""
        query = torch.cat((self.query1(first), self.query2(second)), dim=1)
        first = self._found(query, self.key1(first), self.value1(first)) + first
        second = self._found(query, self.key2(second), self.value2(second)) + second
        return first, second

    def _found(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        queries, keys, values = (each.flatten(2).mT[:, None] for each in (query, key, value))
        # One head, which exporters require; the published attention is not scaled by the width.
        found = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)
        return self.gamma * found.mT.reshape(value.shape)


class Branch(nn.Module):
    """Fuses three scales from the coarsest up; each of the two finer ones has a head."""

    def __init__(self, widths: list[int], head_width: int, num_labels: int) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.narrow = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))
            for channels, width in ((middle, fine), (coarse, middle))
        )
        self.gates = nn.ModuleList(MutualGate(width) for width in (fine, middle))
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, head_width, 3, padding=1),
                nn.BatchNorm2d(head_width),
                nn.ReLU(inplace=True),
                nn.Conv2d(head_width, num_labels, 3, padding=1),
            )
            for width in (fine, middle)
        )

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Maps at 1/4, 1/8 and 1/16 -> logits of the finer and of the coarser head at full size."""
        middle = self.joined(middle, coarse)
        fine = self.gates[0](fine, self.narrow[0](middle))
        return self._mapped(0, fine, 4), self._mapped(1, middle, 8)

    def coarser(self, middle: Tensor, coarse: Tensor) -> Tensor:
        """Maps at 1/8 and 1/16 -> logits of the coarser head at full size."""
        return self._mapped(1, self.joined(middle, coarse), 8)

    def joined(self, middle: Tensor, coarse: Tensor) -> Tensor:
        """Maps at 1/8 and 1/16 -> a fused map at 1/8."""
        return self.gates[1](middle, self.narrow[1](coarse))

    def _mapped(self, head: int, features: Tensor, scale: int) -> Tensor:
        return self.heads[head](F.interpolate(features, scale_factor=scale, mode="bilinear"))


class DMINetForChangeDetection(PretrainedEncoderModel, SiameseChangeDetector):
    """DMINet; the ResNet encodes a year, the dates meet after it. Its auxiliary maps are all four.

    Not symmetric in the dates, which have their own queries, keys and values.
    """

    config_class = DMINetConfig
    channels_last: ClassVar[bool] = True
    supports_gradient_checkpointing = True
    size_multiple: ClassVar[int] = 8
    minimum_size: ClassVar[int] = 16
    reference_keys = (
        (r"^resnet\.", "backbone."),
        # Published scale 4 is the finest, 2 the coarsest.
        *((rf"^cross{4 - scale}\.conv_cat\.", f"attention.{scale}.merge.") for scale in range(3)),
        *((rf"^cross{4 - scale}\.", f"attention.{scale}.") for scale in range(3)),
        *(
            rule
            for suffix, branch in (("_1", "agreement"), ("_2", "difference"))
            for rule in (
                (rf"^Translayer3{suffix}\.", f"{branch}.narrow.0."),
                (rf"^Translayer2{suffix}\.", f"{branch}.narrow.1."),
                (rf"^fam43{suffix}\.", f"{branch}.gates.0."),
                (rf"^fam32{suffix}\.", f"{branch}.gates.1."),
            )
        ),
        *(
            rule
            for theirs, ours in (
                ("final", "agreement.heads.0"),
                ("final2", "difference.heads.0"),
                ("final_2", "agreement.heads.1"),
                ("final2_2", "difference.heads.1"),
            )
            for rule in (
                (rf"^{theirs}\.0\.conv\.", f"{ours}.0."),
                (rf"^{theirs}\.0\.bn\.", f"{ours}.1."),
                (rf"^{theirs}\.1\.conv\.", f"{ours}.3."),
            )
        ),
        (r"(narrow\.\d)\.conv\.", r"\1.0."),
        (r"(narrow\.\d)\.bn\.", r"\1.1."),
        (r"\.conv_d1\.", ".coarse_gate."),
        (r"\.conv_l\.", ".fine_gate."),
        (r"\.conv3\.", ".merge.0."),
        (r"(gates\.\d)\.bn3\.", r"\1.merge.1."),
    )
    reference_unused = (r"^resnet\.fc\.",)

    def __init__(self, config: DMINetConfig) -> None:
        super().__init__(config)
        self.backbone = ResNet(self.num_channels, config.depth, strides=(1, 2, 2), dilations=(1, 1, 1))
        widths = self.backbone.widths[1:]
        self.attention = nn.ModuleList(JointAttention(width) for width in widths)
        self.agreement = Branch(widths, config.head_width, self.num_labels)
        self.difference = Branch(widths, config.head_width, self.num_labels)
        self.post_init()

    @property
    def may_leave_parameters_out(self) -> bool:
        """True while the auxiliary maps, which have layers of their own, are outside the loss."""
        return not self.config.auxiliary_loss_weight

    def pretrained_encoders(self) -> dict[str, EncoderWeights]:
        """The ResNet's weights."""
        return {"backbone": resnet_weights(self.backbone)}

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        init_convolutions(module, (self.backbone,))
        init_convolutions(module, (self.attention, self.agreement, self.difference), "fan_in")
        if isinstance(module, JointAttention):
            init.zeros_(module.gamma)

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> the ResNet's maps at 1/4, 1/8 and 1/16, finest first."""
        return self.backbone(pixel_values)[1:]

    def decode(self, features_1: Features, features_2: Features) -> tuple[Tensor, ...]:
        """Two years' maps -> change logits and the four maps, all (batch, 2, height, width)."""
        agreement, difference = zip(
            *(
                attend(first, second)
                for attend, first, second in zip(self.attention, features_1, features_2, strict=True)
            ),
            strict=True,
        )
        agreed_fine, agreed_coarse = self.agreement(*agreement)
        changed_fine, changed_coarse = self.difference(*difference)
        main = agreed_fine + changed_fine if self.config.prediction == "authors" else changed_coarse
        return main, agreed_fine, changed_fine, agreed_coarse, changed_coarse

    def decode_main(self, features_1: Features, features_2: Features) -> Tensor:
        """As `decode`, without the agreement and the finest scale if the logits need neither."""
        if self.config.prediction == "authors":
            return self.decode(features_1, features_2)[0]
        with weights_in_place(*self.attention):
            middle, coarse = (
                abs(torch.sub(*cast("JointAttention", attend).attended(first, second)))
                for attend, first, second in list(zip(self.attention, features_1, features_2, strict=True))[
                    1:
                ]
            )
        return self.difference.coarser(middle, coarse)
