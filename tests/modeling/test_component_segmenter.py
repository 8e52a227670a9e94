"""Footprint mappers that map several groups of components at once."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForSemanticSegmentation

from euromine.modeling.auto import SEGMENTATION, create_model, list_models
from euromine.modeling.component_segmenter import ComponentSegmenter, ComponentSegmenterConfig
from euromine.modeling.configuration import SegmentationConfig
from euromine.modeling.segmentation import Segmenter

SMALL = json.loads(Path(__file__).with_name("small_networks.json").read_text())
# Not in alphabetical order, in which JSON files keep them.
GROUPS = {
    "rock": ["outcrop", "overburden"],
    "deposits": ["dumping_ground", "stockpile", "spoil"],
    "total": ["any component"],
}
BANDS = ("B04", "B03", "B02", "VV", "VH")
MAPPERS = set(list_models(SEGMENTATION)) - {"mask2former-swin-base"}
# One of every kind of mapper: without auxiliary maps, with them, and at its own resolution.
KINDS = ("unet", "upernet-convnext-base", "segformer-b0")


class GivenComponentsConfig(SegmentationConfig):
    model_type = "euromine_test-given-components"


class GivenComponents(Segmenter):
    """Takes its channels for logits."""

    config_class = GivenComponentsConfig

    def __init__(self, config: GivenComponentsConfig) -> None:
        super().__init__(config)
        self.post_init()

    def segment(self, images: Tensor) -> Tensor:
        return images


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(2, len(BANDS), 40, 52, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def labels() -> Tensor:
    """(2, 3, 40, 52), with 255 in unequal numbers of pixels of the groups."""
    generator = torch.Generator().manual_seed(1)
    of_groups = [torch.randint(0, count, (2, 40, 52), generator=generator) for count in (3, 4, 2)]
    labels = torch.stack(of_groups, dim=1)
    labels[0, 0, :30] = labels[:, 1, 7] = 255
    return labels


def wrapped(name: str, fill_with_signal) -> ComponentSegmenter:
    torch.manual_seed(0)
    model = create_model(name, bands=BANDS, label_groups=GROUPS, **SMALL[name])
    fill_with_signal(model)
    return model


@pytest.mark.parametrize("name", KINDS)
def test_heads_equal_separate_networks_with_their_weights(name, images, labels, fill_with_signal):
    model = wrapped(name, fill_with_signal).train()
    torch.manual_seed(2)
    together = model(images, labels=labels)
    tensors, losses, start = model.segmenter.state_dict(), [], 0
    for group, (head, classes) in enumerate(GROUPS.items()):
        alone = create_model(name, bands=BANDS, num_labels=1 + len(classes), **SMALL[name]).train()
        part = slice(start, start := start + 1 + len(classes))
        # A last layer has a row for each class; all other tensors are those of the shared network.
        shapes = {key: value.shape for key, value in alone.state_dict().items()}
        alone.load_state_dict(
            {key: value if value.shape == shapes[key] else value[part] for key, value in tensors.items()}
        )
        torch.manual_seed(2)
        output = alone(images, labels=labels[:, group])
        logits = F.interpolate(output.logits, size=(40, 52), mode="bilinear", align_corners=False)
        torch.testing.assert_close(model.split_logits(together.logits)[head], logits, rtol=1e-4, atol=1e-5)
        losses.append(output.loss)
    torch.testing.assert_close(together.loss, torch.stack(losses).mean(), rtol=1e-5, atol=0)


def test_maps_hold_each_groups_most_probable_class():
    groups = {"ground": ["preparatory_works", "excavation"], "total": ["any component"]}
    config = GivenComponentsConfig(num_channels=5, num_labels=5)
    model = ComponentSegmenter(GivenComponents(config), groups).eval()
    # Three pixels: none and a component; excavation and a component; preparatory works and none.
    logits = torch.tensor([[9, 1, 2], [0, 1, 4], [3, 8, 3], [1, 0, 7], [5, 1, 6]], dtype=torch.float32)
    maps = model.predict_maps(logits.reshape(1, 5, 1, 3))
    assert maps.dtype == torch.uint8
    assert maps.tolist() == [[[[0, 2, 1]], [[1, 1, 0]]]]


@pytest.mark.parametrize(
    "name", sorted(set(SMALL) & set(list_models(SEGMENTATION)) - {"mask2former-swin-base"})
)
def test_every_footprint_mapper_can_be_wrapped(name):
    model = create_model(name, bands=BANDS, label_groups=GROUPS, **SMALL[name]).eval()
    assert model.predict_maps(torch.zeros(1, len(BANDS), 33, 47)).shape == (1, 3, 33, 47)


@torch.no_grad()
def test_a_checkpoint_keeps_the_groups_and_their_order(images, fill_with_signal, tmp_path):
    model = wrapped("segformer-b0", fill_with_signal).eval()
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is ComponentSegmenter
    assert list(loaded.groups.items()) == list(GROUPS.items())
    assert loaded.config.bands == BANDS
    assert loaded.config.id2label[4] == "deposits: dumping_ground"
    torch.testing.assert_close(loaded(images).logits, model(images).logits)
    with pytest.raises(ValueError, match="Unrecognized configuration class"):
        AutoModelForSemanticSegmentation.from_pretrained(tmp_path)


def test_counts_of_labelled_pixels_weigh_the_parts_of_a_batch(images, labels, fill_with_signal):
    model = wrapped("sqnet", fill_with_signal).eval()
    known = (labels != 255).sum((0, 2, 3))
    whole = model(images, labels=labels).loss
    parts = [
        model(images[part], labels=labels[part], num_items_in_batch=known).loss
        for part in (slice(0, 1), slice(1, 2))
    ]
    torch.testing.assert_close(sum(parts), whole, rtol=1e-5, atol=0)
    # One number for all groups: the mean over all of their pixels.
    sums = [
        F.cross_entropy(logits, of_group, ignore_index=255, reduction="sum")
        for logits, of_group in zip(
            model.split_logits(model(images).logits).values(), labels.unbind(1), strict=True
        )
    ]
    pooled = model(images, labels=labels, num_items_in_batch=int(known.sum())).loss
    torch.testing.assert_close(pooled, sum(sums) / known.sum(), rtol=1e-5, atol=0)


def test_a_wrapped_mapper_starts_from_one_of_footprints_or_from_the_same_groups(fill_with_signal, tmp_path):
    footprints = create_model("segformer-b0", bands=BANDS, **SMALL["segformer-b0"])
    footprints.save_pretrained(tmp_path / "footprints")
    options = {"bands": BANDS, "label_groups": GROUPS, **SMALL["segformer-b0"]}
    model = create_model("segformer-b0", pretrained=tmp_path / "footprints", **options)
    before, after = footprints.state_dict(), model.segmenter.state_dict()
    others = [key for key, value in before.items() if not torch.equal(value, after[key])]
    assert others == ["decode_head.classifier.weight", "decode_head.classifier.bias"]

    model.save_pretrained(tmp_path / "components")
    again = create_model("segformer-b0", pretrained=tmp_path / "components", **options)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())
    with pytest.raises(ValueError, match=r"found a model of the label groups rock .*; expected total \(any"):
        create_model(
            "segformer-b0",
            pretrained=tmp_path / "components",
            **{**options, "label_groups": {"total": ["any component"]}},
        )


@pytest.mark.parametrize(
    ("name", "fields", "sentence"),
    [
        ("tinycd", {}, "label_groups: found them with tinycd; expected a footprint mapper"),
        ("utae", {}, "label_groups: found them with utae; expected a footprint mapper"),
        ("mask2former-swin-base", SMALL["mask2former-swin-base"], "found Mask2Former, whose masks have one"),
        ("sqnet", {"num_labels": 3}, "num_labels: found it beside label_groups"),
        ("sqnet", {"label_groups": {"rock": []}}, r"label_groups: found \[\] for rock; expected a list"),
        ("sqnet", {"label_groups": {"rock": ["dam", "dam"]}}, "found a class twice in rock"),
        ("sqnet", {"label_groups": {}}, "segmenter: found 0 classes|label_groups: found none"),
    ],
)
def test_networks_and_groups_that_do_not_fit_are_refused(name, fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        create_model(name, **{"label_groups": GROUPS, **fields})


def test_a_mapper_with_another_number_of_classes_is_refused():
    mapper = create_model("sqnet", num_labels=5, **SMALL["sqnet"])
    with pytest.raises(ValueError, match="found 5 classes in this euromine_sqnet; expected 9: those of rock"):
        ComponentSegmenter(mapper, GROUPS)
    with pytest.raises(ValueError, match="group_order: found rock; expected the names of the groups"):
        ComponentSegmenterConfig(groups=GROUPS, group_order=["rock"])


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (torch.zeros(1, 40, 52, dtype=torch.int64), r"expected \(1, 3, 40, 52\), a map of each group: rock"),
        ({"total": torch.zeros(1, 40, 52)}, r"labels: found a dict; expected a tensor \(batch, groups, "),
        (torch.full((1, 3, 40, 52), 2), r"labels: found \[2\]; expected 0 to 1 and 255"),
    ],
)
def test_labels_that_do_not_fit_the_groups_are_refused(labels, sentence):
    model = create_model("sqnet", bands=BANDS, label_groups=GROUPS, **SMALL["sqnet"])
    with pytest.raises(ValueError, match=sentence):
        model(torch.zeros(1, 5, 40, 52), labels=labels)
