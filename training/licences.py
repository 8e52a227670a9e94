"""The licences of the weights that training can begin from, as their pages on the Hub state them."""

from dataclasses import dataclass
from pathlib import Path

PERMISSIVE = ("apache-2.0", "mit")
OWN = "apache-2.0"
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class WeightsLicence:
    """Under what a model's weights stand.

    Attributes:
        identifier: The Hub's identifier of it.
        name: For "other", an identifier of one's own.
        link: For "other", where it can be read.
        sentence: What a card says.
    """

    identifier: str
    name: str | None
    link: str | None
    sentence: str


@dataclass(frozen=True)
class _Terms:
    """A checkpoint's licence: the identifier on its page; what that calls `other`, and where it is."""

    identifier: str
    title: str = ""
    name: str = ""
    link: str = ""


_SEGFORMER = _Terms(
    "other",
    "the NVIDIA Source Code License for SegFormer, for research and evaluation alone",
    "nvidia-source-code-license-segformer",
    "https://github.com/NVlabs/SegFormer/blob/master/LICENSE",
)
# Read off the model pages (of b3, off those of its siblings). `other` without a title: the page says no more.
CHECKPOINTS = {
    **{
        f"nvidia/segformer-{size}-finetuned-ade-{side}-{side}": _SEGFORMER
        for size, side in (("b0", 512), ("b1", 512), ("b2", 512), ("b3", 512), ("b4", 512), ("b5", 640))
    },
    "apple/mobilevitv2-1.0-voc-deeplabv3": _Terms(
        "other",
        "the Apple sample code licence",
        "apple-sample-code-license",
        "https://github.com/apple/ml-cvnets/blob/main/LICENSE",
    ),
    "google/deeplabv3_mobilenet_v2_1.0_513": _Terms("other"),
    "facebook/mask2former-swin-base-ade-semantic": _Terms("other"),
    "openmmlab/upernet-swin-base": _Terms("mit"),
    "openmmlab/upernet-convnext-base": _Terms("mit"),
    "timm/efficientnet_b4.ra2_in1k": _Terms("apache-2.0"),
}


def weights_licence(pretrained: str | None) -> WeightsLicence:
    """The licence of weights that were trained here from a checkpoint, or from none.

    Args:
        pretrained: The repository, folder or file that training began from.
    """
    if pretrained is None:
        return WeightsLicence(OWN, None, None, "trained from fresh ones, Apache-2.0.")
    terms = CHECKPOINTS.get(pretrained, _Terms(_UNKNOWN))
    origin = f"training began from `{origin_name(pretrained)}`"
    if terms.identifier in PERMISSIVE:
        title = {"mit": "MIT", "apache-2.0": "Apache-2.0"}[terms.identifier]
        return WeightsLicence(OWN, None, None, f"Apache-2.0; {origin}, which is under {title}.")
    page = None if Path(pretrained).exists() else f"https://huggingface.co/{pretrained}"
    if terms.title:
        sentence = f"{origin}, and what these weights owe to it stands under {terms.title} ({terms.link})."
        return WeightsLicence("other", terms.name, terms.link, sentence)
    known = (
        "its page calls its licence `other`" if terms.identifier == "other" else "its licence is unknown here"
    )
    where = f" ({page})" if page else ""
    sentence = f"{origin}; {known}{where}: find out before you use these weights for more than research."
    return WeightsLicence("other", "as-the-base-model", page, sentence)


def origin_name(pretrained: str) -> str:
    """What training began from, without the place of a folder on somebody's machine."""
    return Path(pretrained).name if Path(pretrained).exists() else pretrained
