"""XML without document types."""

import pytest

from euromine.support.errors import DataError, SceneError
from euromine.support.xml_documents import parse_xml


def test_elements_are_read_without_the_prefixes_of_their_namespaces() -> None:
    root = parse_xml(b'<n1:a xmlns:n1="urn:x"><n1:b c="1">text</n1:b><d/></n1:a>', "a.xml")
    assert root.tag == "a"
    assert [(each.tag, each.attrib, each.text) for each in root] == [
        ("b", {"c": "1"}, "text"),
        ("d", {}, None),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_types_are_refused_in_any_encoding(encoding: str) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    with pytest.raises(
        SceneError,
        match=r"a.xml: found a document type in XML, which can exhaust the memory",
    ):
        parse_xml(bomb.encode(encoding), "a.xml", SceneError)


@pytest.mark.parametrize("text", [b"", b"<a>", b"<a></b>", b"<a>&b;</a>", b"\xff\xfe\0"])
def test_damage_is_told(text: bytes) -> None:
    with pytest.raises(DataError, match=r"a.xml: found damaged XML .*; expected a whole file"):
        parse_xml(text, "a.xml")
