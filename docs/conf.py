"""The documentation's site: `make docs` builds it without a network."""

from __future__ import annotations

import importlib
import os
import re
from importlib.metadata import version as installed_version
from pathlib import Path, PurePosixPath

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

os.environ.setdefault(
    "HF_HUB_OFFLINE", "1"
)  # API pages import the package; none of that may wait for the Hub

project = "EuroMine"
author = "The EuroMine team"
copyright = f"2026, {author}"
version = release = installed_version("euromine")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]

# Markdown as on a repository's page, so that the same files read well there.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# The tests execute the notebooks, which are kept without outputs.
nb_execution_mode = "off"

# API pages list each subpackage's `__all__`.
autodoc_default_options = {"members": True}
autodoc_member_order = "groupwise"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
# Docstrings mark code by single backticks.
default_role = "code"
add_module_names = False
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 90
python_use_unqualified_type_names = True

# Other projects' names are not links: resolving them takes their inventories, and so a network. Names of ours
# that are not public, such as the modules' private classes in a signature, have no page.
nitpick_ignore_regex = [
    ("py:.*", r"(?!euromine\b).*"),
    ("py:.*", r"euromine\.\w+\.\w+\..*"),
]

html_theme = "furo"
html_title = f"EuroMine {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/icon.svg"
html_logo = "_static/icon.svg"
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"
copybutton_exclude = ".linenos, .gp, .go"

# Files of the repository's root that are pages here, and where they lie on the site.
_PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


def strip_front_matter(_app: Sphinx, path: Path, _parent: str, content: list[str]) -> None:
    """Include the card of a metric's Space without the settings of the Space."""
    if path.name == "README.md":
        content[0] = re.sub(r"\A---\n.*?\n---\n", "", content[0], flags=re.DOTALL)


def resolve_root_links(_app: Sphinx, path: Path, _parent: str, content: list[str]) -> None:
    """Rewrite the links of an included file of the repository's root, which are relative to that root."""
    if path.parent != Path(".."):
        return

    def rewrite(match: re.Match[str]) -> str:
        target = match[2]
        if target.startswith("docs/"):
            target = str(PurePosixPath(target).relative_to("docs"))
        else:
            target = _PAGES.get(target, target)
        return f"{match[1]}{target}{match[3]}"

    content[0] = re.sub(r"(\]\()((?![a-z]+:|#)[^)#\s]+)([^)]*\))", rewrite, content[0])


def list_constants(_app: Sphinx, docname: str, source: list[str]) -> None:
    """Add a subpackage's public constants to its page, as autodoc leaves out what has no docstring."""
    found = re.search(r"automodule:: (euromine\.\w+)\n", source[0])
    if docname.startswith("api/") and found:
        module = importlib.import_module(found[1])
        entries = [
            f"\n.. py:data:: {name}\n   :module: {found[1]}\n   :value: {getattr(module, name)!r}\n"
            for name in getattr(module, "__all__", ())
            if name.isupper()
        ]
        source[0] = source[0].replace(found[0], found[0] + "".join(entries))


def choose_members(
    _app: Sphinx, what: str, _name: str, obj: object, _skip: bool, _options: object
) -> bool | None:
    """Leave errors to the page that has all of them."""
    is_error = what == "module" and getattr(obj, "__module__", None) == "euromine.support.errors"
    return True if is_error else None


def hide_inherited_fields(
    _app: Sphinx, what: str, _name: str, obj: object, _options: object, *_signature: str | None
) -> tuple[str, str] | None:
    """Leave the fields of transformers' own base out of a configuration's signature."""
    return ("(**fields)", "") if what == "class" and hasattr(obj, "attribute_map") else None


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula as MathML, which browsers show without a script from elsewhere."""
    self.body.append(tex2mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed formula as MathML."""
    self.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("include-read", strip_front_matter)
    app.connect("include-read", resolve_root_links)
    app.connect("source-read", list_constants)
    app.connect("autodoc-skip-member", choose_members)
    app.connect("autodoc-process-signature", hide_inherited_fields)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
