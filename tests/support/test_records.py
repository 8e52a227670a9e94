import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from euromine.support.errors import RecordError
from euromine.support.records import (
    as_stored,
    json_field,
    read_record,
    read_values,
    record_from,
    record_from_bytes,
    record_to_json,
    write_record,
)


@dataclass(frozen=True)
class Site:
    name: str
    box: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Results:
    kind: Literal["maps", "changes"]
    steps: int
    share: float
    class_name: str = json_field("class")
    simulated: bool | None = None
    best: Site | None = None
    sites: list[Site] = field(default_factory=list)
    scores: dict[str, dict[str, float | None]] = field(default_factory=dict)
    anything: Any = None
    names: tuple[str, ...] = ()
    threshold: float | Literal["auto"] = "auto"


DOCUMENT: dict[str, Any] = {
    "kind": "maps",
    "steps": 3,
    "share": 0.25,
    "class": "UNet",
    "simulated": False,
    "best": {"name": "Spain_1", "box": [1, 2]},
    "sites": [{"name": "Italy_1", "box": [0, 0]}],
    "scores": {"test": {"of1": 0.5, "iou": None}},
    "anything": {"deep": [1, [2.5, {"deeper": None}]]},
    "names": ["a", "b"],
    "threshold": 0.5,
}


def test_a_record_is_read_into_dataclasses_and_written_back_unchanged(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(DOCUMENT))
    results = read_record(Results, path)
    assert results.best == Site("Spain_1", (1, 2))
    assert results.sites == [Site("Italy_1")]
    assert results.class_name == "UNet"
    assert results.names == ("a", "b")
    assert list(record_to_json(results).items()) == list(DOCUMENT.items())
    write_record(path, results)
    assert path.read_text() == json.dumps(DOCUMENT, indent=2) + "\n"


def test_a_record_before_writing_is_compared_as_it_will_be_read():
    facts = record_from(Results, {**DOCUMENT, "share": 1.0}, "it")
    raw = replace(facts, anything={1: (float("nan"), Path("a"))}, scores={"test": {"of1": float("inf")}})
    stored = as_stored(raw)
    assert stored == replace(facts, anything={"1": [None, "a"]}, scores={"test": {"of1": None}})


def test_fields_with_defaults_may_be_missing_and_unknown_keys_are_ignored():
    least = {"kind": "changes", "steps": 0, "share": 1, "class": "BIT", "later": {"than": "this"}}
    results = record_from(Results, least, "results.json")
    assert (results.best, results.sites, results.threshold) == (None, [], "auto")
    assert isinstance(results.share, int)  # written back as the 1 that it was
    assert "later" not in record_to_json(results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": "many"}, 'found "many" in steps; expected a whole number.'),
        ({"steps": 2.5}, "found 2.5 in steps; expected a whole number."),
        ({"steps": True}, "found true in steps; expected a whole number."),
        ({"share": False}, "found false in share; expected a number."),
        ({"share": None}, "found null in share; expected a number."),
        ({"simulated": 1}, "found 1 in simulated; expected true or false or null."),
        ({"kind": "map"}, 'found "map" in kind; expected "maps" or "changes".'),
        ({"class": None}, "found null in class; expected a string."),
        ({"best": {"box": [1, 2]}}, "found no best.name; expected a string."),
        ({"best": "Spain_1"}, 'found "Spain_1" in best; expected an object or null.'),
        ({"best": []}, "found a list in best; expected an object."),
        ({"sites": {}}, "found an object in sites; expected a list."),
        ({"sites": [{"name": "a"}, {"name": 4}]}, "found 4 in sites[1].name; expected a string."),
        ({"sites": [{"name": "a", "box": [1]}]}, "found 1 entries in sites[0].box; expected 2."),
        (
            {"sites": [{"name": "a", "box": [1, "b"]}]},
            'found "b" in sites[0].box[1]; expected a whole number.',
        ),
        ({"scores": {"test": {"of1": []}}}, "found a list in scores.test.of1; expected a number or null."),
        ({"scores": []}, "found a list in scores; expected an object."),
        ({"threshold": "none"}, 'found "none" in threshold; expected a number or "auto".'),
        ({"names": "ab" * 50}, re.escape('found "' + "ab" * 28) + r"\.\.\. in names; expected a list\."),
    ],
)
def test_a_value_that_does_not_fit_is_named(change, message):
    pattern = message if message.endswith(r"\.") else re.escape(message)
    with pytest.raises(RecordError, match=f"^results.json: {pattern}$"):
        record_from(Results, {**DOCUMENT, **change}, "results.json")


