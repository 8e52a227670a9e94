"""Runs code beside the tests, as another person's process would; started by conftest.py.

Reads JSON strings of Python source, a line each; runs each in a namespace of its own and answers with a line:
`{"value": ...}`, what the source has left in `value`, or `{"error": ..., "kind": ...}`. With `--alone` the
package is out of reach, as if it were not installed.
"""

import importlib.abc
import json
import sys
import time
import traceback
import types
from typing import Any

import huggingface_hub.utils._http


class NoEuroMine(importlib.abc.MetaPathFinder):
    """Hides the package."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname.split(".")[0] == "euromine":
            raise ModuleNotFoundError(f"No module named {fullname!r}")


if "--alone" in sys.argv:
    sys.meta_path.insert(0, NoEuroMine())


def wait_less() -> None:
    """Let the Hub's client, and our own publishing, pause for no more than a moment between attempts."""
    impatient = types.SimpleNamespace(
        **{**vars(time), "sleep": lambda seconds: time.sleep(min(seconds, 0.02))}
    )
    huggingface_hub.utils._http.time = impatient
    if "--alone" not in sys.argv:
        import euromine.hub.connection

        euromine.hub.connection.time = impatient


wait_less()
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
