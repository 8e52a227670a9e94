"""Changes by a change detector, alone and beside a footprint mapper."""

import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from euromine.monitoring.history import detected_changes, evidence_store
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
        monkeypatch.setattr(detected_changes, "BLENDING_MEMORY", at_once * 2 * 4 * HEIGHT * WIDTH)
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


WINDOWS = {"window": 32, "overlap": 16, "smoothing": "none"}


def files_of(folder: Path) -> dict[str, bytes]:
    """All files; those that hold the time of writing without their content."""
    timed = ("series.json", "footprints.gpkg", "changes.gpkg")
    return {path.name: b"" if path.name in timed else path.read_bytes() for path in folder.iterdir()}


def interrupt(monkeypatch, place, models, out, killed, at=(2, 2)) -> None:
    """Press Ctrl-C when a window's block is about to be written, and copy what a kill would leave."""
    keep = evidence_store.EvidenceStore.write

    def write(store, row, column, block):
        if (row, column) == at:
            shutil.copytree(out, killed)
            raise KeyboardInterrupt
        keep(store, row, column, block)

    with monkeypatch.context() as patch:
        patch.setattr(evidence_store.EvidenceStore, "write", write)
        with pytest.raises(KeyboardInterrupt):
            series_of(models, place, out, **WINDOWS)


@pytest.fixture
def windows_run(monkeypatch) -> list[int]:
    """Grows by one with each window that the detector sees."""
    run, calls = detected_changes._change_probabilities, []
    monkeypatch.setattr(
        detected_changes, "_change_probabilities", lambda *each: calls.append(1) or run(*each)
    )
    return calls


def test_a_stopped_pass_is_completed_by_the_next_run_to_the_same_bytes(
    place, mapper, detector, tmp_path, monkeypatch, windows_run
):
    models = [mapper, detector]
    series_of(models, place, tmp_path / "undisturbed", **WINDOWS)
    expected = files_of(tmp_path / "undisturbed")
    assert len(windows_run) == 24
    stopped, killed = tmp_path / "stopped", tmp_path / "killed"
    interrupt(monkeypatch, place, models, stopped, killed)
    for folder in (stopped, killed):
        assert len(list((folder / evidence_store.FOLDER).glob("*.bits"))) == 14
    # A killed run's block may be damaged; the row above it runs again, since both overlap.
    torn = killed / evidence_store.FOLDER / "0001_0003.bits"
    torn.write_bytes(torn.read_bytes()[:-9] + bytes(9))
    for folder, windows in ((stopped, 18), (killed, 24)):
        windows_run.clear()
        series_of(models, place, folder, **WINDOWS)
        assert len(windows_run) == windows
        assert files_of(folder) == expected


def test_marks_wait_for_maps_that_could_not_be_written(place, detector, tmp_path, monkeypatch, windows_run):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(detected_changes, "_write_changes", stop)
        with pytest.raises(KeyboardInterrupt):
            series_of([detector], place, tmp_path, pairs="consecutive", **WINDOWS)
    windows_run.clear()
    result = series_of([detector], place, tmp_path, pairs="consecutive", **WINDOWS)
    assert not windows_run
    assert not (tmp_path / evidence_store.FOLDER).exists()
    # Another threshold marks other changes.
    before = result.change(2015, 2016)
    other = series_of([detector], place, tmp_path, pairs="consecutive", threshold=0.9, **WINDOWS)
    assert len(windows_run) == 24
    assert (other.change(2015, 2016) == 3).sum() < (before == 3).sum()
