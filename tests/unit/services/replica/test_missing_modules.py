"""A module that cannot be imported runs once, however often somebody tries to import it."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

from tollgate.services.replica.missing_modules import remember_missing_modules

# Each run of a module leaves a line. The first needs a package that nobody has, the second a name.
SOURCES = {
    "without_package": "import a_package_that_nobody_has",
    "without_name": "from json import a_name_that_nobody_has",
    "whole": "answer = 42",
}
NAMES = [f"optional_modules.{name}" for name in SOURCES]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with one line for each run of a module."""
    record = tmp_path / "runs"
    package = tmp_path / "optional_modules"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name, source in SOURCES.items():
        note = f"with open({str(record)!r}, 'a') as record:\n    record.write('{name}\\n')"
        (package / f"{name}.py").write_text(f"{note}\n{source}\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ["optional_modules", *NAMES]:
        monkeypatch.setitem(sys.modules, name, None)  # put back at the end, whatever happens in between
        del sys.modules[name]
    return record


def tries() -> list[str]:
    failed = []
    for name in NAMES * 3:
        try:
            import_module(name)
        except ImportError:
            failed.append(name.rpartition(".")[2])
    return failed


def test_a_missing_module_runs_once_and_stays_missing(runs: Path) -> None:
    remember_missing_modules(NAMES)
    assert sorted(runs.read_text().split()) == sorted(SOURCES)
    assert sorted(tries()) == ["without_name"] * 3 + ["without_package"] * 3
    assert sorted(runs.read_text().split()) == sorted(SOURCES)


def test_twin_without_it_each_try_runs_the_module_again(runs: Path) -> None:
    assert sorted(tries()) == ["without_name"] * 3 + ["without_package"] * 3
    assert runs.read_text().split().count("without_package") == 3


def test_a_module_that_is_there_can_be_used(runs: Path) -> None:
    remember_missing_modules(NAMES)
    assert import_module("optional_modules.whole").answer == 42


def test_a_module_of_a_package_that_is_not_there_is_missing() -> None:
    remember_missing_modules(["a_package_that_nobody_has.module"])
    with pytest.raises(ModuleNotFoundError):
        import_module("a_package_that_nobody_has.module")
    del sys.modules["a_package_that_nobody_has.module"]
