"""Changes by a change detector, alone and beside a footprint mapper."""

from itertools import combinations

import numpy as np
import pytest
import torch

from euromine.monitoring.history import detected_changes
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.support.errors import DataError

from .site_images import HEIGHT, PLAIN, WIDTH, YEARS, image_of, series_of


def expected_changes(detector: LoadedModel) -> dict[tuple[int, int], np.ndarray]:
    """Each pair by a call of its own: the probability of change of the whole image."""
    found = {}
    for first, second in combinations(YEARS, 2):
        images = np.stack([image_of(first), image_of(second)])
        with torch.no_grad():
            pixel_values = detector.image_processor(images[None], return_tensors="pt").pixel_values
            logits = detector.model(pixel_values=pixel_values).logits
        found[first, second] = logits.softmax(1)[0, 1].numpy()
    return found


@pytest.mark.parametrize("at_once", [None, 2])
def test_a_change_detector_alone_finds_change_without_direction(
    place, detector, tmp_path, monkeypatch, at_once
):
    if at_once is not None:  # in two passes over the windows
        strip = 5 * HEIGHT * (WIDTH * 1 + 0)
        monkeypatch.setattr(detected_changes, "BLENDING_MEMORY", at_once * strip)
    result = series_of([detector], place, tmp_path, **PLAIN)
    for pair, probability in expected_changes(detector).items():
        is_clear = abs(probability - 0.5) > 1e-4
        expected = np.where(probability > 0.5, 3, 0)
        np.testing.assert_array_equal(result.change(*pair)[is_clear], expected[is_clear])
        assert 0 < (expected == 3).mean() < 1
    assert set(result.changes.columns) >= {"gain_ha", "loss_ha", "undirected_ha"}
    assert result.changes["gain_ha"].sum() == 0
    with pytest.raises(DataError, match=r"found no areas\.csv; expected a series with a footprint mapper\."):
        result.areas  # noqa: B018
    assert "A change detector alone cannot distinguish the two." in result.report().read_text(
        encoding="utf-8"
    )


def test_footprints_tell_the_direction_of_what_a_detector_found(place, mapper, detector, made, tmp_path):
    # In either order.
    result = series_of([detector, mapper], place, tmp_path, smoothing="none", pairs="consecutive", **PLAIN)
    assert result.pairs == [(2015, 2016), (2016, 2018)]
    for pair in result.pairs:
        probability = expected_changes(detector)[pair]
        found = probability > 0.5
        before, after = (made.footprint(year) for year in pair)
        expected = np.where(found, 3, 0)
        expected[found & (before < after)] = 1
        expected[found & (before > after)] = 2
        is_clear = abs(probability - 0.5) > 1e-4
        np.testing.assert_array_equal(result.change(*pair)[is_clear], expected[is_clear])


def test_a_year_in_no_pair_has_no_known_share(place, detector, tmp_path):
    result = series_of([detector], place, tmp_path, pairs="first-last", **PLAIN)
    assert result.pairs == [(2015, 2018)]
    assert [scene.known_share for scene in result.manifest.scenes] == [1, None, 1]
