"""The benchmark of windows: jumps at the lines between two windows, and its arguments."""

import numpy as np
import pytest

from euromine.benchmark.window_comparison import main, parse_choice, seam_jump
from euromine.monitoring.mapping.tiling import Tiling


def test_a_jump_counts_where_windows_fade_into_each_other_alone() -> None:
    # Windows of 64 begin every 48 pixels, 8 before the scene; the second fades in from pixel 44 to 51, the
    # third from 92 to 99: nine steps between pixels at the first of them and eight before the scene ends.
    tiling = Tiling.of(100, 100, 64, 16)
    assert (tiling.rows.count, tiling.rows.stride, tiling.rows.margin) == (3, 48, 8)
    for before_the_jump, is_seam in ((43, True), (47, True), (51, True), (42, False), (52, False)):
        probability = np.zeros((100, 100), np.float32)
        probability[before_the_jump + 1 :] = 1
        assert seam_jump(probability, tiling) == pytest.approx(is_seam / (2 * (9 + 8)))


def test_choices_are_checked(capsys) -> None:
    assert parse_choice("1024/64") == (1024, 64)
    with pytest.raises(SystemExit):
        main(["model", "--windows", "512"])
    assert "--windows: found '512'; expected WINDOW/OVERLAP, such as 512/64." in capsys.readouterr().err
