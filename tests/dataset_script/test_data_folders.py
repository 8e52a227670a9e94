"""No results are written into a dataset, or among the sites of an archive."""

from pathlib import Path

import pytest

from euromine.dataset_script.data_folders import check_no_data
from euromine.support.errors import ArgumentError


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("build.json", "a dataset of `euromine build`"),
        ("Spain_1/image/Year2015.tif", "the sites of an archive"),
        ("Spain_1/Image/Year2015.tif", "the sites of an archive"),
    ],
)
def test_a_dataset_and_the_sites_of_an_archive_are_refused(tmp_path: Path, file: str, found: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    with pytest.raises(
        ArgumentError, match=f"^out: found {found} in .*; expected a folder apart from the data"
    ):
        check_no_data(tmp_path, "out")


@pytest.mark.parametrize(
    "file", ["image/Year2015.tif", "maps/footprint_2015.tif", "a/b/c.tif", "a/image/old.tif"]
)
def test_a_site_and_other_folders_are_allowed(tmp_path: Path, file: str) -> None:
    check_no_data(tmp_path / "missing", "out")
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    check_no_data(tmp_path, "out")
