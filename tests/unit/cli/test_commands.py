"""The commands as a person types them: help, refusals, and the report of an unexpected exception."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.support.site import new_home
from tollgate import __version__
from tollgate.cli.app import app
from tollgate.site import Site
from tollgate.stack.deploy.steps import STEPS
from tollgate.stack.host.lock import locked

ROOT = Site.here().root
GROUP = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)  # type: ignore[attr-defined]
WIDTH = 100


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_home(tmp_path / "home")


def invoke(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": str(WIDTH), "TERM": "dumb"})
    return done.exit_code, done.output


def tollgate(site: Site, *arguments: str, code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real command in its own process. `code` runs first, to break something."""
    start = f"{code}\nfrom tollgate.__main__ import main\nmain()\n"
    command = [sys.executable, "-c", start, "--home", str(site.home), *arguments]
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=120, check=False)


def test_the_known_commands_exist() -> None:
    wanted = {"basic", "clean", "deploy", "doctor", "down", "logs", "plan", "restart", "start", "status", "stop"}
    assert wanted <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_fits(name: str) -> None:
    status, text = invoke(name, "--help")
    assert status == 0
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert any(line.strip() and not line.startswith("Usage") for line in lines[1:4]), "says what it does"


def test_the_help_has_a_line_for_each_command() -> None:
    _, text = invoke("--help")
    listed = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith("  ") and line.split()}
    assert all(len(listed[name]) >= 3 for name in COMMANDS)


def test_the_version_is_printed() -> None:
    assert invoke("--version") == (0, f"{__version__}\n")


def test_deploy_until_an_unknown_step_is_refused(site: Site) -> None:
    status, text = invoke("--home", str(site.home), "deploy", "--until", "nonsense")
    assert status == 2
    assert "nonsense" in text
    assert all(step in text for step in STEPS)
    assert not (site.home / "var").exists()


def test_twin_deploy_until_the_first_step(site: Site) -> None:
    status, _ = invoke("--home", str(site.home), "deploy", "--until", "settings")
    assert status == 0
    assert (site.secrets_dir / "redis_password").exists()


