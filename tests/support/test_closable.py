import pytest

from euromine.support.closable import Closable


class Door(Closable):
    def __init__(self):
        self.is_open = True

    def close(self):
        self.is_open = False


def test_the_end_of_a_block_closes_even_where_it_raises():
    with Door() as door:
        assert door.is_open
    assert not door.is_open
    with pytest.raises(KeyError), Door() as other:
        raise KeyError
    assert not other.is_open


def test_a_class_that_does_not_close_cannot_be_made():
    with pytest.raises(TypeError, match="close"):
        Closable()
