"""Arrows run one way: cli -> stack, reconcile, render -> litellm, config; what is pure stays pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "tollgate"
PURE = ("config", "render", "reconcile", "ledger")
IMPURE_MODULES = {"httpx", "requests", "urllib3", "aiohttp", "docker", "subprocess", "socket", "psycopg", "redis"}
IMPURE_MODULES |= {"urllib.request", "http.client"}
# Who may import whom inside the package; errors and site are everybody's.
MAY_IMPORT = {
    "config": {"config"},
    "render": {"render", "config"},
    "litellm": {"litellm", "config", "reconcile"},
    "reconcile": {"reconcile", "config", "litellm"},
    "ledger": {"ledger"},
    "stack": {"stack", "ledger", "reconcile", "render", "litellm", "config"},
    "services": {"services"},
}
EVERYBODYS = {"errors", "site", "__version__"}


def _modules(package: str) -> list[Path]:
    return sorted((PACKAGE / package).rglob("*.py"))


def _imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _impure(source: str) -> list[str]:
    found = [name for name in _imports(source) if name in IMPURE_MODULES or name.partition(".")[0] in IMPURE_MODULES]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in (
            "environ",
            "environb",
            "getenv",
            "putenv",
            "system",
            "popen",
        ):
            found.append(f"os.{node.attr}")
    return found + [name for name in _imports(source) if name in ("os.environ", "os.getenv")]


def _strangers(source: str, allowed: set[str]) -> list[str]:
    inner = (name.split(".")[1] for name in _imports(source) if name.startswith("tollgate."))
    return sorted({name for name in inner if name not in allowed})


def _prints(source: str) -> bool:
    tree = ast.parse(source)
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    printing = any(isinstance(node.func, ast.Name) and node.func.id == "print" for node in calls)
    return printing or any(name.partition(".")[0] in ("rich", "typer") for name in _imports(source))


@pytest.mark.parametrize("module", [m for p in PURE for m in _modules(p)], ids=lambda m: str(m.relative_to(PACKAGE)))
def test_pure_packages_touch_neither_network_nor_processes_nor_environment(module: Path) -> None:
    if module.relative_to(PACKAGE).parts[:2] != ("reconcile", "apply.py"):
        assert _impure(module.read_text()) == []


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_what_lies_below_them(package: str) -> None:
    allowed = MAY_IMPORT[package] | (EVERYBODYS if package != "services" else set())
    found = {str(module.relative_to(PACKAGE)): _strangers(module.read_text(), allowed) for module in _modules(package)}
    assert {module: names for module, names in found.items() if names} == {}


def test_only_the_command_line_prints() -> None:
    # A container's own entrypoint (__main__) speaks to its log: that is its command line.
    modules = [module for package in MAY_IMPORT for module in _modules(package) if module.name != "__main__.py"]
    assert [str(module.relative_to(PACKAGE)) for module in modules if _prints(module.read_text())] == []


@pytest.mark.parametrize(
    "source",
    [
        "import httpx",
        "from os import environ",
        "import os\nos.environ['A']",
        "import urllib.request",
        "import subprocess",
    ],
)
def test_an_impure_module_would_be_noticed(source: str) -> None:
    assert _impure(source)


def test_a_forbidden_import_or_print_would_be_noticed() -> None:
    assert _strangers("from tollgate.stack import compose", {"config"}) == ["stack"]
    assert _strangers("from tollgate.config.env import Settings\nimport tollgate.errors", {"config", "errors"}) == []
    assert _prints("print('x')")
    assert _prints("from rich.console import Console")
