"""Base classes of the networks: input checks, padding and initialisation."""

import contextlib
import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.core_model_loading import revert_weight_conversion

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
# Arguments of `from_pretrained` that locate a checkpoint.
_WHERE = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")


class PaddedModel(PreTrainedModel):
    """A network that checks its input and pads it, and so takes images of any height and width.

    Attributes:
        size_multiple: Multiple of pixels to which sides are padded.
        minimum_size: Least side in pixels; shorter sides are padded to it.
        unused: Prefixes of parameters that do not affect the output.
        channels_last: Whether maps keep their channels innermost on a CPU. Networks set it where that makes
            a single patch and a training step quicker (docs/benchmarks/models.md).
        channels_last_in_evaluation: Whether they do in evaluation mode, where training would be slower by it.
    """

    config_class: type[PreTrainedConfig] = PreTrainedConfig
    size_multiple: ClassVar[int] = 1
    minimum_size: ClassVar[int] = 1
    unused: ClassVar[tuple[str, ...]] = ()
    channels_last: ClassVar[bool] = False
    channels_last_in_evaluation: ClassVar[bool] = False

    def __init__(self, config: PreTrainedConfig, *args: Any, **kwargs: Any) -> None:
        bands, channels = getattr(config, "bands", None), getattr(config, "num_channels", None)
        if bands is not None and channels != len(bands):
            raise ValueError(
                f"num_channels: found {channels} with {len(bands)} bands ({', '.join(bands)}); expected the "
                "number of bands. A network of other bands is made by create_model(..., bands=...)."
            )
        super().__init__(config, *args, **kwargs)

    @property
    def may_leave_parameters_out(self) -> bool:
        """Whether a training step may use some of the parameters only, which several processes must know."""
        return False

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, but unused parameters stay frozen and other architectures are refused.

        Transformers itself would fill tensors that it does not find at random.

        Raises:
            ValueError: The checkpoint is of another architecture.
            OSError: The checkpoint cannot be found or read.
        """
        source = args[0] if args else kwargs.get("pretrained_model_name_or_path")
        where = {key: kwargs[key] for key in _WHERE if key in kwargs}
        given: Any = kwargs.get("config")
        # The Auto classes choose the network by its configuration and pass that.
        if source is not None and given is None:
            stored, _ = PreTrainedConfig.get_config_dict(source, **where)
            found, expected = stored.get("model_type"), cls.config_class.model_type
            if found != expected:
                raise ValueError(f"{source}: found {found or 'no model type'}; expected {expected}.")
            _check_same_bands(source, stored, kwargs.get("bands"))
        elif source is not None and getattr(given, "bands", None) is not None:
            with contextlib.suppress(OSError):  # weights without a configuration beside them
                stored, _ = PreTrainedConfig.get_config_dict(source, **where)
                _check_same_bands(source, stored, given.bands)
        loaded = super().from_pretrained(*args, **kwargs)
        network = loaded[0] if isinstance(loaded, tuple) else loaded
        network.freeze_unused()
        return loaded

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As in PyTorch, but also with the names that checkpoints have on disk.

        transformers' Trainer loads the best checkpoint's file by this method. All of SegFormer's tensors have
        other names there, and it would leave them as they are without an error.
        """
        own = self.state_dict()
        if state_dict.keys() - own.keys():
            names = {id(tensor): name for name, tensor in own.items()}
            stored = revert_weight_conversion(self, dict(own))
            ours = {name: names[id(tensor)] for name, tensor in stored.items() if id(tensor) in names}
            state_dict = {ours.get(name, name): tensor for name, tensor in state_dict.items()}
        return super().load_state_dict(state_dict, *args, **kwargs)

    @property
    def ignore_index(self) -> int:
        """The label that the loss leaves out."""
        return int(self.config.semantic_loss_ignore_index)

    @property
    def accepts_loss_kwargs(self) -> bool:
        """Whether transformers' Trainer may pass `num_items_in_batch`: it counts all labels but -100."""
        return self.ignore_index == -100

    def _set_gradient_checkpointing(
        self, enable: bool = True, gradient_checkpointing_func: Any = checkpoint, *args: Any, **kwargs: Any
    ) -> None:
        """As in transformers, without reentrant checkpoints.

        Images need no gradient, so those would leave the layers that see them without one, too.

        Raises:
            ValueError: `use_reentrant` is asked for, or the network has no layers to checkpoint.
        """
        if enable and getattr(gradient_checkpointing_func, "keywords", {}).get("use_reentrant"):
            raise ValueError(
                "use_reentrant: found True; expected False, as layers that see the images would not learn."
            )
        function = partial(gradient_checkpointing_func, use_reentrant=False)
        super()._set_gradient_checkpointing(enable, function, *args, **kwargs)

    def freeze_unused(self) -> None:
        """Freeze unused parameters: distributed training would wait for their gradients."""
        for name, parameter in self.named_parameters():
            if name.startswith(self.unused):
                parameter.requires_grad_(False)

    def get_input_embeddings(self) -> None:  # type: ignore[override]
        """None, as there are no token embeddings; sharded training (FSDP2) asks for them."""

    def check_channels(self, channels: int) -> None:
        """Refuse images with another number of bands.

        Raises:
            ValueError: `channels` differs from `config.num_channels`.
        """
        if channels != self.config.num_channels:
            raise ValueError(
                f"pixel_values: found {channels} channels; expected the {self.config.num_channels} bands "
                f"of this {self.config.model_type}: {', '.join(self.config.bands)}."
            )

    def check_images(self, pixel_values: Tensor) -> None:
        """Refuse anything but a batch of images of the network's bands.

        Raises:
            ValueError: The number of dimensions or of bands differs.
        """
        if pixel_values.ndim != 4:
            raise ValueError(
                f"pixel_values: found the shape {tuple(pixel_values.shape)}; "
                "expected (batch, channels, height, width)."
            )
        self.check_channels(pixel_values.shape[1])

    def pad(self, images: Tensor) -> Tensor:
        """Pad images (batch, channels, height, width) to sides that the network takes.

        Border pixels are repeated to the right and at the bottom, which avoids an edge of zeros. The caller
        crops the output to the original size.
        """
        height, width = images.shape[-2:]
        bottom, right = (self._padded(side) - side for side in (height, width))
        if bottom or right:
            images = F.pad(images, (0, right, 0, bottom), mode="replicate")
        innermost = self.channels_last or (self.channels_last_in_evaluation and not self.training)
        if innermost and images.device.type == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)
        return images

    def _padded(self, side: int) -> int:
        # In a program exported with dynamic sides a comparison is resolved, a maximum would remain.
        if side < self.minimum_size:
            side = self.minimum_size
        return side + -side % self.size_multiple