def test_deploy_until_a_step_answers_in_json_too(site: Site) -> None:
    done = tollgate(site, "deploy", "--until", "settings", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert list(answer["seconds"]) == ["settings"]
    assert "generated secrets/redis_password" in answer["changes"]


def test_every_problem_of_every_file_is_printed_at_once(site: Site) -> None:
    site.env_file.write_text("REPLICAS=none\n")
    broken = site.tenants_dir / "broken.yaml"
    broken.write_text("tenant: {id: broken}\nallowed_modles: [test-model]\nbudget: {daily_limit: ten}\n")
    done = tollgate(site, "deploy", "--until", "configuration")
    assert done.returncode == 1
    for place in (
        f"error: {site.env_file}:1: REPLICAS: ",
        f"error: {broken}:2: allowed_modles",
        f"error: {broken}:3: ",
    ):
        assert place in done.stderr
    assert done.stderr.count("\nhint:  ") >= 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not list((site.home / "var").glob("logs/*"))


@pytest.mark.parametrize("command", ["status", "logs", "start", "stop", "restart", "down", "plan"])
def test_before_a_first_deploy_each_command_says_what_to_do(site: Site, command: str) -> None:
    done = tollgate(site, command)
    assert done.returncode == 1
    assert "error: nothing is deployed here yet" in done.stderr
    assert "hint:  run `make deploy`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fresh_clone_has_no_env_and_tenants_can_be_written(site: Site) -> None:
    """The first deploy writes .env; until then its defaults count."""
    site.env_file.unlink()
    assert tollgate(site, "tenant", "create", "early", "5", "test-model").returncode == 0
    assert "early" in tollgate(site, "tenant", "list").stdout
    assert "test-model" in tollgate(site, "models").stdout
    assert "error: nothing is deployed here yet" in tollgate(site, "plan").stderr
    assert not site.env_file.exists()


def test_clean_asks_first_and_no_changes_nothing(site: Site) -> None:
    done = CliRunner().invoke(app, ["--home", str(site.home), "clean"], input="n\n")
    assert done.exit_code == 1
    assert "deletes the database" in done.output


def test_two_operations_at_once_are_refused(site: Site) -> None:
    with locked(site, "upgrade"):
        done = tollgate(site, "deploy", "--until", "settings")
    assert done.returncode == 1
    assert "error: another operation is running" in done.stderr
    assert "upgrade by " in done.stderr
    assert not site.secrets_dir.exists()


BREAK = """
from tollgate.stack.deploy import steps as deploy
def broken(_): raise LookupError("with sk-precious-0123456789 in it")
deploy.STEPS["settings"] = broken
"""


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_a_bug_prints_one_line_and_writes_a_private_file(site: Site, umask: int) -> None:
    done = tollgate(site, "deploy", code=f"import os; os.umask({umask})\n{BREAK}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "sk-precious" not in done.stderr
    [log] = (site.home / "var" / "logs").glob("crash-*.log")
    assert done.stderr.endswith(f"error: a bug in Tollgate: LookupError\nhint:  please report it with {log}\n")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert "LookupError: with sk-precious-0123456789 in it" in log.read_text()
    assert "in broken" in log.read_text()


def test_a_bug_before_the_home_is_known_prints_one_line(site: Site) -> None:
    """Typer, called in the usual way, installs its own handler before ours."""
    code = f"""
from pathlib import Path
import tollgate.__main__ as border, tollgate.cli.app as app
from tollgate.site import Site
class Broken:
    @staticmethod
    def here(home): raise LookupError("early")
app.Site = Broken
border.Site = type("Here", (), {{"here": staticmethod(lambda: Site(Path("/"), Path({str(site.home)!r})))}})
"""
    done = tollgate(site, "status", code=code)
    assert done.returncode == 1
    [log] = (site.home / "var" / "logs").glob("crash-*.log")
    assert done.stderr == f"error: a bug in Tollgate: LookupError\nhint:  please report it with {log}\n"


def test_a_bug_prints_one_line_if_the_file_cannot_be_written(site: Site) -> None:
    (site.home / "var").mkdir()
    (site.home / "var" / "logs").write_text("a file where the directory should be")
    done = tollgate(site, "deploy", code=BREAK)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"error: a bug in Tollgate: LookupError\nhint:  {site.home / 'var' / 'logs'} is not writable" in done.stderr


def test_an_interrupt_says_that_the_command_can_be_repeated(site: Site) -> None:
    code = (
        "from tollgate.stack.deploy.steps import STEPS\ndef stop(_): raise KeyboardInterrupt\nSTEPS['settings'] = stop"
    )
    done = tollgate(site, "deploy", code=code)
    assert done.returncode == 130
    assert "interrupted; run the same command again" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["plan", "--jsn"], ["plan", "more"], ["tenant", "creat"], ["tenant", "show"]])
def test_a_typing_mistake_exits_with_1(site: Site, words: list[str]) -> None:
    """Exit code 2 means a plan with pending changes."""
    done = tollgate(site, *words)
    assert done.returncode == 1
    assert "Error: " in done.stderr and "--help" in done.stderr
    assert "Traceback" not in done.stderr


def test_home_can_be_given_by_the_environment(site: Site) -> None:
    done = CliRunner().invoke(app, ["deploy", "--until", "settings"], env={"TOLLGATE_HOME": str(site.home)})
    assert done.exit_code == 0
    assert (site.secrets_dir / "redis_password").exists()


def test_the_deploy_prints_how_to_connect_without_the_key(site: Site) -> None:
    from tollgate.cli.deploy import _key_for_shell
    from tollgate.stack import configuration
    from tollgate.stack.secrets import store as secrets

    (site.tenants_dir / "named.yaml").write_text("tenant: {id: named, api_key: 'file:keys/named'}\n")
    example, named = configuration.load(site).tenants
    secrets.ensure(site)
    key = secrets.make_tenant_key(site, example.id).reveal()
    expression = _key_for_shell(site, example)
    assert key not in expression
    shell = subprocess.run(["sh", "-c", f"echo {expression}"], capture_output=True, text=True, check=True)
    assert shell.stdout == f"{key}\n"
    assert "secrets/tenants" not in _key_for_shell(site, named), "this tenant has no file there"
