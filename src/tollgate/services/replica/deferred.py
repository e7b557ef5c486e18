"""Leaves Prisma's generated types out of a replica until something asks for one.

They are 35,000 classes that only annotations name (prisma-client-py writes every nesting of every filter out): 1.5 s of
CPU at each start and 180 MiB for good. Measured with LiteLLM 1.108.10; nothing in it asks at run time.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

TYPES = "prisma.types"
# Where the few come from that Prisma's own client imports by name.
BASE = "prisma._types"


class Deferred(ModuleType):
    """Stands in for a module until a name is asked for that `base` has not, then has all of the module's own."""

    def __init__(self, name: str, file: Path, base: str) -> None:
        super().__init__(name)
        self.__dict__.update(_file=file, _base=base)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions about a module
            raise AttributeError(name)
        light = import_module(self._base)
        if hasattr(light, name):
            return getattr(light, name)
        spec = spec_from_file_location(self.__name__, self._file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{self._file} is no Python module")
        whole = module_from_spec(spec)
        spec.loader.exec_module(whole)
        self.__dict__.update(whole.__dict__)
        return getattr(whole, name)


def defer_prisma_types() -> None:
    """Before anything imports Prisma. Does nothing where there is none (`make basic` runs without a database)."""
    prisma = find_spec(TYPES.partition(".")[0])
    if prisma is None or prisma.origin is None:
        return
    file = Path(prisma.origin).with_name("types.py")
    if file.exists():
        sys.modules[TYPES] = Deferred(TYPES, file, BASE)