def test_a_missing_field_is_named_with_what_mends_the_record():
    document = {key: value for key, value in DOCUMENT.items() if key != "class"}
    with pytest.raises(RecordError) as raised:
        record_from(Results, document, "results.json", advice="--restart trains anew.")
    assert str(raised.value) == "results.json: found no class; expected a string. --restart trains anew."


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000])
def test_a_damaged_file_is_a_record_error(data, tmp_path):
    path = tmp_path / "results.json"
    path.write_bytes(data)
    with pytest.raises(RecordError, match=re.escape(f"{path}: found text that is not JSON (")):
        read_record(Results, path)


def test_another_document_than_an_object_is_refused():
    with pytest.raises(RecordError, match=r"^it: found a list; expected an object\.$"):
        record_from_bytes(Results, b"[]", "it")
    with pytest.raises(RecordError, match=r"^it: found null; expected an object\.$"):
        record_from_bytes(Results, b"null", "it")


def test_numbers_that_json_lacks_are_null():
    text = json.dumps({**DOCUMENT, "scores": {"test": {"of1": float("nan"), "iou": float("-inf")}}})
    assert record_from_bytes(Results, text.encode(), "it").scores == {"test": {"of1": None, "iou": None}}
    with pytest.raises(RecordError, match="found null in share; expected a number"):
        record_from_bytes(Results, json.dumps({**DOCUMENT, "share": float("inf")}).encode(), "it")


def test_a_missing_file_is_no_damaged_record(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_record(Results, tmp_path / "missing.json")


def test_a_type_that_json_lacks_is_a_mistake_of_the_programmer():
    @dataclass(frozen=True)
    class Wrong:
        values: set[int]

    with pytest.raises(TypeError):
        record_from(Wrong, {"values": []}, "it")


def test_a_pipe_is_not_waited_for_and_a_huge_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(RecordError, match=r"pipe\.json: found a pipe or device; expected an ordinary file"):
        read_record(Results, tmp_path / "pipe.json")
    (tmp_path / "endless.json").symlink_to("/dev/zero")
    with pytest.raises(RecordError, match=r"endless\.json: found a pipe or device"):
        read_record(Results, tmp_path / "endless.json")
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(RecordError, match=r"huge\.json: found 1048576 MB; expected a file of at most 64 MB"):
        read_record(Results, tmp_path / "huge.json")


@pytest.mark.parametrize(
    ("anything", "found"),
    [
        ("[" * 80 + "]" * 80, "more than 64 levels; expected a record"),
        ('{"a": ' * 80 + "1" + "}" * 80, "more than 64 levels; expected a record"),
        ("1" + "0" * 400, "the number 1000.*; expected at most 64 bits"),
        ('[{"a": 18446744073709551616}]', "the number 18446744073709551616; expected at most 64 bits"),
        ('"\\ud800"', "which is no Unicode; expected a text"),
        ('{"\\udfff": 1}', "which is no Unicode; expected a text"),
    ],
)
def test_values_that_no_reader_expects_are_refused_in_fields_of_any_kind(anything, found):
    text = json.dumps({**DOCUMENT, "anything": "HERE"}).replace('"HERE"', anything)
    with pytest.raises(RecordError, match=rf"^r\.json: found .*{found}\. Train again\.$"):
        record_from_bytes(Results, text.encode(), "r.json", advice="Train again.")


def test_the_largest_values_of_a_record_are_kept():
    anything = [18446744073709551615, -9223372036854775808, 1e308, "\U0001f600", [[[[[[[[1]]]]]]]]]
    data = json.dumps({**DOCUMENT, "anything": anything}).encode()
    assert record_from_bytes(Results, data, "r.json").anything == anything


def test_a_number_beyond_all_floats_is_read_as_null_like_infinity():
    data = json.dumps({**DOCUMENT, "anything": "HERE"}).replace('"HERE"', "[1e400, -Infinity]").encode()
    assert record_from_bytes(Results, data, "r.json").anything == [None, None]
    with pytest.raises(RecordError, match="found null in share; expected a number"):
        record_from_bytes(Results, json.dumps(DOCUMENT).replace("0.25", "1e400").encode(), "r.json")


def test_a_document_without_a_record_at_its_root_is_checked_as_well(tmp_path):
    path = tmp_path / "sizes.json"
    path.write_text('{"a": 3, "b": 4}')
    assert read_values(dict[str, int], path) == {"a": 3, "b": 4}
    for text, found in (
        ('["a"]', "a list"),
        ('{"a": "3"}', '"3" in .*a'),
        ('{"a": [', "text that is not JSON"),
    ):
        path.write_text(text)
        with pytest.raises(RecordError, match=rf"sizes\.json: found {found}"):
            read_values(dict[str, int], path)
