"""The loader's benchmark: every way to copy gives the same pixels, and the table divides by the right row."""

import numpy as np

from euromine.benchmark.loader import (
    LABELLED,
    PAIRS,
    RAW,
    MapBatches,
    MapRows,
    Reader,
    by_our_copy,
    from_map,
    in_loader,
    measure,
    report,
    stack,
)

NOISE = np.random.default_rng(0)
MAPS = {
    "image": NOISE.integers(-(2**15), 2**15, (9, 2, 5, 5), np.int16),
    "label": NOISE.integers(0, 256, (9, 5, 5), np.uint8),
}


def test_every_way_to_copy_a_memory_map_gives_its_pixels():
    order = NOISE.permutation(8).reshape(2, 4)
    names = ("image", "label")
    ways = (
        from_map(MAPS, names),
        by_our_copy(MAPS, names),
        in_loader(MapBatches(MAPS), dict),
        in_loader(MapRows(MAPS), stack),
    )
    for way in ways:
        for rows, batch in zip(order, way(order), strict=True):
            for name in names:
                np.testing.assert_array_equal(batch[name], [MAPS[name][row] for row in rows])


def test_each_reader_gives_all_of_its_batches_in_turn():
    read = []

    def epoch(order):
        for rows in order:
            read.append(sorted(rows.tolist()))
            yield rows

    seconds = measure([Reader("", "rows", epoch)] * 2, rows=70, repeats=3)
    assert seconds.shape == (3, 2, 2)
    assert len(read) == 12
    assert all(len(set(rows)) == 32 and max(rows) < 70 for rows in read)


def test_the_table_compares_with_the_raw_memory_map_of_the_same_content():
    ways = [
        Reader("images", RAW, iter),
        Reader(LABELLED, RAW, iter),
        Reader(LABELLED, "ours", iter),
        Reader(PAIRS, "theirs", iter),
        Reader("", "a part", iter),
    ]
    seconds = np.broadcast_to([0.001, 0.002, 0.0025, 0.004, 0.00015], (2, 3, 5))
    lines = report(ways, seconds, rows=100).splitlines()
    assert "| images and labels | ours | 12,800 | 0.80 | 0.80 to 0.80 |" in lines
    assert "| images of pairs and their change | theirs | 8,000 | 0.25 | 0.25 to 0.25 |" in lines
    assert lines[-1] == "| a part | 150 |"
