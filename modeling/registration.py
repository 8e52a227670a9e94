"""Register the networks with transformers' Auto classes once these are imported, and not before.

Registering imports every network, which takes seconds, so `import euromine.modeling` alone must not do it.
Importing an Auto class has loaded PyTorch anyway.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Every module with an Auto class imports this one.
_AUTO_CLASSES = "transformers.models.auto.configuration_auto"
_WATCHED = ("transformers.", f"{__package__}.")


class _RegistrationFinder(MetaPathFinder):
    """Watches imports of transformers and of this package until the networks are registered.

    A module that is being imported may import an Auto class, and the networks may need that module, which is
    only partially initialised. So registration waits until the thread's outermost import is complete.
    """

    def __init__(self) -> None:
        self.is_done = False
        self._thread = threading.local()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a watched module by the finders that follow, but have its import counted."""
        # Left in place when done: other threads may be iterating over sys.meta_path.
        if self.is_done or not fullname.startswith(_WATCHED):
            return None
        following = sys.meta_path[sys.meta_path.index(self) + 1 :]
        specs = (finder.find_spec(fullname, path, target) for finder in following)
        spec = next(filter(None, specs), None)
        if spec is not None and spec.loader is not None:
            execute = partial(self._execute, spec.loader.exec_module)
            spec.loader.exec_module = execute  # type: ignore[method-assign]
        return spec

    def register_if_needed(self) -> None:
        """Register the networks if the Auto classes have been imported."""
        if self.is_done or _AUTO_CLASSES not in sys.modules:
            return
        try:
            importlib.import_module(".auto", __package__)
        except (AttributeError, ImportError) as error:
            # Another thread is importing a module that the networks need, and registers them afterwards.
            if "partially initialized module" not in str(error):
                raise
        else:
            self.is_done = True

    def _execute(self, execute: Callable[[ModuleType], None], module: ModuleType) -> None:
        depth = getattr(self._thread, "depth", 0)
        self._thread.depth = depth + 1
        try:
            execute(module)
        finally:
            self._thread.depth = depth
        if depth == 0:
            self.register_if_needed()


def register_with_transformers() -> None:
    """Register the networks now if the Auto classes have been imported, otherwise as soon as they are."""
    finder = _RegistrationFinder()
    finder.register_if_needed()
    if not finder.is_done:
        sys.meta_path.insert(0, finder)
