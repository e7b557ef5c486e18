"""A module that nobody asks anything of is not run; the first to ask gets what it has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
import sys
from tollgate.services.replica.deferred import defer_prisma_types
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


def ask(package: Path, first: str) -> list[str]:
    paths = [str(package), str(Path(__file__).resolve().parents[2] / "src")]
    code = f"import sys; sys.path[:0] = {paths!r}\n" + ASK.format(first=first)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()


def test_types_wait_until_one_is_asked_for(package: Path) -> None:
    assert ask(package, "defer_prisma_types()") == ["types not run", "asc WhereInput True"]


def test_twin_without_it_they_are_run_at_once(package: Path) -> None:
    assert ask(package, "") == ["types run", "asc WhereInput True"]


def test_where_there_is_no_prisma_nothing_happens(tmp_path: Path) -> None:
    code = (
        "import sys; from tollgate.services.replica.deferred import defer_prisma_types as defer\n"
        "defer(); sys.exit('prisma.types' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
