"""The licences of pretrained weights that training can start from, as their pages on the Hub state them."""

from dataclasses import dataclass
from pathlib import Path

# Licences that let fine-tuned weights be released under another licence.
PERMISSIVE = {"apache-2.0": "Apache-2.0", "bsd-3-clause": "BSD-3-Clause", "mit": "MIT"}
OWN = "apache-2.0"
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class WeightsLicence:
    """The licence of a model's weights.

    Attributes:
        identifier: The Hub's identifier.
        name: A name of our own where the identifier is "other".
        link: Its text, where the identifier is "other".
        sentence: The sentence for the model card.
    """

    identifier: str
    name: str | None
    link: str | None
    sentence: str


@dataclass(frozen=True)
class _Terms:
    """A checkpoint's licence: the identifier on its page, and title, name and link where that is `other`."""

    identifier: str
    title: str = ""
    name: str = ""
    link: str = ""


_SEGFORMER = _Terms(
    "other",
    "the NVIDIA Source Code License for SegFormer, for research and evaluation only",
    "nvidia-source-code-license-segformer",
    "https://github.com/NVlabs/SegFormer/blob/master/LICENSE",
)
# Identifiers from the model pages (for SegFormer b3 and ResNet-50s from their siblings' pages). Titles and
# links of `other` come from the authors' code; without a title, nothing more is stated anywhere.
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
    **{f"timm/resnet{depth}.tv_in1k": _Terms("bsd-3-clause") for depth in (18, 34, 50, 101)},
    **{f"timm/resnet{depth}s.gluon_in1k": _Terms("apache-2.0") for depth in (50, 101)},
    "timm/vgg16_bn.tv_in1k": _Terms("bsd-3-clause"),
    "timm/mobilenetv2_100.ra_in1k": _Terms("apache-2.0"),
    "timm/efficientnet_b4.ra2_in1k": _Terms("apache-2.0"),
    "timm/pvt_v2_b1.in1k": _Terms("apache-2.0"),
}


def weights_licence(pretrained: str | None) -> WeightsLicence:
    """The licence of weights that were trained from a checkpoint, or from scratch.

    Args:
        pretrained: The repository, folder or file that training started from; several repositories are
            separated by a comma and a space.
    """
    if pretrained is None:
        return WeightsLicence(OWN, None, None, "trained from scratch, Apache-2.0.")
    sources = pretrained.split(", ")
    of_each = [CHECKPOINTS.get(source, _Terms(_UNKNOWN)) for source in sources]
    if all(terms.identifier in PERMISSIVE for terms in of_each):
        begun = " and ".join(
            f"{_code(origin_name(source))} ({PERMISSIVE[terms.identifier]})"
            for source, terms in zip(sources, of_each, strict=True)
        )
        return WeightsLicence(OWN, None, None, f"Apache-2.0; training started from {begun}.")
    # The first restrictive one.
    pretrained, terms = next(
        (source, terms)
        for source, terms in zip(sources, of_each, strict=True)
        if terms.identifier not in PERMISSIVE
    )
    origin = f"training started from {_code(origin_name(pretrained))}"
    page = None if Path(pretrained).exists() else f"https://huggingface.co/{pretrained}"
    if terms.title:
        sentence = f"{origin}, so these weights are subject to {terms.title} ({terms.link})."
        return WeightsLicence("other", terms.name, terms.link, sentence)
    known = "its page states the licence `other`" if terms.identifier == "other" else "its licence is unknown"
    where = f" ({page})" if page else ""
    sentence = f"{origin}; {known}{where}. Check it before using these weights for anything but research."
    return WeightsLicence("other", "as-the-base-model", page, sentence)


def _code(name: str) -> str:
    """A name as code in Markdown."""
    return f"`{name.replace('`', chr(39))}`"


def origin_name(pretrained: str) -> str:
    """The name of the checkpoint that training started from, without the path of a local folder."""
    return Path(pretrained).name if Path(pretrained).exists() else pretrained
