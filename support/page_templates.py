"""Templates of pages: everything that is put into them is escaped, and a missing name is an error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def page_template(folder: Path, name: str) -> jinja2.Template:
    """A template of a folder, which may include others there.

    Args:
        folder: The folder.
        name: The file's name.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
