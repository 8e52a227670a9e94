import json
import re
from pathlib import Path

import pytest

from euromine.app.static_files import STATIC

MODULES = sorted((STATIC / "modules").glob("*.js"))
STYLES = sorted((STATIC / "styles").glob("*.css"))
LONGEST_MODULE = 420
# Keys that a module builds from a beginning and a name: text(`layer.${key}`).
BUILT = re.compile(r"`((?:[a-z_]+\.)+)\$\{")
WHOLE = re.compile(r"[\"'`]([a-z_]+(?:\.[a-z0-9_]+)+)[\"'`]")
# HTML from strings, code from strings, and styles in attributes: the app's policy forbids the last two.
UNSAFE = re.compile(
    r"innerHTML\s*=|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|"
    r"setAttribute\(\"style\""
)


LANGUAGES = {path.stem for path in (STATIC / "languages").glob("*.json")}
# import { a } from "./b.js", import * as a from "./b.js", import("./b.js")
IMPORTED = re.compile(r"(?:\} from |\* as \w+ from |import\()\"([^\"]+)\"")


def texts(language: str) -> dict[str, str]:
    return json.loads((STATIC / "languages" / f"{language}.json").read_text(encoding="utf-8"))


def source() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in MODULES)


def test_every_language_has_the_same_keys_and_placeholders() -> None:
    english = texts("en")
    assert {"en", "de"} <= LANGUAGES
    for language in LANGUAGES:
        other = texts(language)
        assert other.keys() == english.keys()
        assert list(other) == sorted(other)
        for key, words in english.items():
            assert other[key].strip() == other[key] != ""
            assert set(re.findall(r"\{\w+\}", other[key])) == set(re.findall(r"\{\w+\}", words)), key


def test_the_languages_offered_are_those_that_exist() -> None:
    code = (STATIC / "modules" / "texts.js").read_text(encoding="utf-8")
    offered = re.search(r"LANGUAGES = \{(.*?)\}", code)
    assert offered is not None
    assert set(re.findall(r"(\w+):", offered[1])) == LANGUAGES


def test_every_text_is_used_and_none_that_is_used_is_missing() -> None:
    english, code = texts("en"), source()
    whole, built = set(WHOLE.findall(code)), tuple(set(BUILT.findall(code)))
    for key in english:
        stem = re.sub(r"\.(one|other)$", "", key)
        assert key in whole or stem in whole or key.startswith(built), f"{key} is not used"
    asked = set(re.findall(r"\btext\(\s*[\"']([\w.]+)[\"']", code))
    asked |= {f"{key}.other" for key in re.findall(r"\bcountText\(\s*[\"']([\w.]+)[\"']", code)}
    assert len(asked) > 100
    assert asked <= english.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_is_short_begins_with_its_purpose_and_builds_no_html(path: Path) -> None:
    code = path.read_text(encoding="utf-8")
    assert code.startswith(("/**\n * ", "// "))
    assert len(code.splitlines()) < LONGEST_MODULE
    assert not UNSAFE.search(code)


def test_imports_name_modules_that_exist() -> None:
    names = {path.name for path in MODULES}
    for path in MODULES:
        imported = re.findall(
            r"(?:\} from |\* as \w+ from |import\()\"([^\"]+)\"", path.read_text(encoding="utf-8")
        )
        assert {each.removeprefix("./") for each in imported} <= names, path.name


def test_pages_and_styles_load_nothing_from_other_hosts() -> None:
    index = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>", index)
    for address in re.findall(r"(?:src|href)=\"([^\"]+)\"", index):
        assert address.startswith(("static/", "vendor/leaflet/", "#", "data:image/svg+xml,"))
        if address.startswith("static/"):
            assert (STATIC / address.removeprefix("static/")).is_file(), address
    for path in STYLES:
        assert not re.search(r"url\(|@import", path.read_text(encoding="utf-8")), path.name
