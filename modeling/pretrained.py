"""Published weights for encoders: torchvision's, timm's and torchgeo's."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError

import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import cached_file

from .bands import KNOWN_BANDS
from .base import MultispectralModel
from .conversion import rename_key
from .stem import STEM_RULES, check_stem_rule, inflate_stem
from .weight_sources import absent_weights, check_weights_source

# Weights with a name of their own: Hub repository and file.
NAMED_WEIGHTS = {
    # Wang et al., "SSL4EO-S12", IEEE GRSM 2023: momentum contrast on all bands of Sentinel-2; CC BY 4.0.
    "ssl4eo-resnet50-moco": (
        "torchgeo/resnet50_sentinel2_all_moco",
        "resnet50_sentinel2_all_moco-df8b932e.pth",
    ),
}

# Channels of an encoder for all of Sentinel-2's bands, in order.
_SENTINEL_2 = KNOWN_BANDS[:13]


@dataclass(frozen=True)
class EncoderWeights:
    """Published weights that fit an encoder, and the conversion of their tensors.

    Attributes:
        name: Name of the encoder, such as ResNet-18.
        stem: Name of the weight of the encoder's first layer.
        spellings: Naming schemes: a tensor that only this scheme has, and rules (pattern, replacement) to the
            encoder's names.
        repository: Hub repository with ImageNet weights, if any.
        left_out: Patterns of renamed tensors that the encoder does not have: the last layer, later stages.
        fresh: Patterns of the encoder's tensors that published weights lack.
        near_misses: Tensors of related encoders that do not fit, and the error message for each.
    """

    name: str
    stem: str
    spellings: Mapping[str, tuple[tuple[str, str], ...]]
    repository: str | None = None
    left_out: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    near_misses: Mapping[str, str] = field(default_factory=dict)

    def recognises(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether the tensors have one of the naming schemes."""
        return any(sign in tensors for sign in self.spellings)

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Published tensors under the encoder's names, without those left out."""
        rules = next((rules for sign, rules in self.spellings.items() if sign in tensors), ())
        ours = {rename_key(key, rules): value for key, value in tensors.items()}
        return {key: value for key, value in ours.items() if not _matches(key, self.left_out)}


def load_encoder(
    encoder: nn.Module,
    weights: EncoderWeights,
    tensors: Mapping[str, Tensor],
    bands: Sequence[str],
    stem_init: str | None,
    source: str = "the checkpoint",
) -> None:
    """Load published weights into an encoder, or raise an error and leave it unchanged.

    A first layer for red, green and blue is inflated; from one for Sentinel-2's thirteen bands, the filters
    of `bands` are used.

    Args:
        encoder: An encoder for `bands`.
        weights: Its published weights.
        tensors: The published tensors under their own names.
        bands: Names of the encoder's input channels.
        stem_init: "semantic", "cyclic" or "random" (`stem.py`; the encoder's own first layer stays) for
            weights of three channels.
        source: Source of the tensors, for error messages.

    Raises:
        ValueError: The tensors are of another encoder, or the first layer does not fit `bands`.
    """
    check_stem_rule(stem_init)
    if not weights.recognises(tensors):
        for sign, sentence in weights.near_misses.items():
            if sign in tensors:
                raise ValueError(f"{source}: {sentence}")
    expected = encoder.state_dict()
    # Old checkpoints lack the batch norms' counters, which do not affect the output.
    fitted = {
        key: value
        for key, value in expected.items()
        if key.endswith("num_batches_tracked") or _matches(key, weights.fresh)
    }
    fitted |= weights.renamed(tensors)
    if weights.stem in fitted:
        fresh = expected[weights.stem]
        fitted[weights.stem] = _fitted_stem(fitted[weights.stem], fresh, bands, stem_init, source)
    misfits = sorted(
        key
        for key in expected.keys() | fitted.keys()
        if key not in expected or key not in fitted or expected[key].shape != fitted[key].shape
    )
    if misfits:
        raise ValueError(
            f"{source}: found {len(misfits)} tensors missing, unknown or of another shape "
            f"({', '.join(misfits[:3])}{', ...' if len(misfits) > 3 else ''}); "
            f"expected a {weights.name} as this network's encoder."
        )
    encoder.load_state_dict(fitted)


