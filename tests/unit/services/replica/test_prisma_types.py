"""An unused module is not loaded; the first use loads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
import sys
from tollgate.services.replica.prisma_types import defer_prisma_types
{first}
import prisma
print("types run" if "RUN" in vars(prisma) else "types not run")
print(prisma.types.SortOrder, prisma.types.WhereInput.__name__, prisma.RUN)
from prisma.types import SortOrder, WhereInput
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    prisma = tmp_path / "prisma"
    prisma.mkdir()
    (prisma / "__init__.py").write_text("from . import types\nfrom .types import SortOrder\n")
    (prisma / "_types.py").write_text("SortOrder = 'asc'\n")
    (prisma / "types.py").write_text(
        "import prisma\nfrom . import _types\nSortOrder = _types.SortOrder\nprisma.RUN = True\nclass WhereInput: ...\n"
    )
    return tmp_path


def ask(package: Path, first: str, question: str = ASK) -> list[str]:
    paths = [str(package), str(Path(__file__).resolve().parents[4] / "src")]
    code = f"import sys; sys.path[:0] = {paths!r}\n" + question.format(first=first)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()


def test_types_are_loaded_when_one_is_used(package: Path) -> None:
    assert ask(package, "defer_prisma_types()") == ["types not run", "asc WhereInput True"]


def test_twin_without_it_they_are_loaded_immediately(package: Path) -> None:
    assert ask(package, "") == ["types run", "asc WhereInput True"]


NAMES = "DatasourceOverride, HttpConfig, MetricsFormat, Serializable"
ASK_ELEVEN = """
import sys
from tollgate.services.replica.prisma_types import defer_prisma_types
{first}
import prisma
print("types run" if "RUN" in vars(prisma) else "types not run", prisma.client.connect)
from prisma.types import WhereInput, DatasourceOverride
print(WhereInput.__name__, DatasourceOverride.__doc__)
"""


@pytest.fixture
def eleven(package: Path) -> Path:
    """The layout of prisma 0.11: its client imports four names from `types`, and `_types` has none of them."""
    prisma = package / "prisma"
    (prisma / "__init__.py").write_text("from . import client\n")
    (prisma / "client.py").write_text(
        f"from typing import List, Optional\nfrom . import types\nfrom .types import {NAMES}\n"
        "def connect(a: Optional[List[DatasourceOverride]], b: Optional[HttpConfig],\n"
        "            c: MetricsFormat) -> Serializable: ...\n"
        "connect = 'imported'\n"
    )
    (prisma / "types.py").write_text(
        "import prisma\nprisma.RUN = True\nclass WhereInput: ...\n"
        "class DatasourceOverride: 'its own'\nHttpConfig = MetricsFormat = Serializable = DatasourceOverride\n"
    )
    return package


def test_types_of_prisma_0_11_are_loaded_late_too(eleven: Path) -> None:
    assert ask(eleven, "defer_prisma_types()", ASK_ELEVEN) == ["types not run imported", "WhereInput its own"]


def test_twin_without_the_four_names_they_are_loaded_immediately(eleven: Path) -> None:
    first = "import tollgate.services.replica.prisma_types as d; d.IN_TYPES.clear(); defer_prisma_types()"
    assert ask(eleven, first, ASK_ELEVEN) == ["types run imported", "WhereInput its own"]


def test_without_prisma_nothing_happens(tmp_path: Path) -> None:
    code = (
        "import sys; from tollgate.services.replica.prisma_types import defer_prisma_types as defer\n"
        "defer(); sys.exit('prisma.types' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
