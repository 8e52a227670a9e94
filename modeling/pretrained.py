"""Encoders that start from published weights: torchvision's, timm's and torchgeo's."""

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
from transformers.utils.hub import cached_file

from .bands import KNOWN_BANDS
from .base import MultispectralModel
from .conversion import rename_key
from .stem import STEM_RULES, check_stem_rule, inflate_stem

# Weights that go by a name of their own: the Hub repository and the file in it.
NAMED_WEIGHTS = {
    # Wang et al., "SSL4EO-S12", IEEE GRSM 2023: momentum contrast on all bands of Sentinel-2; CC BY 4.0.
    "ssl4eo-resnet50-moco": (
        "torchgeo/resnet50_sentinel2_all_moco",
        "resnet50_sentinel2_all_moco-df8b932e.pth",
    ),
}

# What an encoder of thirteen channels sees, in this order.
_SENTINEL_2 = KNOWN_BANDS[:13]


@dataclass(frozen=True)
class EncoderWeights:
    """Which published weights an encoder takes, and what becomes of their tensors.

    Attributes:
        name: What the encoder is called, such as ResNet-18.
        stem: Name of the weight of the encoder's first layer.
        spellings: For each way to call the tensors a tensor that stands in it alone, and the rules (pattern,
            replacement) that give our names.
        repository: The Hub repository with ImageNet's weights, where there is one.
        left_out: Patterns of tensors, once renamed, that the encoder does without: the last layer, later
            stages.
        fresh: Patterns of the encoder's tensors that published weights lack.
        near_misses: Tensors that tell of a relative that does not fit, and what is said then.
    """

    name: str
    stem: str
    spellings: Mapping[str, tuple[tuple[str, str], ...]]
    repository: str | None = None
    left_out: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    near_misses: Mapping[str, str] = field(default_factory=dict)

    def recognises(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether tensors are called as those of this encoder are."""
        return any(sign in tensors for sign in self.spellings)

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Published tensors under our names, without what the encoder does without."""
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
    """Give an encoder published weights; where they do not fit, nothing changes.

    A first layer for red, green and blue is inflated; of one for Sentinel-2's thirteen bands those of `bands`
    are taken as they are.

    Args:
        encoder: Built for `bands`.
        weights: What it takes.
        tensors: The published tensors under their own names.
        bands: Names of the encoder's input channels.
        stem_init: "semantic", "cyclic" or "random" (`stem.py`; the encoder's own first layer stays) for
            weights of three channels.
        source: Where the tensors come from, for what is raised.

    Raises:
        ValueError: The tensors are of another encoder, or the first layer does not fit `bands`.
    """
    check_stem_rule(stem_init)
    if not weights.recognises(tensors):
        for sign, sentence in weights.near_misses.items():
            if sign in tensors:
                raise ValueError(f"{source}: {sentence}")
    expected = encoder.state_dict()
    # Old checkpoints lack the batch norms' counters, which reach no output.
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
    """A network whose encoder, or each of whose encoders, may start from published weights alone."""

    def pretrained_encoders(self) -> dict[str, EncoderWeights]:
        """What each encoder takes, by the encoder's name in the network."""
        raise NotImplementedError(f"{type(self).__name__} does not say which weights its encoder takes")

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The Hub repositories with ImageNet's weights, one an encoder; none where one encoder has none."""
        found = [weights.repository for weights in self.pretrained_encoders().values()]
        return tuple(filter(None, found)) if all(found) else ()

    def load_pretrained(self, source: str, stem_init: str | None) -> None:
        """Start from a checkpoint of this network, or from weights for one encoder alone.

        Args:
            source: A Hub repository, a local folder or file, or a name of `NAMED_WEIGHTS`. Where the network
                has several encoders, the names of the tensors tell whose they are.
            stem_init: How a first layer for red, green and blue becomes one for the network's bands.

        Raises:
            ValueError: The weights do not fit.
            OSError: There are none, or they cannot be read.
        """
        if not is_encoder(source):
            super().load_pretrained(source, stem_init)
            return
        tensors = read_encoder(source)
        encoders = self.pretrained_encoders()
        # Of a single encoder what does not fit is named tensor by tensor.
        chosen = [name for name in encoders if len(encoders) == 1 or encoders[name].recognises(tensors)]
        if not chosen:
            names = " or ".join(weights.name for weights in encoders.values())
            raise ValueError(f"{source}: found weights of no encoder of this network; expected {names}.")
        for name in chosen:
            load_encoder(
                self.get_submodule(name), encoders[name], tensors, self.config.bands, stem_init, source
            )
        self.config.stem_init = stem_init


def is_encoder(source: str) -> bool:
    """Whether a source holds an encoder's weights alone, and no checkpoint of transformers.

    Args:
        source: A name of `NAMED_WEIGHTS`, a file, a folder or a Hub repository.
    """
    if source in NAMED_WEIGHTS or Path(source).is_file():
        return True
    try:
        stored, _ = PreTrainedConfig.get_config_dict(source)
    except OSError:
        # No checkpoint of any kind: whoever reads it as one of transformers says so.
        return False
    # timm's configurations name an architecture, transformers' a model type.
    return "model_type" not in stored


def read_encoder(source: str) -> dict[str, Tensor]:
    """The tensors of an encoder's weights.

    Args:
        source: A name of `NAMED_WEIGHTS`, a .safetensors file, a file of `torch.save` with tensors alone, or
            a folder or a Hub repository with model.safetensors.

    Raises:
        OSError: There is no such file, or it cannot be read.
        ValueError: It holds something else than tensors by name.
    """
    try:
        if source in NAMED_WEIGHTS:
            path = hf_hub_download(*NAMED_WEIGHTS[source])
        elif Path(source).is_file():
            path = source
        else:
            path = str(cached_file(source, "model.safetensors"))
    except OSError as error:
        raise OSError(
            f"{source} is neither a file with weights nor a repository that can be reached."
        ) from error
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