def _fitted_stem(
    weight: Tensor, fresh: Tensor, bands: Sequence[str], stem_init: str | None, source: str
) -> Tensor:
    if weight.ndim == 4 and weight.shape[1] == len(_SENTINEL_2):
        if unknown := [band for band in bands if band not in _SENTINEL_2]:
            raise ValueError(
                f"{source}: found weights for Sentinel-2's thirteen bands; "
                f"expected {', '.join(unknown)} among them."
            )
        return weight[:, [_SENTINEL_2.index(band) for band in bands]]
    if stem_init is None:
        raise ValueError(
            f"{source}: found weights for other bands, with stem_init None; "
            f"expected stem_init to be one of {', '.join(STEM_RULES)}."
        )
    return fresh if stem_init == "random" else inflate_stem(weight, bands, stem_init)


def _matches(key: str, patterns: tuple[str, ...]) -> bool:
    return any(re.search(pattern, key) for pattern in patterns)


class PretrainedEncoderModel(MultispectralModel):
    """A network that can load published weights for its encoder or encoders."""

    def pretrained_encoders(self) -> dict[str, EncoderWeights]:
        """Published weights of each encoder, by the encoder's name in the network."""
        raise NotImplementedError(f"{type(self).__name__} does not implement pretrained_encoders")

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Hub repositories with ImageNet weights, one per encoder; empty if an encoder has none."""
        found = [weights.repository for weights in self.pretrained_encoders().values()]
        return tuple(filter(None, found)) if all(found) else ()

    def load_pretrained(self, source: str, stem_init: str | None) -> None:
        """Load a checkpoint of this network, or weights for one encoder.

        Args:
            source: A Hub repository, a local folder or file, or a name of `NAMED_WEIGHTS`. With several
                encoders, tensor names identify the encoder.
            stem_init: How to adapt a first layer for red, green and blue to the network's bands.

        Raises:
            ValueError: The weights do not fit.
            OSError: The weights cannot be found or read.
        """
        if not is_encoder(source):
            super().load_pretrained(source, stem_init)
            return
        tensors = read_encoder(source)
        encoders = self.pretrained_encoders()
        # With a single encoder, `load_encoder` lists the tensors that do not fit.
        chosen = [name for name in encoders if len(encoders) == 1 or encoders[name].recognises(tensors)]
        if not chosen:
            names = " or ".join(weights.name for weights in encoders.values())
            raise ValueError(f"{source}: found weights of no encoder of this network; expected {names}.")
        for name in chosen:
            load_encoder(
                self.get_submodule(name), encoders[name], tensors, self.config.bands, stem_init, source
            )
        self.config.stem_init = stem_init


def check_weights(source: str) -> None:
    """Refuse weights to start from that are nowhere, before anything is downloaded.

    Args:
        source: A name of `NAMED_WEIGHTS`, a file, a folder or a Hub repository.

    Raises:
        OSError: There are none, or the Hub cannot be reached or denies access.
    """
    repository, *files = NAMED_WEIGHTS.get(source, (source, CONFIG_NAME, SAFE_WEIGHTS_NAME))
    check_weights_source(source, repository, *files)


def is_encoder(source: str) -> bool:
    """Whether a source holds weights of an encoder, not a checkpoint of transformers.

    Args:
        source: A name of `NAMED_WEIGHTS`, a file, a folder or a Hub repository.
    """
    if source in NAMED_WEIGHTS or Path(source).is_file():
        return True
    try:
        stored, _ = PreTrainedConfig.get_config_dict(source)
    except OSError:
        # Not a checkpoint of any kind: loading it raises the error.
        return False
    # timm's configurations name an architecture, transformers' a model type.
    return "model_type" not in stored


def read_encoder(source: str) -> dict[str, Tensor]:
    """Read the tensors of an encoder's weights.

    Args:
        source: A name of `NAMED_WEIGHTS`, a .safetensors file, a `torch.save` file of tensors only, or a
            folder or Hub repository with model.safetensors.

    Raises:
        OSError: The file cannot be found or read.
        ValueError: The file does not hold tensors by name.
    """
    try:
        if source in NAMED_WEIGHTS:
            path = hf_hub_download(*NAMED_WEIGHTS[source])
        elif Path(source).is_file():
            path = source
        else:
            path = str(cached_file(source, SAFE_WEIGHTS_NAME))
    except OSError as error:
        raise absent_weights(source, error) from error
    try:
        if path.endswith(".safetensors"):
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{source}: found no readable tensors; expected a file of tensors alone.") from error
    if not isinstance(tensors, Mapping) or not all(isinstance(each, Tensor) for each in tensors.values()):
        raise ValueError(
            f"{source}: found objects other than tensors; expected a state dict, tensors by name."
        )
    return dict(tensors)
