"""Loads Prisma's generated types only if something uses one.

They are 35,000 classes, because prisma-client-py writes out every nesting of every filter. Only annotations name them.
They cost 1.5 s of CPU at each start and 180 MiB of memory (measured with LiteLLM 1.108.10, which never uses them).
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypedDict

TYPES = "prisma.types"
# The module with the few types that Prisma's own client imports by name.
BASE = "prisma._types"


class DatasourceOverride(TypedDict, total=False):
    """Replaces Prisma's class of this name in annotations."""

    url: str
    env: str
    name: str


class HttpConfig(TypedDict, total=False):
    """Replaces Prisma's class of this name in annotations."""

    app: Any
    http1: bool
    http2: bool
    limits: Any
    timeout: Any
    trust_env: bool
    max_redirects: int


# Official LiteLLM images have prisma 0.11, which defines these in `types` itself. Its client uses them only in
# annotations.
IN_TYPES: dict[str, Any] = {
    "DatasourceOverride": DatasourceOverride,
    "HttpConfig": HttpConfig,
    "MetricsFormat": Literal["json", "prometheus"],
    "Serializable": Any,
}


class Deferred(ModuleType):
    """Replaces a module until code uses a name that is neither in `base` nor in IN_TYPES. Then it loads the module."""

    def __init__(self, name: str, file: Path, base: str) -> None:
        super().__init__(name)
        self.__dict__.update(_file=file, _base=base)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python itself reads these
            raise AttributeError(name)
        light = import_module(self._base)
        if hasattr(light, name):
            return getattr(light, name)
        if name in IN_TYPES:
            return IN_TYPES[name]
        spec = spec_from_file_location(self.__name__, self._file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{self._file} is not a Python module")
        whole = module_from_spec(spec)
        spec.loader.exec_module(whole)
        self.__dict__.update(whole.__dict__)
        return getattr(whole, name)


def defer_prisma_types() -> None:
    """Call this before anything imports Prisma. Without Prisma it does nothing (`make basic` has no database)."""
    prisma = find_spec(TYPES.partition(".")[0])
    if prisma is None or prisma.origin is None:
        return
    file = Path(prisma.origin).with_name("types.py")
    if file.exists():
        sys.modules[TYPES] = Deferred(TYPES, file, BASE)
