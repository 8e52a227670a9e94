"""What every network written here shares: checks of the input, padding, PyTorch's own initialisation."""

import math
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init

from .bands import BANDS
from .configuration import MultispectralConfig
from .stem import load_checkpoint

_LAYERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
# What tells `from_pretrained` where a checkpoint is.
_WHERE = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")


class PaddedModel(PreTrainedModel):
    """Checks and padding with which a network takes images of any height and width.

    A network says to which multiple of pixels its sides must be padded (`size_multiple`), which side it
    needs at least (`minimum_size`), and which of its parameters reach no output (`unused`, prefixes).
    """

    config_class: type[PreTrainedConfig] = PreTrainedConfig
    size_multiple: ClassVar[int] = 1
    minimum_size: ClassVar[int] = 1
    unused: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As transformers', which forgets that parameters are frozen and fills another network at random.

        Raises:
            ValueError: The checkpoint is of another architecture.
            OSError: There is none, or it cannot be read.
        """
        source = args[0] if args else kwargs.get("pretrained_model_name_or_path")
        # The Auto classes choose by the configuration, and hand it over.
        if source is not None and kwargs.get("config") is None:
            where = {key: kwargs[key] for key in _WHERE if key in kwargs}
            stored, _ = PreTrainedConfig.get_config_dict(source, **where)
            found, expected = stored.get("model_type"), cls.config_class.model_type
            if found != expected:
                raise ValueError(f"{source}: found {found or 'no model type'}; expected {expected}.")
        loaded = super().from_pretrained(*args, **kwargs)
        network = loaded[0] if isinstance(loaded, tuple) else loaded
        network.freeze_unused()
        return loaded

    def freeze_unused(self) -> None:
        """Ask no gradient of what reaches no output: distributed training would wait for it."""
        for name, parameter in self.named_parameters():
            if name.startswith(self.unused):
                parameter.requires_grad_(False)

    def get_input_embeddings(self) -> None:  # type: ignore[override]
        """None: no token is embedded. Sharded training (FSDP2) asks."""

    def check_channels(self, channels: int) -> None:
        """Refuse images of another number of bands.

        Raises:
            ValueError: `channels` is not what the configuration names.
        """
        if channels != self.config.num_channels:
            raise ValueError(
                f"pixel_values: found {channels} channels; expected the {self.config.num_channels} bands "
                f"of this {self.config.model_type}: {', '.join(self.config.bands)}."
            )

    def pad(self, images: Tensor) -> Tensor:
        """Images (batch, channels, height, width) grown to sides that the network takes.

        The border is repeated to the right and below, so that no edge of zeros is seen; the caller crops
        what comes out to the size that went in.
        """
        height, width = images.shape[-2:]
        bottom, right = (self._padded(side) - side for side in (height, width))
        if not bottom and not right:
            return images
        return F.pad(images, (0, right, 0, bottom), mode="replicate")

    def _padded(self, side: int) -> int:
        # A program exported with open sides decides a comparison, but would carry a maximum along.
        if side < self.minimum_size:
            side = self.minimum_size
        return side + -side % self.size_multiple


class MultispectralModel(PaddedModel):
    """The base of the project's networks.

    A subclass names its configuration and builds its layers between `super().__init__(config)` and
    `self.post_init()`.
    """

    config_class = MultispectralConfig
    main_input_name = "pixel_values"
    base_model_prefix = ""

    # The auto class that a checkpoint's remote code offers beside AutoModel, where transformers has one.
    task_auto_class: ClassVar[str | None] = None
    # The Hub repository that `create_model(..., pretrained=True)` starts from, where there is one.
    checkpoint: ClassVar[str | None] = None
    # The published network's tensors: (pattern, replacement) in turn give our names; what matches
    # `reference_unused` reaches no output there and does not exist here (`conversion.py`).
    reference_keys: ClassVar[tuple[tuple[str, str], ...]] = ()
    reference_unused: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: MultispectralConfig) -> None:
        super().__init__(config)
        # The configuration's own fields are optional until it is built, these are not.
        self.num_labels: int = config.num_labels or 2
        self.num_channels: int = config.num_channels or len(BANDS)

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The Hub repositories that `create_model(..., pretrained=True)` starts from, if any."""
        return () if self.checkpoint is None else (self.checkpoint,)

    @classmethod
    def prepare_reference(cls, reference: dict[str, Tensor]) -> dict[str, Tensor]:
        """The published network's tensors before they are renamed: taken apart where ours stand alone."""
        return reference

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """As transformers', with the task's auto class beside AutoModel in a remote-code checkpoint."""
        if self._auto_class is not None and self.task_auto_class is not None:
            reference = f"{type(self).__module__.rpartition('.')[2]}.{type(self).__name__}"
            self.config.auto_map = {self.task_auto_class: reference}
        super().save_pretrained(*args, **kwargs)

    def load_pretrained(self, source: str, stem_init: str | None) -> None:
        """Start from a checkpoint of this network instead of fresh weights.

        A network that can start from others' weights overrides this.

        Args:
            source: A Hub repository or a local path.
            stem_init: How a first layer for red, green and blue becomes one for the network's bands.

        Raises:
            ValueError: The checkpoint does not fit (`stem.load_checkpoint`).
            OSError: There is none, or it cannot be read.
        """
        load_checkpoint(self, source, self.config.bands, stem_init)

    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own start, with which the benchmark's networks begin unless they say otherwise.

        A network with a start of its own overrides this and calls `super()._init_weights(module)` for the
        rest.
        """
        if isinstance(module, _LAYERS):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            if module.bias is not None:
                fan_in, _ = nn.init._calculate_fan_in_and_fan_out(module.weight)
                bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
                init.uniform_(module.bias, -bound, bound)
        elif isinstance(module, _NORMS):
            if module.weight is not None:
                init.ones_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
            for name, start in (("running_mean", 0.0), ("running_var", 1.0), ("num_batches_tracked", 0.0)):
                if (statistics := getattr(module, name, None)) is not None:
                    init.constant_(statistics, start)
        elif isinstance(module, nn.PReLU):
            init.constant_(module.weight, module.init)


def init_convolutions(
    module: nn.Module,
    parts: Iterable[nn.Module],
    fan: Literal["fan_in", "fan_out"] = "fan_out",
    zero_bias: bool = False,
) -> None:
    """Draw a convolution within some parts of a network from N(0, 2 / fan), for ReLUs behind it.

    He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015; torchvision's networks start so.

    Args:
        module: Any module of the network, as `_init_weights` is given one after the other.
        parts: Where its convolutions start so. Transposed ones are left as they are.
        fan: "fan_out" counts the values that one value goes to, "fan_in" those that one comes from.
        zero_bias: Whether a bias starts at zero; else it is left as it is.
    """
    if isinstance(module, nn.Conv2d) and any(module is each for part in parts for each in part.modules()):
        init.kaiming_normal_(module.weight, mode=fan, nonlinearity="relu")
        if zero_bias and module.bias is not None:
            init.zeros_(module.bias)


def resize_and_crop(maps: Tensor, padded: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Maps of any resolution over a padded image -> maps of the image, pixel by pixel.

    Args:
        maps: (batch, channels, any height, any width) over the whole padded image.
        padded: Height and width of the padded image.
        size: Height and width of the image, in its upper left.
    """
    if tuple(maps.shape[-2:]) != padded:
        maps = F.interpolate(maps, size=padded, mode="bilinear", align_corners=False)
    return maps[..., : size[0], : size[1]]


def two_class_logits(change: Tensor) -> Tensor:
    """Logits of two classes [0, z] from one channel z.

    Their softmax is the sigmoid of z and their cross-entropy its binary cross-entropy, exactly: the form
    of the networks that end in one sigmoid.

    Args:
        change: z, (batch, 1, height, width).
    """
    return torch.cat([torch.zeros_like(change), change], dim=1)
