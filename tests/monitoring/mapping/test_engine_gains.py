"""The table of gains by which "auto" decides: its entries must be found when a network runs."""

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from euromine.modeling.auto import AutoModelForChangeDetection
from euromine.monitoring.mapping.engine_gains import OPENVINO_GAINS
from euromine.monitoring.mapping.network_parts import network_parts


def test_every_gain_of_a_detector_is_of_one_of_its_parts():
    detectors = AutoModelForChangeDetection._model_mapping
    configs = {name: CONFIG_MAPPING[name.partition("/")[0]] for name, _ in OPENVINO_GAINS}
    classes = {name: detectors[config] for name, config in configs.items() if config in detectors}
    # The names of a detector's parts follow from its class alone.
    parts = {name: set(network_parts(each.__new__(each))) for name, each in classes.items()}
    assert "euromine_tinycd" in parts
    assert [(name, part) for name, part in OPENVINO_GAINS if name in parts and part not in parts[name]] == []
