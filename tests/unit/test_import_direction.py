"""Imports run one way: cli -> stack, reconcile, render -> litellm, config; in config, services, stack down the rooms.

No modules, and no folders beside each other, import each other in a circle. Pure packages stay pure.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "tollgate"
CLIENT = PACKAGE.parents[1] / "client" / "src" / "tollgate_client"
PURE = ("config", "render", "reconcile", "ledger")
IMPURE_MODULES = {"httpx", "requests", "urllib3", "aiohttp", "docker", "subprocess", "socket", "psycopg", "redis"}
IMPURE_MODULES |= {"urllib.request", "http.client"}
# The packages that each package may import. Every package may import errors, figures, limits and site.
MAY_IMPORT = {
    "config": {"config"},
    "render": {"render", "config"},
    "litellm": {"litellm", "config"},
    "reconcile": {"reconcile", "config", "litellm"},
    "ledger": {"ledger"},
    "migrate": {"migrate"},
    "stack": {"stack", "ledger", "migrate", "reconcile", "render", "litellm", "config"},
    "services": {"services"},
    # The gateway processes run in our own image, which has the ledger's package too.
    "services/gateway": {"services", "ledger"},
}
EVERYBODYS = {"claude_code", "disk", "errors", "figures", "limits", "site", "__version__"}
# The rooms of a package, lowest first: a room imports from itself and from those before it. Rooms of one line import
# nothing from each other.
ROOMS: Mapping[str, Sequence[Sequence[str]]] = {
    "config": (
        ("endpoint", "secret", "yaml"),
        ("validate",),
        ("env", "gateway"),
        ("tenant",),
        ("load",),
    ),
    "services": (
        ("provider", "refusals"),
        ("limits", "requests"),
        ("choice",),
        ("gateway", "hooks"),
        ("replica",),
    ),
    "stack": (
        ("host",),
        ("containers", "secrets"),
        ("configuration",),
        ("deployment",),
        ("images", "ledger"),
        ("backup", "certificates", "requests", "served", "tenants"),
        ("deploy",),
        ("basic", "doctor", "passwords", "restore", "upgrade"),
    ),
}


def _modules(package: str) -> list[Path]:
    return sorted((PACKAGE / package).rglob("*.py"))


@cache
def _tree(source: str) -> ast.Module:
    """Several tests read each module."""
    return ast.parse(source)


def _imports(source: str) -> Iterator[str]:
    for node in ast.walk(_tree(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _impure(source: str) -> list[str]:
    found = [name for name in _imports(source) if name in IMPURE_MODULES or name.partition(".")[0] in IMPURE_MODULES]
    for node in ast.walk(_tree(source)):
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
    tree = _tree(source)
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
    inner = {module for other in MAY_IMPORT if other.startswith(f"{package}/") for module in _modules(other)}
    modules = [module for module in _modules(package) if module not in inner]
    found = {str(module.relative_to(PACKAGE)): _strangers(module.read_text(), allowed) for module in modules}
    assert {module: names for module, names in found.items() if names} == {}


def _top_modules() -> list[Path]:
    """The modules beside the packages, without the command line's own entry point."""
    return sorted(file for file in PACKAGE.glob("*.py") if file.name not in ("__init__.py", "__main__.py"))


@pytest.mark.parametrize("module", _top_modules(), ids=lambda module: module.stem)
def test_a_module_that_every_package_may_import_imports_none_of_them(module: Path) -> None:
    assert module.stem in EVERYBODYS
    assert _strangers(module.read_text(), EVERYBODYS) == []


def test_only_the_command_line_prints() -> None:
    # A container's own entrypoint (__main__) speaks to its log: that is its command line.
    modules = [module for package in MAY_IMPORT for module in _modules(package) if module.name != "__main__.py"]
    assert [str(module.relative_to(PACKAGE)) for module in modules if _prints(module.read_text())] == []


def _starts_programs(source: str) -> bool:
    nodes = [node for node in ast.walk(_tree(source)) if isinstance(node, ast.Attribute)]
    called = {node.attr for node in nodes if isinstance(node.value, ast.Name) and node.value.id == "os"}
    return "subprocess" in _imports(source) or not called.isdisjoint({"system", "popen", "execv", "execvp", "execvpe"})


def test_programs_of_the_host_are_started_in_one_place_only() -> None:
    found = [str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if _starts_programs(file.read_text())]
    assert found == ["stack/host/run.py"]


def test_twin_another_place_that_starts_a_program_would_be_noticed() -> None:
    assert _starts_programs("import subprocess")
    assert _starts_programs("from subprocess import run")
    assert _starts_programs("import os\nos.execvpe('a', [], {})")
    assert not _starts_programs("from tollgate.stack.host.run import run")


# ---- rooms


def _upward(room: str, source: str, package: str) -> list[str]:
    """Rooms of `package` that `source`, which stands in `room`, imports although they lie beside or above it."""
    levels = {name: level for level, names in enumerate(ROOMS[package]) for name in names}
    parts = (name.split(".") for name in _imports(source) if name.startswith(f"tollgate.{package}."))
    used = {words[2] for words in parts} & levels.keys() - {room}
    return sorted(name for name in used if levels[name] >= levels[room])


def _rooms(package: str) -> dict[str, list[Path]]:
    rooms: dict[str, list[Path]] = {}
    for module in _modules(package):
        name = module.relative_to(PACKAGE / package).parts[0].removesuffix(".py")
        if name != "__init__":
            rooms.setdefault(name, []).append(module)
    return rooms


