"""Members of zips from unknown sources."""

import zipfile

import pytest

from euromine.support.zip_members import is_encrypted, is_file, leads_out, repeated_name


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../../b", "..", "a\\b", "C:/a", "C:a"])
def test_paths_out_of_a_zip_are_noticed(name: str) -> None:
    assert leads_out(name)


@pytest.mark.parametrize("name", ["a", "a/b.xml", "..a/b", "a/b..c", "a/10:30.xml", "a//b"])
def test_paths_inside_a_zip_are_allowed(name: str) -> None:
    assert not leads_out(name)


def test_folders_and_the_files_of_macos_are_no_files() -> None:
    names = ("a/", "a/b.xml", "__MACOSX/a/._b.xml")
    assert [name for name in names if is_file(zipfile.ZipInfo(name))] == ["a/b.xml"]


def test_a_password_is_noticed() -> None:
    member = zipfile.ZipInfo("a")
    assert not is_encrypted(member)
    member.flag_bits |= 1
    assert is_encrypted(member)


@pytest.mark.parametrize(("names", "repeated"), [("abc", None), ("abcbc", "b"), ("", None)])
def test_the_first_repeated_name_is_found(names: str, repeated: str | None) -> None:
    assert repeated_name(map(zipfile.ZipInfo, names)) == repeated