def _check_same_bands(source: Any, stored: Mapping[str, Any], bands: Any) -> None:
    """Refuse other bands than those that a checkpoint's first layer was trained on, in their order."""
    known = stored.get("bands")
    if known is not None and bands is not None and list(known) != list(bands):
        raise ValueError(
            f"bands: found {', '.join(bands)}; expected those of {source}: {', '.join(known)}. "
            "create_model(..., bands=...) makes a network of other bands."
        )


class MultispectralModel(PaddedModel):
    """Base class of the networks written for this project.

    A subclass sets `config_class` and builds its layers between `super().__init__(config)` and
    `self.post_init()`.
    """

    config_class = MultispectralConfig
    main_input_name = "pixel_values"
    base_model_prefix = ""

    # Auto class for a checkpoint's remote code in addition to AutoModel.
    task_auto_class: ClassVar[str | None] = None
    # Hub repository of the weights that `create_model(..., pretrained=True)` loads.
    checkpoint: ClassVar[str | None] = None
    # Renaming of the published network's tensors, applied in turn, and patterns of those that affect no
    # output and do not exist here (`conversion.py`).
    reference_keys: ClassVar[tuple[tuple[str, str], ...]] = ()
    reference_unused: ClassVar[tuple[str, ...]] = ()
    # Whether the network ends in one channel, of which `two_class_logits` makes two classes.
    two_classes_only: ClassVar[bool] = False

    def __init__(self, config: MultispectralConfig) -> None:
        super().__init__(config)
        # The configuration's fields are typed as optional.
        self.num_labels: int = config.num_labels or 2
        if self.two_classes_only and self.num_labels != 2:
            raise ValueError(
                f"num_labels: found {self.num_labels}; expected 2, as this {config.model_type} ends in one "
                "channel."
            )
        self.num_channels: int = config.num_channels or len(BANDS)

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Hub repositories of the weights that `create_model(..., pretrained=True)` loads, if any."""
        return () if self.checkpoint is None else (self.checkpoint,)

    @classmethod
    def prepare_reference(cls, reference: dict[str, Tensor]) -> dict[str, Tensor]:
        """Split joint tensors of the published network, before renaming."""
        return reference

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """As in transformers, but a checkpoint with code also names the Auto class of its task."""
        if self._auto_class is not None and self.task_auto_class is not None:
            reference = f"{type(self).__module__.rpartition('.')[2]}.{type(self).__name__}"
            self.config.auto_map = {self.task_auto_class: reference}
        super().save_pretrained(*args, **kwargs)

    def load_pretrained(self, source: str, stem_init: str | None) -> None:
        """Load a checkpoint of this network.

        Networks that can load other weights override this.

        Args:
            source: A Hub repository or a local path.
            stem_init: How to adapt a first layer for red, green and blue to the network's bands.

        Raises:
            ValueError: The checkpoint does not fit (`stem.load_checkpoint`).
            OSError: The checkpoint cannot be found or read.
        """
        load_checkpoint(self, source, self.config.bands, stem_init)

    def _init_weights(self, module: nn.Module) -> None:
        """Initialise a module as PyTorch does.

        Networks with another initialisation override this and call `super()._init_weights(module)` for the
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
    """Initialise convolutions in parts of a network from N(0, 2 / fan), for ReLUs after them.

    He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015, as in torchvision's networks.

    Args:
        module: Any module of the network, the argument of `_init_weights`.
        parts: Parts whose convolutions are initialised, except transposed ones.
        fan: "fan_out" counts the outputs that an input reaches, "fan_in" the inputs of an output.
        zero_bias: Whether to set biases to zero instead of leaving them.
    """
    if isinstance(module, nn.Conv2d) and any(module is each for part in parts for each in part.modules()):
        init.kaiming_normal_(module.weight, mode=fan, nonlinearity="relu")
        if zero_bias and module.bias is not None:
            init.zeros_(module.bias)


def resize_and_crop(maps: Tensor, padded: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Resize maps to the padded image and crop them to the image.

    Args:
        maps: (batch, channels, any height, any width) over the whole padded image.
        padded: Height and width of the padded image.
        size: Height and width of the image, in the upper left of the padded one.
    """
    if tuple(maps.shape[-2:]) != padded:
        maps = F.interpolate(maps, size=padded, mode="bilinear", align_corners=False)
    return maps[..., : size[0], : size[1]]


def two_class_logits(change: Tensor) -> Tensor:
    """Logits of two classes [0, z] from one channel z.

    For networks that end in one sigmoid: their softmax equals the sigmoid of z, and their cross-entropy the
    binary cross-entropy of z.

    Args:
        change: z, (batch, 1, height, width).
    """
    return torch.cat([torch.zeros_like(change), change], dim=1)


def learns_in_bfloat16(features: Tensor) -> bool:
    """Whether gradients are computed in bfloat16 on a CPU, where some of oneDNN's go wrong (torch 2.13)."""
    is_bfloat16 = features.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
    return features.device.type == "cpu" and is_bfloat16 and torch.is_grad_enabled()