@pytest.mark.parametrize("package", ROOMS)
def test_every_room_has_its_place_in_the_order(package: str) -> None:
    assert sorted(_rooms(package)) == sorted(name for names in ROOMS[package] for name in names)


@pytest.mark.parametrize("package", ROOMS)
def test_no_room_imports_one_that_lies_above_it(package: str) -> None:
    found = {
        str(module.relative_to(PACKAGE)): _upward(room, module.read_text(), package)
        for room, modules in _rooms(package).items()
        for module in modules
    }
    assert {module: rooms for module, rooms in found.items() if rooms} == {}


def test_twin_an_import_that_runs_back_up_would_be_noticed() -> None:
    assert _upward("host", "from tollgate.stack.deploy import steps", "stack") == ["deploy"]
    assert _upward("host", "from tollgate.stack.deploy.steps import Deploy", "stack") == ["deploy"]
    assert _upward("restore", "from tollgate.stack import upgrade", "stack") == ["upgrade"]
    assert _upward("requests", "from tollgate.services.gateway.call import Call", "services") == ["gateway"]
    assert _upward("deploy", "from tollgate.stack.host import lock\nfrom tollgate.stack import ledger", "stack") == []


PROGRAMS = {"gateway", "provider", "replica"}


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_no_program_of_the_services_imports_another(program: str) -> None:
    """Code that two of them need lies in a room of its own."""
    others = PROGRAMS - {program}
    files = sorted((PACKAGE / "services" / program).rglob("*.py"))
    found = {file.name: _of_programs(file.read_text(), others) for file in files}
    assert {name: programs for name, programs in found.items() if programs} == {}


def test_twin_an_import_of_another_program_would_be_noticed() -> None:
    assert _of_programs("from tollgate.services.replica.headers import Send", {"replica"}) == ["replica"]
    assert _of_programs("from tollgate.services import replica", {"replica"}) == ["replica"]
    assert _of_programs("from tollgate.services.requests.asgi import Send", {"replica"}) == []


def _of_programs(source: str, programs: set[str]) -> list[str]:
    parts = (name.split(".") for name in _imports(source) if name.startswith("tollgate.services."))
    return sorted({words[2] for words in parts} & programs)


# ---- circles


def _name(module: Path, package: Path) -> str:
    parts = module.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _graph_of(package: Path) -> dict[str, set[str]]:
    graph = _graph({_name(module, package): module.read_text() for module in sorted(package.rglob("*.py"))})
    assert len(graph) > 30
    return graph


def _circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, in its order; [] where there is none."""
    done: set[str] = set()

    def follow(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for following in sorted(graph.get(name, set())):
            if circle := follow(following, [*way, name]):
                return circle
        done.add(name)
        return []

    return next((circle for name in sorted(graph) if (circle := follow(name, []))), [])


def _graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """The imports of each module, also in functions and for types. `from package import module` means the module."""
    graph = {}
    for name, source in sources.items():
        named = set(_imports(source)) & sources.keys()
        packages = {one for one in named if any(other.startswith(f"{one}.") for other in named)}
        graph[name] = named - packages - {name}
    return graph


@pytest.mark.parametrize("package", [PACKAGE, CLIENT], ids=lambda package: package.name)
def test_no_modules_import_each_other_in_a_circle(package: Path) -> None:
    assert _circle(_graph_of(package)) == []


def test_twin_a_circle_would_be_noticed() -> None:
    sources = {"t.a": "from t import b", "t.b": "def f():\n    import t.c", "t.c": "from t.a import x", "t": ""}
    assert _circle(_graph(sources)) == ["t.a", "t.b", "t.c", "t.a"]
    assert _circle(_graph({**sources, "t.c": "import os"})) == []


def _folder_circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Folders beside each other whose modules import each other in a circle, for each folder that holds them."""
    beside: dict[str, dict[str, set[str]]] = {}
    for name, imported in graph.items():
        for other in imported:
            mine, theirs = name.split("."), other.split(".")
            depth = next((at for at, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1]), 0)
            if 0 < depth < min(len(mine), len(theirs)) - 1:
                folders = beside.setdefault(".".join(mine[:depth]), {})
                folders.setdefault(mine[depth], set()).add(theirs[depth])
    return [[holder, *circle] for holder, folders in sorted(beside.items()) if (circle := _circle(folders))]


@pytest.mark.parametrize("package", [PACKAGE, CLIENT], ids=lambda package: package.name)
def test_no_folders_beside_each_other_import_each_other(package: Path) -> None:
    assert _folder_circles(_graph_of(package)) == []


def test_twin_folders_that_import_each_other_would_be_noticed() -> None:
    graph = {"t.a.one": {"t.b.two"}, "t.b.three": {"t.a.four"}, "t.b.two": set(), "t.a.four": set()}
    assert _circle(graph) == []
    assert _folder_circles(graph) == [["t", "a", "b", "a"]]
    assert _folder_circles({**graph, "t.b.three": {"t.b.two"}}) == []


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
    assert _strangers("from tollgate.stack.containers import compose", {"config"}) == ["stack"]
    assert (
        _strangers("from tollgate.config.env.settings import Settings\nimport tollgate.errors", {"config", "errors"})
        == []
    )
    assert _prints("print('x')")
    assert _prints("from rich.console import Console")
