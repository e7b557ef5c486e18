"""The provider's container is small: the package may import only the standard library, starlette and uvicorn."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from tollgate.services import provider

PACKAGE = "tollgate.services.provider"
ALLOWED = {*sys.stdlib_module_names, "starlette", "uvicorn"}


def foreign_imports(folder: Path) -> set[str]:
    """Imported modules that are neither allowed nor in the package itself."""
    modules: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module or "")
    return {
        name for name in modules if name.partition(".")[0] not in ALLOWED and not f"{name}.".startswith(f"{PACKAGE}.")
    }


def test_the_package_imports_only_what_its_container_has() -> None:
    (folder,) = provider.__path__
    assert len(list(Path(folder).rglob("*.py"))) > 15
    assert foreign_imports(Path(folder)) == set()


def test_twin_a_foreign_import_is_found(tmp_path: Path) -> None:
    source = "import json\nimport httpx\nfrom tollgate.errors import Problem\nfrom starlette.routing import Route\n"
    (tmp_path / "module.py").write_text(source)
    assert foreign_imports(tmp_path) == {"httpx", "tollgate.errors"}
