"""Offsets that numbers contradict."""

import numpy as np

from euromine.support.offset_check import OffsetCheck


def checked(*numbers):
    check = OffsetCheck()
    for each in numbers:
        check.add(np.array(each))
    return check


def test_numbers_without_any_dark_one_may_still_hold_the_offset():
    assert checked([1500] * 99, [1200]).lacks_dark
    assert not checked([1500] * 98, [400, 400]).lacks_dark
    assert not checked().lacks_dark


def test_many_negative_numbers_may_never_have_held_it():
    check = checked([500] * 90, [-20] * 10)
    assert (check.is_negative, check.negative_share) == (True, 0.1)
    assert not checked([500] * 96, [-20] * 4).is_negative
    assert (checked().is_negative, checked().negative_share) == (False, 0.0)
