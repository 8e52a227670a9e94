"""Runs code beside the tests, as another person's process would; started by conftest.py.

Reads JSON strings of Python source, a line each; runs each in a namespace of its own and answers with a line:
`{"value": ...}`, what the source has left in `value`, or `{"error": ..., "kind": ...}`. With `--alone` the
package is out of reach, as if it were not installed.
"""

import importlib.abc
import json
import sys
import traceback
from typing import Any


class NoEuroMine(importlib.abc.MetaPathFinder):
    """Hides the package."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname.split(".")[0] == "euromine":
            raise ModuleNotFoundError(f"No module named {fullname!r}")


if "--alone" in sys.argv:
    sys.meta_path.insert(0, NoEuroMine())

answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    names: dict[str, Any] = {"__name__": "__worker__"}
    try:
        exec(compile(json.loads(line), "<test>", "exec"), names)
        answer = {"value": names.get("value")}
    except BaseException as error:
        answer = {"error": str(error), "kind": type(error).__name__, "trace": traceback.format_exc()}
    answers.write(f"answer {json.dumps(answer, default=str)}\n")
    answers.flush()
