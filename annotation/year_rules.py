"""The year of a drawing: from a name, from an attribute, or given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from euromine.support.errors import ArgumentError

_ATTRIBUTE = "attribute:"
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")
# As in 2021, in dates such as 2021-06-30, and in 2021.0, which a GIS writes in a column with gaps.
_LEADING_YEAR = re.compile(r"\s*((?:19|20)\d\d)(?:\D.*)?", re.DOTALL)


@dataclass(frozen=True)
class YearRule:
    """Source of the years.

    Attributes:
        year: The year of all drawings, if it is given.
        attribute: The attribute that holds it.
        by_name: Whether names of pictures, layers and files count.
    """

    year: int | None = None
    attribute: str | None = None
    by_name: bool = True

    def of_attributes(self, attributes: Mapping[str, str]) -> int | None:
        """The year in the attribute, or None."""
        found = _LEADING_YEAR.fullmatch(attributes.get(self.attribute or "", ""))
        return int(found[1]) if found else None

    def of_name(self, *names: str) -> int | None:
        """The only year in the first name that has one, or None."""
        for name in names if self.by_name else ():
            found = set(_YEAR.findall(name))
            if len(found) == 1:
                return int(found.pop())
        return None


def parse_year_rule(text: str | None) -> YearRule | None:
    """`"name"`, `"attribute:since"` or `"2021"` -> the rule; None -> None.

    Raises:
        ArgumentError: The text is something else.
    """
    if text is None:
        return None
    if text == "name":
        return YearRule()
    if text.startswith(_ATTRIBUTE) and len(text) > len(_ATTRIBUTE):
        return YearRule(attribute=text.removeprefix(_ATTRIBUTE), by_name=False)
    if re.fullmatch(r"(?:19|20)\d\d", text):
        return YearRule(year=int(text), by_name=False)
    raise ArgumentError(f"--year: found {text!r}; expected name, attribute:NAME or a year such as 2021.")
