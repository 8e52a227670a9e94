"""Sites and years from the names of pictures."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

# Label Studio puts eight digits before the name of an uploaded file.
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
_PART = re.compile(r".+_r\d+c\d+")
_YEAR = re.compile(r"(.*?)[ _.-]?((?:19|20)\d\d)")


def file_name(path: str) -> str:
    """The name of a picture from its path or address: `pictures/Kiruna_2021.png` -> `Kiruna_2021.png`."""
    plain = path.replace("\\", "/").split("?d=")[-1].split("?")[0].split("#")[0]
    return PurePosixPath(plain).name or plain


def uploaded_name(path: str) -> str:
    """The name that a picture had before Label Studio stored it."""
    return _UPLOADED.sub("", file_name(path), count=1)


def stem(name: str) -> str:
    """A picture's name without its suffix: `Kiruna_2021.png` -> `Kiruna_2021`, `Kiruna_2021` unchanged."""
    return re.sub(r"\.(?:png|jpe?g|tiff?|webp|bmp)$", "", name, flags=re.IGNORECASE)


def site_and_year(name: str) -> tuple[str, int | None]:
    """`Kiruna_1_2021.png` -> Kiruna_1, 2021; `Kiruna_1.png` -> Kiruna_1, None."""
    found = _YEAR.fullmatch(stem(name))
    return (found[1], int(found[2])) if found else (stem(name), None)


def is_part(name: str) -> bool:
    """Whether a name is that of a picture of a part of a site: `Kiruna_2021_r1c2.png`."""
    return _PART.fullmatch(stem(name)) is not None
