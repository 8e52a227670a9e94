"""Processes of our programs: waiting threads, freed memory and garbage collection."""

import gc
import importlib
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from euromine.support import environment
from euromine.support.environment import keep_freed_memory, prepare_module_run, prepare_process

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Calls that would have told the C library to keep freed memory; the environment says nothing."""
    calls: list[bool] = []
    monkeypatch.setattr(environment, "keep_freed_memory", lambda: calls.append(True))
    for name in [*WAITING, *(name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_")))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    return calls


def test_threads_wait_asleep_and_memory_is_kept(kept):
    prepare_process()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert kept == [True]


@pytest.mark.parametrize("name", WAITING)
def test_a_way_of_waiting_that_the_user_chose_stays(kept, monkeypatch, name):
    monkeypatch.setenv(name, "7")
    before = dict(os.environ)
    prepare_process()
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    "name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES", "LD_PRELOAD"]
)
def test_an_allocator_that_the_user_chose_stays(kept, monkeypatch, name):
    monkeypatch.setenv(name, "7")
    prepare_process()
    assert not kept


def test_an_import_changes_nothing_and_a_module_that_runs_does(kept, monkeypatch):
    for argv in (["script.py"], ["-c"], [""], []):
        monkeypatch.setattr(sys, "argv", argv)
        prepare_module_run()
    assert "OMP_WAIT_POLICY" not in os.environ
    monkeypatch.setattr(sys, "argv", ["-m", "--seconds", "1"])
    prepare_module_run()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize("program", ["commands/__init__.py", "train_seg.py", "train_cd.py"])
def test_programs_prepare_their_process_before_pytorch_is_loaded(program):
    """In their sources: PyTorch takes seconds to load."""
    lines = (REPOSITORY / program).read_text().splitlines()
    prepared = next(number for number, line in enumerate(lines) if "prepare_process()" in line)
    heavy = ("import torch", "import transformers", "from transformers", "from euromine.modeling")
    loaded = [number for number, line in enumerate(lines) if line.startswith(heavy)]
    assert all(prepared < number for number in loaded)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's setting")
def test_the_c_library_keeps_what_is_freed():
    """A freed array of 64 MB stays resident, and does not without the setting, or where it is undone."""
    program = """
        import json, sys
        from pathlib import Path
        from euromine.support.environment import keep_freed_memory, return_freed_memory

        def resident():
            return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

        found = []
        for change in (lambda: None, keep_freed_memory, return_freed_memory):
            change()
            before = resident()
            array = bytearray(b"x") * 2**26
            del array
            found.append(resident() - before)
        print(json.dumps(found))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    returned, kept, after = json.loads(done.stdout)
    assert returned < 2**22
    assert kept > 2**25
    assert after < 2**22
    assert keep_freed_memory()


RELEASE = """
from pathlib import Path
from euromine.support.environment import keep_freed_memory, release_freed_memory

def held():
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) // 1024

if not keep_freed_memory():
    print("unknown")
else:
    arrays = [bytearray(b"1" * 2**20) for _ in range(100)]
    last = bytearray(b"1")
    arrays.clear()
    kept = held()
    release_freed_memory()
    print(kept - held())
"""


def test_memory_that_is_kept_can_be_released():
    done = subprocess.run([sys.executable, "-c", RELEASE], capture_output=True, text=True, check=True)
    if done.stdout.strip() == "unknown":
        pytest.skip("this C library returns freed memory by itself")
    assert int(done.stdout) > 80  # of 100 MB


@pytest.fixture
def prepared(kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder from which a prepared process imports; `few` counts as a large library."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(environment, "_LARGE", ("few", "many"))
    monkeypatch.syspath_prepend(tmp_path)
    prepare_process()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(("few", "many", "small"))]:
        del sys.modules[name]


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Calls that would have left all objects out of later collections."""
    calls: list[bool] = []
    monkeypatch.setattr(environment.gc, "freeze", lambda: calls.append(True))
    return calls


def test_no_garbage_is_collected_while_a_large_library_is_imported(prepared, frozen):
    for name in ("few", "few_others"):
        (prepared / f"{name}.py").write_text("import gc; enabled = gc.isenabled()")
    assert not importlib.import_module("few").enabled
    assert importlib.import_module("few_others").enabled
    assert gc.isenabled()
    assert not frozen


def test_objects_of_many_modules_are_left_out_of_later_collections(prepared, frozen):
    """The collector stays stopped while a large library imports its parts and others."""
    (prepared / "many").mkdir()
    names = [f"part{number}" for number in range(environment._MANY_MODULES)]
    for name in names:
        (prepared / "many" / f"{name}.py").write_text("")
    (prepared / "many" / "__init__.py").write_text(
        "".join(f"from . import {name}\n" for name in names) + "import small"
    )
    (prepared / "small.py").write_text("import gc; enabled = gc.isenabled()")
    importlib.import_module("many")
    assert not sys.modules["small"].enabled
    assert gc.isenabled()
    assert frozen == [True]


def test_a_failed_import_leaves_the_collector_running(prepared):
    (prepared / "few.py").write_text("raise RuntimeError")
    with pytest.raises(RuntimeError):
        importlib.import_module("few")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("many")
    assert gc.isenabled()


def test_a_collector_that_the_user_stopped_stays_stopped(prepared):
    (prepared / "few.py").write_text("")
    gc.disable()
    try:
        importlib.import_module("few")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_module_keeps_the_loader_of_its_own(prepared):
    """Resources, pickles and tracebacks look for it; `python -m` asks it for the code before the import."""
    (prepared / "few.py").write_text("here = 1")
    assert inspect.iscode(importlib.util.find_spec("few").loader.get_code("few"))
    few = importlib.import_module("few")
    assert type(few.__loader__) is SourceFileLoader
    assert few.__spec__.loader is few.__loader__
    assert inspect.getsource(few).strip() == "here = 1"


def test_preparing_twice_adds_one_finder(prepared):
    before = list(sys.meta_path)
    prepare_process()
    assert sys.meta_path == before


def test_finders_of_others_find_modules_through_ours(prepared):
    """Such as `modeling/registration.py`, whose finder asks those that follow."""

    class Other(MetaPathFinder):
        def find_spec(self, fullname, path, target=None):
            following = sys.meta_path[sys.meta_path.index(self) + 1 :]
            return next(filter(None, (finder.find_spec(fullname, path) for finder in following)), None)

    sys.meta_path.insert(0, Other())
    (prepared / "few.py").write_text("import gc; enabled = gc.isenabled()")
    assert not importlib.import_module("few").enabled
