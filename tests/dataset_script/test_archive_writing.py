"""Written sites have the published layout, and are whole or absent."""

import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from euromine.dataset_script.archive import Archive
from euromine.dataset_script.archive_bands import BANDS
from euromine.dataset_script.archive_writing import write_components, write_label, write_site

from .sound_site import PLACE, open_site

Writer = Callable[..., Path]


def arrays(years: int = 2, height: int = 20, width: int = 30) -> dict[str, Any]:
    noise = np.random.default_rng(years)
    return {
        "images": noise.integers(-100, 9000, (years, 10, height, width), dtype=np.int16),
        "labels": noise.integers(0, 2, (years, height, width), dtype=np.uint8),
        "years": range(2015, 2015 + years),
        "crs": "EPSG:4326",
        "transform": PLACE["transform"][:6],
    }


def test_a_written_site_has_the_published_layout(tmp_path: Path, plainly: Callable[[Path], Any]) -> None:
    given = arrays(height=300, width=270)
    write_site(tmp_path, "Portuga_9", **given)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    folder = tmp_path / "Portuga_9"
    assert files == [
        f"Portuga_9/{kind}/Year{year}.tif" for kind in ("image", "label") for year in (2015, 2016)
    ]
    for number, year in enumerate((2015, 2016)):
        with plainly(folder / "image" / f"Year{year}.tif") as dataset:
            assert (dataset.driver, dataset.dtypes, dataset.crs) == (
                "GTiff",
                ("int16",) * len(BANDS),
                "EPSG:4326",
            )
            assert dataset.transform == PLACE["transform"]
            assert dataset.profile["tiled"]
            assert dataset.profile["compress"] == "deflate"
            np.testing.assert_array_equal(dataset.read(), given["images"][number])
        with plainly(folder / "label" / f"Year{year}.tif") as dataset:
            assert (dataset.count, dataset.dtypes, dataset.crs) == (1, ("uint8",), None)
            np.testing.assert_array_equal(dataset.read(1), given["labels"][number] * 255)


def test_a_written_site_reads_back(tmp_path: Path) -> None:
    given = arrays(years=3)
    write_site(tmp_path / "new" / "EuroMineNet", "Kiruna", **given)
    with Archive(tmp_path / "new").sites["Kiruna"].open() as scene:
        assert (scene.years, scene.crs, scene.transform) == (
            (2015, 2016, 2017),
            "EPSG:4326",
            given["transform"],
        )
        for number, year in enumerate(scene.years):
            np.testing.assert_array_equal(scene.read_image(year), given["images"][number])
            np.testing.assert_array_equal(scene.read_label(year), given["labels"][number])


def test_the_same_arrays_give_the_same_bytes_over_and_over(tmp_path: Path) -> None:
    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in tmp_path.rglob("*.tif")}

    write_site(tmp_path, "Austria_1", **arrays())
    first = content()
    write_site(tmp_path, "Austria_1", **arrays(years=3))
    assert len(content()) == 6
    write_site(tmp_path, "Austria_1", **arrays())
    assert content() == first
    assert [path.name for path in tmp_path.iterdir()] == ["Austria_1"]


