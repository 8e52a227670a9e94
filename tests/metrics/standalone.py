"""Run by test_spaces.py in a process of its own: each metric's folder alone, euromine out of reach.

Arguments: the folder that holds the copied folders, and a folder to write the outcome into.
"""

import doctest
import json
import os
import pickle
import sys
import types
from importlib.abc import MetaPathFinder
from pathlib import Path


class Blocked(MetaPathFinder):
    """Lets nobody import euromine."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "euromine":
            raise ImportError(f"{name} is out of reach")


sys.meta_path.insert(0, Blocked())
# As in a Space, whose requirements lack it: evaluate would load it, and PyTorch.
sys.modules["transformers"] = None

import evaluate  # noqa: E402  # the blocks come first
import numpy as np  # noqa: E402

spaces, outcome = Path(sys.argv[1]), Path(sys.argv[2])
names = ("annual_f1", "ca_tiou", "component_iou", "interval_f1")
results = {}

# By an absolute path, from a folder that has nothing to do with it.
metrics = {name: evaluate.load(str(spaces / name)) for name in names}
for name, metric in metrics.items():
    assert type(metric).__module__.startswith("evaluate_modules."), type(metric)
    assert pickle.loads(pickle.dumps(metric)).name == name
combined = evaluate.combine(list(metrics.values()))
maps = np.array([[[[1, 0]], [[1, 1]]]])
results["combined"] = combined.compute(predictions=maps, references=maps, sites=["site"])["lca_tiou"]
results["configuration"] = evaluate.load(str(spaces / "interval_f1"), "change").config_name

# By name, where the README's examples stand.
os.chdir(spaces)
for name in names:
    examples = doctest.testfile(str(spaces / name / "README.md"), module_relative=False)
    results[name] = {"examples": examples.attempted, "failed": examples.failed}


class Widget:
    """Stands in for all of gradio: keeps what it is made with."""

    def __init__(self, *arguments, **options):
        self.options = options


class PageError(Exception):
    """Stands in for gradio's."""


widgets = dict.fromkeys(("Interface", "File", "Dropdown", "Radio", "Slider", "JSON"), Widget)
sys.modules["gradio"] = types.SimpleNamespace(**widgets, Error=PageError)
arrays = outcome / "arrays.npz"
np.savez(arrays, predictions=maps, references=maps, sites=np.array(["site"]), years=np.array([2015, 2017]))
wrong = outcome / "wrong.npz"
np.savez(wrong, predictions=maps, labels=maps)
text = outcome / "text.npz"
text.write_text("no arrays")
for name in names:
    specification = types.ModuleType("app")
    specification.__file__ = str(spaces / name / "app.py")
    exec(compile((spaces / name / "app.py").read_text(), specification.__file__, "exec"), vars(specification))
    page = specification.build().options
    assert page["title"] == name
    assert page["article"].lstrip().startswith("# "), page["article"][:40]
    configuration = page["inputs"][1].options["value"]
    scores = page["fn"](str(arrays), configuration, "site", 0)
    assert scores["years"] == [2015, 2017]
    refusals = []
    for path in (None, str(wrong), str(text)):
        try:
            page["fn"](path, configuration, "site", 0)
        except PageError as error:
            refusals.append(str(error))
    results[name]["refusals"] = refusals

(outcome / "results.json").write_text(json.dumps(results))
