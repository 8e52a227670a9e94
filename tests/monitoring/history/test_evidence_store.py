"""Blocks of evidence on disk: what is read back, and what an earlier run's folder is worth."""

import json

import numpy as np
import pytest

from euromine.monitoring.history.evidence_store import FOLDER, EvidenceStore, remove_evidence, stored_record
from euromine.monitoring.mapping.tiling import Block, Tiling
from euromine.support.errors import ArgumentError

TILING = Tiling.of(50, 70, 32, 16)


def fill(store: EvidenceStore, scene: np.ndarray) -> None:
    for row, column in store.tiling:
        block = Block.of(store.tiling, row, column)
        rows, columns = (part.stop - part.start for part in block.inside)
        store.write(row, column, scene[:, block.top : block.top + rows, block.left : block.left + columns])


@pytest.mark.parametrize("is_binary", [False, True])
def test_rows_are_read_back_over_the_borders_of_blocks(tmp_path, is_binary):
    numbers = np.random.default_rng(0).random((5, 50, 70), np.float32)
    scene = numbers > 0.4 if is_binary else numbers
    store = EvidenceStore.opened(tmp_path, TILING, 5, {}, is_binary=is_binary)
    fill(store, scene)
    assert store.complete_rows == TILING.rows.count > 2
    np.testing.assert_array_equal(store.read_rows(0, 50), scene)
    np.testing.assert_array_equal(store.read_rows(13, 41, [4, 1]), scene[[4, 1], 13:41])
    sizes = sum(path.stat().st_size for path in (tmp_path / FOLDER).iterdir())
    # Rows of blocks end in whole bytes; a block has four of its checksum.
    most = 5 * 50 * (70 / 8 + TILING.columns.count) if is_binary else 4 * 5 * 50 * 70
    assert sizes <= most + 4 * len(TILING) + 200


def test_a_damaged_block_is_made_anew_and_whole_ones_are_kept(tmp_path):
    record = {"model": "one", "years": [2015, 2016]}
    fill(EvidenceStore.opened(tmp_path, TILING, 2, record), np.ones((2, 50, 70), np.float32))
    damaged = tmp_path / FOLDER / "0002_0001.float32"
    data = bytearray(damaged.read_bytes())
    data[17] ^= 4
    damaged.write_bytes(data)
    assert EvidenceStore.opened(tmp_path, TILING, 2, record).complete_rows == 2
    assert not damaged.exists()
    assert len(list((tmp_path / FOLDER).glob("*.float32"))) == len(TILING) - 1


@pytest.mark.parametrize("spoilt", ["{", json.dumps({"format": "another", "inputs": {"model": "one"}})])
def test_evidence_of_something_else_is_not_used(tmp_path, spoilt):
    fill(EvidenceStore.opened(tmp_path, TILING, 2, {"model": "one"}), np.ones((2, 50, 70), np.float32))
    assert EvidenceStore.opened(tmp_path, TILING, 2, {"model": "one"}).complete_rows == TILING.rows.count
    (tmp_path / FOLDER / "record.json").write_text(spoilt)
    assert stored_record(tmp_path) is None
    assert EvidenceStore.opened(tmp_path, TILING, 2, {"model": "one"}).complete_rows == 0
    assert EvidenceStore.opened(tmp_path, TILING, 2, {"model": "two"}).complete_rows == 0
    assert stored_record(tmp_path) == {"model": "two"}
    remove_evidence(tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_link_is_not_taken_for_evidence(tmp_path):
    EvidenceStore.opened(tmp_path, TILING, 2, {"model": "one"})
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / FOLDER).symlink_to(tmp_path / FOLDER)
    with pytest.raises(ArgumentError, match=r"\.evidence: found something that EuroMine did not write"):
        EvidenceStore.opened(tmp_path / "maps", TILING, 2, {"model": "one"})
