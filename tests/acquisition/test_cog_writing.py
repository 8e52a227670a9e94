"""Images that cannot be written in full."""

import resource

import numpy as np
import pytest

from euromine.acquisition.cog_writing import image_draft
from euromine.acquisition.site_grids import SiteGrid
from euromine.support.files import TornFileError


@pytest.fixture
def fill_disk():
    """Make files of more than 100 kB fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def draft_image(path, *steps):
    grid = SiteGrid("EPSG:32633", 540_000, 5_260_020, 512, 512)
    noise = np.random.default_rng(0).integers(1, 9999, (512, 512)).astype(np.int16)
    with image_draft(path, grid, 2, nodata=0) as draft:
        for step in steps:
            step(draft, noise)


def write_both(draft, noise):
    draft.write(0, 0, 0, noise)
    draft.write(1, 0, 0, noise)


def digest(draft, noise):
    draft.digest()


@pytest.mark.parametrize("filled_first", [True, False])
def test_a_disk_that_fills_up_while_an_image_is_drafted_is_one_sentence(
    tmp_path, fill_disk, filled_first, capfd
):
    def fill(draft, noise):
        fill_disk()

    steps = (fill, write_both, digest) if filled_first else (write_both, fill, digest)
    with pytest.raises(TornFileError, match=r"Year2021.tif: could not be written in full .*disk may be full"):
        draft_image(tmp_path / "Year2021.tif", *steps)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", ""), "libtiff printed lines of its own"