def test_what_a_killed_run_left_is_no_site_and_is_cleared(tmp_path: Path) -> None:
    for leftover in (".Austria_1.partial", ".Austria_1.replaced"):
        (tmp_path / leftover / "image").mkdir(parents=True)
        (tmp_path / leftover / "image" / "Year2015.tif").write_bytes(b"torn")
    write_site(tmp_path, "Bulgaria_1", **arrays())
    assert list(Archive(tmp_path).sites) == ["Bulgaria_1"]
    for _ in range(2):
        write_site(tmp_path, "Austria_1", **arrays())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Austria_1", "Bulgaria_1"]


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    """No file may grow beyond a number of bytes, as on a disk that is full."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@pytest.mark.parametrize("room", [1_000, 5_000, 130_000, 145_000, 155_000])
def test_a_full_disk_leaves_the_old_site_and_no_other(
    tmp_path: Path, room: int, full_disk: Callable[[int], None], capfd: pytest.CaptureFixture[str]
) -> None:
    write_site(tmp_path, "Austria_1", **arrays())
    large = arrays(height=100, width=100)  # about 160,000 bytes a year
    full_disk(room)
    for name in ("Austria_1", "Bulgaria_1"):
        with pytest.raises(OSError, match=r"Year2015\.tif: .*; the disk may be full, or a quota reached\.$"):
            write_site(tmp_path, name, **large)
    full_disk(10**9)
    assert capfd.readouterr() == ("", ""), "libtiff printed lines of its own"
    assert [path.name for path in tmp_path.iterdir()] == ["Austria_1"]
    with open_site(tmp_path / "Austria_1") as scene:
        np.testing.assert_array_equal(scene.read_image(2015), arrays()["images"][0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((2, 9, 20, 30), np.int16)}, r"expected int16 \(2, 10, height, width\)"),
        ({"images": np.zeros((2, 10, 20, 30), np.float32)}, "images: found float32"),
        ({"labels": np.zeros((2, 20, 31), np.uint8)}, r"expected uint8 \(2, 20, 30\) of 0 and 1"),
        ({"labels": np.full((2, 20, 30), 255, np.uint8)}, "up to 255 for Austria_1; expected"),
        ({"years": [2015, 2015]}, "each once"),
        ({"years": [15, 16]}, "such as 2015"),
        ({"years": [2015]}, "for 1 year"),
        ({"crs": "nowhere"}, "crs: found 'nowhere'; expected a code"),
        ({"transform": [1.0, 2.0]}, "found 2 coefficients"),
    ],
)
def test_arguments_that_do_not_fit_write_nothing(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_site(tmp_path, "Austria_1", **(arrays() | change))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "__MACOSX"])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="expected the name of a folder"):
        write_site(tmp_path, name, **arrays())


def test_a_label_of_ignored_ground_alone_reads_as_such_beside_published_ones(tmp_path: Path) -> None:
    """Without its tag, 255 beside 0 would be a mine, and a site of both conventions refused."""
    write_site(tmp_path, "Kiruna", **arrays(years=3))
    label = np.zeros((20, 30), np.uint8)
    label[3:9, 4:11] = 255
    both = label.copy()
    both[10:, :] = 1
    with ExitStack() as files:
        for year, values in ((2016, label), (2017, both)):
            path = tmp_path / "Kiruna" / "label" / f"Year{year}.tif"
            write_label(files, path, values, crs="EPSG:4326", transform=PLACE["transform"])
    with open_site(tmp_path / "Kiruna") as scene:
        np.testing.assert_array_equal(scene.read_label(2015), arrays(years=3)["labels"][0])
        np.testing.assert_array_equal(scene.read_label(2016), label)
        np.testing.assert_array_equal(scene.read_label(2017), both)


def test_labels_that_are_written_together_appear_together_or_not_at_all(tmp_path: Path) -> None:
    write_site(tmp_path, "Kiruna", **arrays())
    label = np.ones((20, 30), np.uint8)
    paths = [tmp_path / "Kiruna" / "label" / f"Year{year}.tif" for year in (2015, 2016)]
    before = [path.read_bytes() for path in paths]
    place = {"crs": "EPSG:4326", "transform": PLACE["transform"]}

    def write_one_of_two() -> None:
        with ExitStack() as files:
            write_label(files, paths[0], label, **place)
            assert paths[0].read_bytes() == before[0]
            raise RuntimeError("the second label failed")

    with pytest.raises(RuntimeError, match="second"):
        write_one_of_two()
    assert [path.read_bytes() for path in paths] == before
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["Year2015.tif", "Year2016.tif"]


def test_components_carry_their_classes_and_colours(tmp_path: Path, plainly: Callable[[Path], Any]) -> None:
    write_site(tmp_path, "Kiruna", **arrays())
    components = np.zeros((20, 30), np.uint8)
    components[4:6] = 2
    path = tmp_path / "Kiruna" / "components" / "Year2015.tif"
    classes = {"values": {"excavation": 2}, "colours": {"excavation": "#0080ff"}}
    with ExitStack() as files:
        write_components(files, path, components, crs="EPSG:4326", transform=PLACE["transform"], **classes)
    with plainly(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), components)
        assert dataset.tags()["CLASSES"] == '{"excavation": 2}'
        assert dataset.tags()["ENCODING"] == "values"
        assert dataset.colormap(1)[2] == (0, 128, 255, 255)
        assert dataset.transform == PLACE["transform"]
    assert Archive(tmp_path).sites["Kiruna"].years == (2015, 2016)
