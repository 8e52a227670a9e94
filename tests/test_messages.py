"""Every error message of the project reads `FILE OR ARGUMENT: found X; expected Y.`.

The sources are read, not run: a message that no test provokes is checked all the same.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from euromine.support import errors

REPOSITORY = Path(__file__).parents[1]
FOLDERS = (
    "acquisition",
    "annotation",
    "app",
    "benchmark",
    "commands",
    "dataset_script",
    "experiments",
    "hub",
    "metrics",
    "modeling",
    "monitoring",
    "simulation",
    "support",
    "training",
    "watch",
)
USER_ERRORS = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.EuroMineError)
} | {"ValueError", "TypeError"}
SYSTEM_ERRORS = {"OSError", "FileExistsError", "FileNotFoundError", "PermissionError", "ConnectionError"}

# The subject, what was found and what was expected; behind it the option or command that mends it.
GRAMMAR = re.compile(r".+?: found .+; expected .+\.", re.DOTALL)


def messages(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, error class and text of each message that is spelled out where it is raised."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
            continue
        function = node.exc.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        text = spelled_out(node.exc.args[-1])
        if text is not None and re.search(r"[a-z]{2}", text.replace("{}", "")):
            yield node.lineno, name, text


def spelled_out(node: ast.expr) -> str | None:
    """A literal with `{}` for what is filled in; None where a variable holds the whole message."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
        return "".join(map(str, parts))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = spelled_out(node.left), spelled_out(node.right)
        return None if left is None and right is None else (left or "{}") + (right or "{}")
    return None


@pytest.mark.parametrize("folder", FOLDERS)
def test_messages_name_what_was_found_and_what_was_expected(folder):
    wrong = []
    for path in sorted((REPOSITORY / folder).rglob("*.py")):
        for line, name, text in messages(path):
            is_wrong = (name in USER_ERRORS and not GRAMMAR.fullmatch(text)) or (
                name in SYSTEM_ERRORS and not text.endswith(".")
            )
            if is_wrong:
                wrong.append(f"{path.relative_to(REPOSITORY)}:{line}: {name}: {text}")
    assert not wrong, f"{len(wrong)} messages:\n" + "\n".join(wrong)
