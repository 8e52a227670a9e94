"""Loads checkpoints as a person without the package does; started by test_networks.py, once for all of them.

Reads a folder's path a line, loads the network in it, by `trust_remote_code` where it brings code, feeds it
`pixel_values.npy` and writes `logits.npy` beside it; answers `done` or what went wrong, a line each.
"""

import importlib.abc
import sys
from pathlib import Path


class NoEuroMine(importlib.abc.MetaPathFinder):
    """Hides the package, as if it were not installed."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] == "euromine":
            raise ModuleNotFoundError(f"No module named {fullname!r}")


sys.meta_path.insert(0, NoEuroMine())

import numpy as np  # noqa: E402  # the package must be hidden first
import torch  # noqa: E402
from transformers import AutoConfig, AutoModel, AutoModelForSemanticSegmentation  # noqa: E402

for line in sys.stdin:
    folder = Path(line.strip())
    try:
        if getattr(AutoConfig.from_pretrained(folder, trust_remote_code=True), "auto_map", None):
            network = AutoModel.from_pretrained(folder, trust_remote_code=True)
        else:
            # A network that transformers has brings no code along, and is asked for by its task.
            network = AutoModelForSemanticSegmentation.from_pretrained(folder)
        with torch.no_grad():
            logits = network(torch.from_numpy(np.load(folder / "pixel_values.npy"))).logits
        np.save(folder / "logits.npy", logits.numpy())
    except Exception as error:
        answer = f"{type(error).__name__}: {error}".replace("\n", " ")
    else:
        answer = "done"
    sys.stdout.write(f"answer {answer}\n")
    sys.stdout.flush()
