"""Site lists against the published ones, and what is said about sites that do not fit."""

import csv
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from euromine.dataset_script.splits import EXCLUDED_SITES, SPLITS, assign_splits, split_sites

FACTS = Path(__file__).parents[2].parent / "shared" / "facts"
needs_facts = pytest.mark.skipif(
    not FACTS.is_dir(), reason="the facts of the benchmark are not beside the project"
)


def write_json(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_official_lists_have_the_published_sizes_and_faults() -> None:
    lists = split_sites("official")
    assert tuple(lists) == SPLITS == ("train", "validation", "test")
    assert [len(sites) for sites in lists.values()] == [102, 14, 17]
    assert len({site for sites in lists.values() for site in sites}) == 132
    assert lists["train"].count("Germany_13") == 2
    assert not any("Greece_3" in sites for sites in lists.values())


@needs_facts
def test_official_lists_are_the_published_ones_to_the_letter() -> None:
    published = json.loads((FACTS / "official_splits_2026.json").read_text())["splits"]
    expected = {"train": published["train"], "validation": published["val"], "test": published["test"]}
    assert split_sites("official") == expected


def test_corrected_lists_name_the_forgotten_site_in_place_of_the_doubled_one() -> None:
    official, corrected = split_sites("official"), split_sites("corrected")
    changes = [(a, b) for a, b in zip(official["train"], corrected["train"], strict=True) if a != b]
    assert changes == [("Germany_13", "Greece_3")]
    assert corrected["train"].index("Greece_3") == corrected["train"].index("Germany_13") + 1
    assert (official["validation"], official["test"]) == (corrected["validation"], corrected["test"])
    assert len({site for sites in corrected.values() for site in sites}) == 133


@needs_facts
def test_every_site_of_the_archive_is_in_one_corrected_split_or_excluded() -> None:
    with (FACTS / "sites.csv").open() as file:
        sites = [row["site"] for row in csv.DictReader(file)]
    assigned = assign_splits(sites, "corrected")
    found = sorted([site for names in assigned.values() for site in names] + list(EXCLUDED_SITES))
    assert found == sorted(sites)
    assert EXCLUDED_SITES == ("Spain_4", "Sweden_6", "Poland_16")


def test_lists_are_copies_that_a_caller_may_change() -> None:
    split_sites("corrected")["train"].clear()
    split_sites("official")["test"].append("Elsewhere_1")
    assert len(split_sites("corrected")["train"]) == 102
    assert len(split_sites("official")["test"]) == 17


def test_the_doubled_site_of_the_official_list_is_assigned_once() -> None:
    assigned = assign_splits(["Germany_13", "Bulgaria_1"], "official")
    assert assigned == {"train": ("Germany_13",), "validation": (), "test": ("Bulgaria_1",)}


def test_sites_are_sorted_as_plain_strings() -> None:
    assigned = assign_splits(["Bulgaria_2", "Bulgaria_10", "Austria_1"], "corrected")
    assert assigned["train"] == ("Austria_1", "Bulgaria_10", "Bulgaria_2")


def test_sites_that_the_release_leaves_out_are_skipped_with_a_notice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    assigned = assign_splits(["Austria_1", "Spain_4", "Sweden_6", "Greece_3"], "official")
    assert [site for sites in assigned.values() for site in sites] == ["Austria_1"]
    (notice,) = [record for record in caplog.records if record.levelno == logging.INFO]
    assert notice.getMessage() == "Skipped, as the published release does: Greece_3, Spain_4, Sweden_6."


def test_the_forgotten_site_is_in_train_when_corrected() -> None:
    assert assign_splits(["Greece_3"], "corrected")["train"] == ("Greece_3",)


def test_a_site_in_no_split_is_an_error_that_lists_all_such_sites() -> None:
    with pytest.raises(
        ValueError, match=r"splits: found no split for 2 sites of the archive in 'corrected': Kiruna_1, Ølen;"
    ):
        assign_splits(["Ølen", "Austria_1", "Kiruna_1", "Poland_16"], "corrected")


def test_listed_sites_that_the_archive_lacks_give_one_short_warning(caplog: pytest.LogCaptureFixture) -> None:
    assign_splits(["Austria_1", "Bulgaria_1"], "corrected")
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert "lacks 131 sites that the splits 'corrected' list: Bulgaria_10, " in warning.getMessage()
    assert warning.getMessage().endswith("and 119 more.")
    assert len(warning.getMessage()) < 400


def test_a_complete_archive_gives_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_json(tmp_path / "mine.json", {"train": ["A_1"], "validation": [], "test": ["B"]})
    assert assign_splits(["B", "A_1"], path) == {"train": ("A_1",), "validation": (), "test": ("B",)}
    assert not caplog.records


def test_a_json_file_may_use_sites_that_the_release_leaves_out(tmp_path: Path) -> None:
    path = write_json(tmp_path / "mine.json", {"test": ["Spain_4"], "train": [], "validation": []})
    assigned = assign_splits(["Spain_4", "Sweden_6"], str(path))
    assert assigned == {"train": (), "validation": (), "test": ("Spain_4",)}
    assert list(assigned) == list(SPLITS)


def test_a_json_file_must_place_the_site_that_the_official_lists_forgot(tmp_path: Path) -> None:
    path = write_json(tmp_path / "mine.json", {"train": ["Austria_1"], "validation": [], "test": []})
    with pytest.raises(ValueError, match=r"found no split for 1 site of the archive in .*: Greece_3;"):
        assign_splits(["Austria_1", "Greece_3"], path)


def test_a_json_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(b'\xef\xbb\xbf{"train": ["A"], "validation": [], "test": []}')
    assert split_sites(path)["train"] == ["A"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{train: []}", "found text that is not valid JSON"),
        ("[]", "found a JSON list; expected"),
        ({"train": [], "val": [], "test": []}, "found the keys 'train', 'val', 'test'; expected"),
        ({"train": [], "test": []}, "found the keys 'train', 'test'; expected"),
        ({"train": [], "validation": [], "test": [], "more": []}, "'more'; expected"),
        (
            {"train": "Austria_1", "validation": [], "test": []},
            "found something else than a list of strings in 'train'",
        ),
        (
            {"train": [], "validation": [3], "test": []},
            "found something else than a list of strings in 'validation'",
        ),
        ({"train": ["A", "B", "B"], "validation": ["A"], "test": []}, "found A, B more than once"),
        (
            '{"train": [], "train": ["A"], "validation": [], "test": []}',
            "found the key 'train' twice; expected",
        ),
    ],
)
def test_a_wrong_json_file_is_refused_with_its_name(tmp_path: Path, content: Any, message: str) -> None:
    path = write_json(tmp_path / "mine.json", content)
    with pytest.raises(ValueError, match=message) as caught:
        assign_splits(["A"], path)
    assert str(path) in str(caught.value)


def test_an_unreadable_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found a file that cannot be read \(Is a directory\)"):
        split_sites(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"train": ["\xe9"], "validation": [], "test": []}')
    with pytest.raises(ValueError, match=r"latin\.json: found text that is not valid JSON"):
        split_sites(tmp_path / "latin.json")


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match="splits: found no file 'oficial'; expected 'corrected', 'official' or a JSON file"
    ):
        split_sites("oficial")
