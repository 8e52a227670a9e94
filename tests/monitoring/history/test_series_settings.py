"""Settings that are out of range."""

import pytest

from euromine.monitoring.history.series_settings import SeriesSettings
from euromine.support.errors import ArgumentError


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"smoothing": "mean"}, r"smoothing: found 'mean'; expected viterbi, median or none\."),
        ({"pairs": "some"}, r"pairs: found 'some'; expected all, consecutive or first-last\."),
        ({"change_by": "eye"}, r"change_by: found 'eye'; expected footprints or posterior\."),
        ({"threshold": 1.5}, r"threshold: found 1\.5; expected a probability of at least 0 and below 1\."),
        ({"minimum_mapping_unit": -1}, "minimum_mapping_unit: found -1; expected hectares of at least 0"),
        ({"probability_type": "int8"}, "found 'int8'; expected float32, uint16 or uint8"),
        ({"window": 100}, r"window: found 100; expected a positive multiple of 32\."),
        ({"batch_size": 0}, "batch_size: found 0; expected a whole number of at least 1"),
    ],
)
def test_settings_that_are_out_of_range_are_named(settings, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        SeriesSettings(**settings)
