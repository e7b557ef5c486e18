"""Commands are imported when they run, and all of them can be."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from tollgate.cli.app import COMMANDS, app
from tollgate.cli.lazy import lazily
from tollgate.cli.tenant.group import COMMANDS as OF_TENANTS

ALL = [*([name] for name in COMMANDS), *(["tenant", name] for name in OF_TENANTS)]
MODULES = sorted({place.partition(":")[0] for place in (*COMMANDS.values(), *OF_TENANTS.values())})


@pytest.mark.parametrize(
    "words", [*([name] for name in COMMANDS), *(["tenant", name] for name in OF_TENANTS)], ids=" ".join
)
def test_each_command_is_where_its_group_says(words: list[str]) -> None:
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="tollgate")
    assert done.exit_code == 0, done.output
    assert f"tollgate {' '.join(words)} " in done.output


def test_a_place_that_does_not_exist_fails() -> None:
    group = typer.Typer(cls=lazily({"one": "tollgate.cli.lazy:no_such_function"}))
    group.callback()(lambda: None)
    assert isinstance(CliRunner().invoke(group, ["one"]).exception, AttributeError)


def test_no_command_is_a_mistake_with_a_suggestion() -> None:
    done = CliRunner().invoke(app, ["statsu"])
    assert done.exit_code != 0
    assert "No such command 'statsu'" in done.output
    assert "status" in done.output


def imported(*words: str) -> set[str]:
    """The modules of commands that a process has when it has run `tollgate WORDS`."""
    code = (
        "import atexit, sys; from tollgate.__main__ import main;"
        f"atexit.register(lambda: print(*(name for name in {MODULES!r} if name in sys.modules), file=sys.stderr));"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stderr.split())


def test_a_command_imports_its_own_module_only() -> None:
    assert imported("--version") == set()
    assert "tollgate.cli.backup" not in imported("status", "--help")


def test_the_help_of_all_commands_imports_them_all() -> None:
    assert imported("--help") >= {place.partition(":")[0] for place in COMMANDS.values()}
