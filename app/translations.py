"""Sentences that series and alerts keep in English, in the language of a visitor.

`sentences_de.json` pairs each English sentence with its translation. `{name}` stands for any text,
`{name:words}` for numbers and lists of years, `{name:phrase}` for a text that is translated by itself. The
first pair that fits counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Query

from .static_files import STATIC

Language = Literal["en", "de"]
WantedLanguage = Annotated[Language, Query(alias="lang", description="The language of sentences and labels.")]
"""The parameter `lang` of an address."""

_FOLDER = Path(__file__).parent
_PLACE = re.compile(r"\{(\w+)(?::(words|phrase))?\}")
_DECIMAL = re.compile(r"(?<=\d)\.(?=\d)")
# Between the numbers and years of a list.
_JOINTS = {"de": {" to ": " bis ", " and ": " und ", "%": "\N{NO-BREAK SPACE}%"}}


def translated(sentence: str, language: Language) -> str:
    """A sentence in a language; itself in English, and where there is no translation.

    Args:
        sentence: A sentence or label in English.
        language: "en" or "de".
    """
    if language == "en":
        return sentence
    for pattern, kinds, translation in _sentences(language):
        if found := pattern.fullmatch(sentence):
            values = {name: _VALUES[kinds[name]](text, language) for name, text in found.groupdict().items()}
            return translation.format_map(values)
    return sentence


def in_words(text: str, language: Language) -> str:
    """Numbers and lists of years as a language writes them: "2015 bis 2018", "3,8"."""
    if language == "en":
        return text
    for joint, other in _JOINTS[language].items():
        text = text.replace(joint, other)
    return _DECIMAL.sub(",", text)


@cache
def page_texts(language: Language) -> Mapping[str, str]:
    """The texts of the page."""
    texts: dict[str, str] = json.loads((STATIC / "languages" / f"{language}.json").read_text("utf-8"))
    return texts


def translated_facts(document: Mapping[str, Any], language: Language) -> dict[str, Any]:
    """The facts of a site, with its caveats and its credit in a language.

    Args:
        document: The result of `site_document`.
        language: "en" or "de".
    """
    facts = document["facts"]
    caveats = [translated(each, language) for each in facts["caveats"]]
    return {
        **document,
        "attribution": translated(document["attribution"], language),
        "facts": {**facts, "caveats": caveats, "cut": translated(facts["cut"], language)},
    }


_VALUES: dict[str, Callable[[str, Language], str]] = {
    "": lambda text, _: text,
    "words": in_words,
    "phrase": translated,
}


@cache
def _sentences(language: Language) -> list[tuple[re.Pattern[str], dict[str, str], str]]:
    """Each pair: a pattern for the English sentence, the kind of each placeholder, and the translation."""
    pairs: dict[str, str] = json.loads((_FOLDER / f"sentences_{language}.json").read_text("utf-8"))
    return [
        (re.compile(_pattern(english)), dict(_PLACE.findall(english)), other)
        for english, other in pairs.items()
    ]


def _pattern(english: str) -> str:
    literals = _PLACE.split(english)  # text, name, kind, text, ...
    parts = [re.escape(literals[0])]
    for name, text in zip(literals[1::3], literals[3::3], strict=True):
        parts += [f"(?P<{name}>.+?)", re.escape(text)]
    return "".join(parts)
