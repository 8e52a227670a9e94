"""Runs programs, each in a process of its own; started by conftest.py, once for many of them.

Reads the folder in which a program runs, the program and its arguments from each line, as JSON; answers with
the exit status, the output and the errors in one line. The processes are forked from this one, which has
loaded PyTorch and most other libraries that transformers loads: they take most of the time. With
`--without-the-package` it has loaded transformers, too, and hides the package, as if it were not installed;
without it the programs import transformers and the package, in an order of their own.
"""

import gc
import importlib.abc
import json
import os
import sys
import tempfile
import traceback
from typing import TextIO

import accelerate.hooks  # noqa: F401
import huggingface_hub.dataclasses
import huggingface_hub.hf_api
import huggingface_hub.repocard  # noqa: F401
import jinja2  # noqa: F401
import numpy  # noqa: F401
import PIL.Image  # noqa: F401
import regex  # noqa: F401
import safetensors.torch  # noqa: F401
import scipy.optimize  # noqa: F401
import tokenizers  # noqa: F401
import torch._dynamo
import torch.distributed._composable.fsdp
import torch.distributed.checkpoint.hf_storage
import torch.distributed.tensor  # noqa: F401
import yaml  # noqa: F401

LOADED = {name.split(".")[0] for name in sys.modules}
assert not {"euromine", "transformers"} & LOADED, "these are what the programs import"


class NoEuroMine(importlib.abc.MetaPathFinder):
    """Hides the package."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] == "euromine":
            raise ModuleNotFoundError(f"No module named {fullname!r}")


if "--without-the-package" in sys.argv:
    sys.meta_path.insert(0, NoEuroMine())
    from transformers import (  # noqa: F401
        AutoConfig,
        AutoImageProcessor,
        AutoModel,
        AutoModelForSemanticSegmentation,
    )

sys.path[0] = ""  # as for `python -c`
gc.freeze()  # a collection in a child would copy all memory that it shares with this process


def run_in_child(folder: str, program: str, arguments: list[str], output: TextIO, errors: TextIO) -> int:
    """The exit status of a program in a forked process."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(errors.fileno(), sys.stderr.fileno())
        os.chdir(folder)
        sys.argv = ["-c", *arguments]
        exec(program, {"__name__": "__main__"})
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


for line in sys.stdin:
    folder, program, *arguments = json.loads(line)
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        status = run_in_child(folder, program, arguments, output, errors)
        output.seek(0)
        errors.seek(0)
        print(json.dumps([status, output.read(), errors.read()]), flush=True)
