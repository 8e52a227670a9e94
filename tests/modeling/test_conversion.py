import pytest
import torch

from euromine.modeling.auto import convert_state_dict
from euromine.modeling.conversion import convert_reference, rename_key
from euromine.modeling.tinycd import TinyCDForChangeDetection

TAG = "in10_64_std"


@pytest.fixture(scope="module")
def converter():
    return lambda reference: convert_reference(TinyCDForChangeDetection, reference)


@pytest.fixture
def reference(published_network):
    return published_network("tinycd").state_dict(TAG)


def test_rules_are_applied_one_after_the_other():
    rules = ((r"^a\.", "b."), (r"^b\.(\d)", r"c.\1.d"), (r"nothing", "something"))
    assert rename_key("a.1.weight", rules) == "c.1.d.weight"
    assert rename_key("x.a.1.weight", rules) == "x.a.1.weight"


def test_every_tensor_finds_its_place_and_none_is_copied(converter, reference):
    converted = converter(reference)
    assert {value.data_ptr() for value in converted.values()} == {
        value.data_ptr() for value in reference.values()
    }
    # Three places that the published trace of the calls shows: first layer, deepest mixing, last layer.
    assert converted["encoder.stem.conv.weight"] is reference["_backbone.0.0.weight"]
    assert converted["mixing.mix.conv.weight"] is reference["_mixing_mask.2._convmix.0.weight"]
    assert converted["classifier.layers.2.bias"] is reference["_classify._linears.2.0.bias"]


def test_the_reference_is_left_alone(converter, reference):
    keys = list(reference)
    converter(reference)
    assert list(reference) == keys


def test_a_key_that_nobody_knows_is_named(converter, reference):
    reference["_head.weight"] = torch.zeros(1)
    with pytest.raises(
        ValueError, match=r"1 unknown keys \(_head.weight\) and 0 missing keys; .* TinyCDForChangeDetection"
    ):
        converter(reference)


def test_a_key_that_is_missing_is_named_as_ours(converter, reference):
    del reference["_up.1._convolution.3.bias"]
    with pytest.raises(ValueError, match=r"1 missing keys \(up_blocks.1.pointwise.conv.bias\);"):
        converter(reference)


def test_two_tensors_for_one_place_are_refused(converter, reference):
    reference["encoder.stem.conv.weight"] = torch.zeros(1)
    with pytest.raises(
        ValueError, match=r"found encoder.stem.conv.weight, which becomes encoder.stem.conv.weight as"
    ):
        converter(reference)


def test_a_checkpoint_of_another_network_is_refused_with_a_few_keys_and_how_many(
    converter, published_network
):
    with pytest.raises(ValueError, match=r"143 unknown keys \(conv11.weight, .*, \.\.\.\)") as raised:
        converter(published_network("fc-ef").state_dict("in10_64_std"))
    assert len(str(raised.value)) < 600


def test_a_checkpoint_for_other_bands_is_refused_on_loading(converter, published_network):
    converted = converter(published_network("tinycd").state_dict("in3_64_std"))
    network = TinyCDForChangeDetection(TinyCDForChangeDetection.config_class())
    with pytest.raises(RuntimeError, match=r"encoder.stem.conv.weight"):
        network.load_state_dict(converted)


def test_a_network_is_converted_by_its_name(reference):
    model = TinyCDForChangeDetection(TinyCDForChangeDetection.config_class())
    model.load_state_dict(convert_state_dict("tinycd", reference), strict=True)


@pytest.mark.parametrize("name", ["tinycdd", "segformer-b0"])
def test_a_network_without_a_published_one_is_refused(name):
    with pytest.raises(ValueError, match=f"name: found '{name}'; expected a published network: .*tinycd"):
        convert_state_dict(name, {})
