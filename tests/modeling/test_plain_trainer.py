"""What transformers' own Trainer relies on: numbers of classes, predictions, names of tensors."""

import copy
import pickle

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer, TrainingArguments

from euromine.modeling.auto import CHANGE_DETECTORS, create_model
from euromine.modeling.post_classification import PostClassification


@pytest.mark.parametrize("name", CHANGE_DETECTORS)
def test_a_detector_of_three_classes_has_three_or_is_refused(name):
    try:
        network = create_model(name, num_labels=3).eval()
    except ValueError as error:
        assert CHANGE_DETECTORS[name].two_classes_only
        assert str(error).startswith("num_labels: found 3; expected 2, as this euromine_")  # noqa: PT017
        return
    with torch.no_grad():
        assert network(torch.zeros(1, 2, 10, 64, 64)).logits.shape[1] == 3


@pytest.mark.parametrize("name", ["cgnet", "fc-ef"])
def test_trainers_predictions_are_the_logits_alone(name, tmp_path):
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", disable_tqdm=True)
    rows = [
        {"pixel_values": torch.zeros(2, 10, 32, 32), "labels": torch.zeros(32, 32, dtype=torch.int64)}
    ] * 2
    found = Trainer(create_model(name), arguments).predict(rows).predictions
    assert found.shape == (2, 2, 32, 32)


@pytest.mark.parametrize("name", ["segformer-b0", "fc-ef"])
def test_trainer_accumulates_to_the_loss_of_the_whole_batch_where_it_counts_known_pixels(name, tmp_path):
    """It counts all labels but -100, so only networks that ignore -100 are given its number."""
    torch.manual_seed(0)
    changes = name in CHANGE_DETECTORS
    network = create_model(name, semantic_loss_ignore_index=-100).eval()
    # Sure of one class, so that the parts' losses differ.
    classifier = [each for each in network.modules() if isinstance(each, torch.nn.Conv2d)][-1]
    torch.nn.init.constant_(classifier.bias[1:], 2.0)
    rows = []
    for number in range(4):
        labels = torch.full((32, 32), int(number == 3))
        labels[: 8 * number] = -100
        rows.append({"pixel_values": torch.randn(*((2,) if changes else ()), 10, 32, 32), "labels": labels})
    batch = {key: torch.stack([row[key] for row in rows]) for key in rows[0]}
    expected = network(**batch).loss
    arguments = TrainingArguments(
        str(tmp_path), use_cpu=True, report_to="none", disable_tqdm=True, gradient_accumulation_steps=4
    )
    trainer = Trainer(network, arguments)
    parts = [{key: value[None] for key, value in row.items()} for row in rows]
    items = trainer._get_num_items_in_batch(parts, arguments.device)
    found = sum(trainer.compute_loss(network, part, num_items_in_batch=items) for part in parts)
    torch.testing.assert_close(found, expected)
    assert abs(sum(network(**part).loss for part in parts) / 4 - expected) > 0.01, "as a mean of means"
    network.config.semantic_loss_ignore_index = 255
    assert not network.accepts_loss_kwargs


@pytest.mark.parametrize(
    "name", ["segformer-b0", "deeplabv3plus-mobilenetv2", "linknet", "post-classification"]
)
def test_a_checkpoints_file_is_loaded_whole_under_the_names_on_disk(name, tmp_path):
    def fresh():
        if name == "post-classification":
            return PostClassification(create_model("segformer-b0"))
        return create_model(name)

    saved, loaded = fresh(), fresh()
    saved.save_pretrained(tmp_path)
    # As transformers' Trainer loads the best checkpoint.
    result = loaded.load_state_dict(load_file(tmp_path / "model.safetensors"), False)
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    for key, value in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


@pytest.mark.parametrize("make", [create_model, lambda name: PostClassification(create_model(name))])
@pytest.mark.parametrize("again", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_network_is_pickled_and_copied(make, again):
    network = make("segformer-b0").eval()
    copied = again(network)
    images = torch.randn(1, *((2,) if isinstance(network, PostClassification) else ()), 10, 64, 64)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1)
        expected = again(network)(images).logits
        assert torch.equal(network(images).logits, expected)
        assert not torch.equal(copied(images).logits, expected)
