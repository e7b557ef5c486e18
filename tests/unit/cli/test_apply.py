"""`tollgate plan` and `tollgate apply` as an operator uses them; LiteLLM is a state in memory."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.support.reconcile import Memory
from tests.support.site import new_home
from tollgate.cli.app import app
from tollgate.errors import TollgateError
from tollgate.litellm.state import State
from tollgate.site import Site
from tollgate.stack.host.lock import locked
from tollgate.stack.secrets import store as secrets
from tollgate.stack.tenants import tenancy


@pytest.fixture(autouse=True)
def litellm(monkeypatch: pytest.MonkeyPatch) -> Memory:
    memory = Memory(State())

    class Provider:
        def __init__(self, *_: object) -> None: ...

        def observe(self, _: str | None = None) -> State:
            return memory.state

        write, confirm = staticmethod(memory.write), staticmethod(memory.confirm)

    monkeypatch.setattr(tenancy, "_client", lambda *_: nullcontext())
    monkeypatch.setattr(tenancy, "LiteLLMTenants", Provider)
    return memory


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = new_home(tmp_path / "home")
    secrets.ensure(made)
    write(made, "acme", "allowed_models: [test-model]\nkeys: [{name: ci}]\n")
    return made


def write(site: Site, name: str, text: str = "") -> None:
    (site.tenants_dir / f"{name}.yaml").write_text(f"tenant: {{id: {name}}}\n{text}")


def run(site: Site, *arguments: str, said: str = "") -> Result:
    return CliRunner().invoke(app, ["--home", str(site.home), *arguments], input=said)


def refused(result: Result) -> TollgateError:
    assert isinstance(result.exception, TollgateError), result.output
    return result.exception


def test_a_plan_and_its_exit_code_show_pending_changes(site: Site, litellm: Memory) -> None:
    planned = run(site, "plan")
    assert (planned.exit_code, litellm.calls) == (2, 0)
    assert "+ team acme" in planned.output and "+ key acme/ci/(new)" in planned.output
    assert json.loads(run(site, "plan", "--json").output)["counts"]["create"] == 5

    assert run(site, "apply", "--yes").exit_code == 0
    assert (run(site, "plan").exit_code, run(site, "plan").output) == (0, "Nothing to change.\n")
    assert run(site, "apply").output == "Nothing to change.\n"


def test_an_apply_shows_the_plan_and_asks_first(site: Site, litellm: Memory) -> None:
    declined = run(site, "apply", said="n\n")
    assert (declined.exit_code, litellm.calls) == (1, 0)
    assert "+ team acme" in declined.output and "Apply this? [y/N]" in declined.output
    assert not (site.secrets_dir / "tenants").exists(), "a declined apply generates no key"

    accepted = run(site, "apply", said="y\n")
    assert "Applied 5 change(s)." in accepted.output
    assert sorted(path.name for path in (site.secrets_dir / "tenants").iterdir()) == ["acme", "acme.ci", "example"]


def test_without_a_terminal_it_prints_its_progress(site: Site) -> None:
    assert re.findall(r"\[(\d)/5\] create (team|key)", run(site, "apply", "--yes").stderr) == [
        ("1", "team"),
        ("2", "team"),
        ("3", "key"),
        ("4", "key"),
        ("5", "key"),
    ]


def test_apply_prints_its_result_as_json(site: Site, litellm: Memory) -> None:
    assert run(site, "apply", "--json").exit_code == 2, "it cannot ask"
    litellm.fail_at = 5
    failed = json.loads(run(site, "apply", "--yes", "--json").stdout)
    assert (len(failed["applied"]), len(failed["failed"]), failed["not_tried"]) == (4, 1, [])
    assert failed["failed"][0]["error"].endswith("database away")
    assert len(json.loads(run(site, "apply", "--yes", "--json").stdout)["applied"]) == 1
    assert json.loads(run(site, "apply", "--yes", "--json").stdout) == {"applied": [], "failed": [], "not_tried": []}


def test_a_failure_lists_applied_and_untried_changes(site: Site, litellm: Memory) -> None:
    litellm.fail_at = 3
    result = run(site, "apply", "--yes")

    message = refused(result).message
    applied, failed, not_tried = map(int, re.findall(r"(\d+)(?=,|:)", message)[:3])
    assert (failed, applied + not_tried) == (1, 4)
    assert "LiteLLM: POST /team/new: 503: database away" in message
    assert result.stderr.count("not tried: create key") == not_tried
    assert run(site, "apply", "--yes").exit_code == 0
    assert run(site, "plan").exit_code == 0


def test_a_removed_file_blocks_and_deletes_only_with_allow_delete(site: Site, litellm: Memory) -> None:
    run(site, "apply", "--yes")
    (site.tenants_dir / "acme.yaml").unlink()

    planned = run(site, "plan")
    assert "- team acme: would be blocked; --allow-delete deletes it" in planned.output
    run(site, "apply", "--yes")
    assert litellm.state.teams["acme"].blocked
    assert run(site, "plan").exit_code == 0

    assert "- team acme: would be deleted" in run(site, "plan", "--allow-delete").output
    run(site, "apply", "--yes", "--allow-delete")
    assert litellm.state.teams.keys() == {"example"}


# ---- a plan that was reviewed


def test_a_reviewed_plan_is_applied_as_it_was_read(site: Site, tmp_path: Path, litellm: Memory) -> None:
    file = tmp_path / "plan.json"
    assert run(site, "plan", "--out", str(file)).exit_code == 2
    assert file.stat().st_mode & 0o777 == 0o600

    assert run(site, "apply", str(file), "--yes").exit_code == 0
    assert run(site, "plan").exit_code == 0


def test_a_plan_of_thousands_of_changes_can_be_read(site: Site, tmp_path: Path) -> None:
    """It may be larger than the limit for files that people write."""
    file = tmp_path / "plan.json"
    run(site, "plan", "--out", str(file))
    file.write_text(file.read_text() + " " * 2**21)

    assert run(site, "apply", str(file), "--yes").exit_code == 0


def test_a_missing_plan_file_is_refused(site: Site, tmp_path: Path) -> None:
    assert "No such file" in refused(run(site, "apply", str(tmp_path / "plan.json"))).message


def test_a_reviewed_plan_is_refused_after_any_change(site: Site, tmp_path: Path, litellm: Memory) -> None:
    file = str(tmp_path / "plan.json")
    run(site, "plan", "--out", file)
    write(site, "beta")
    assert "have changed since this plan was made" in refused(run(site, "apply", file, "--yes")).message

    run(site, "plan", "--out", file)
    run(site, "apply", "--yes")
    (team,) = (team for team in litellm.state.teams.values() if team.id == "acme")
    litellm.state = replace(litellm.state, teams={**litellm.state.teams, "acme": replace(team, blocked=True)})
    calls = litellm.calls
    assert "have changed since this plan was made" in refused(run(site, "apply", file, "--yes")).message
    assert litellm.calls == calls


def test_a_plan_that_deletes_needs_allow_delete_again(site: Site, tmp_path: Path, litellm: Memory) -> None:
    file = str(tmp_path / "plan.json")
    run(site, "apply", "--yes")
    (site.tenants_dir / "acme.yaml").unlink()
    run(site, "plan", "--allow-delete", "--out", file)

    error = refused(run(site, "apply", file, "--yes"))
    assert (error.message, error.hint) == (
        f"this plan deletes 3 object(s), first: delete key {next(iter(sorted(aliases(litellm, 'acme/ci'))))}",
        "to delete them, add --allow-delete",
    )
    assert run(site, "apply", file, "--yes", "--allow-delete").exit_code == 0
    assert litellm.state.teams.keys() == {"example"}


def aliases(litellm: Memory, prefix: str) -> set[str]:
    return {key.alias for key in litellm.state.keys.values() if key.alias.startswith(prefix)}


# ---- refusals before the apply


def test_a_second_operator_learns_who_runs_an_operation(site: Site, litellm: Memory) -> None:
    with locked(site, "apply"):
        assert re.search(r"another operation is running: apply by \S+ \(process", refused(run(site, "apply")).message)
    assert litellm.calls == 0


def test_a_team_that_is_not_ours_stops_the_apply(site: Site, litellm: Memory) -> None:
    litellm.state = State(unmanaged_teams={"acme": "Theirs"})
    result = run(site, "apply", "--yes")

    assert "team acme: LiteLLM has a team of this id that Tollgate did not make" in refused(result).message
    assert "! team acme" in result.output
    assert litellm.calls == 0


@pytest.mark.parametrize("where", ["env", "file"])
def test_two_tenants_cannot_share_a_key_from_any_source(
    site: Site, litellm: Memory, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    key = "sk-shared-0123456789abcdef"
    monkeypatch.setenv("SHARED_KEY", key)
    (site.home / "shared.key").write_text(key + "\n")
    source = {"env": "env:SHARED_KEY", "file": "file:shared.key"}[where]
    for name, text in (("one", key), ("two", source)):
        (site.tenants_dir / f"{name}.yaml").write_text(f"tenant: {{id: {name}, api_key: '{text}'}}\n")
    error = refused(run(site, "plan"))
    assert "two/default and one/default have the same key" in error.message
    assert key not in str(error)


def test_a_key_from_env_that_litellm_would_refuse_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT_KEY", "sk-short")
    (site.tenants_dir / "one.yaml").write_text("tenant: {id: one, api_key: 'env:SHORT_KEY'}\n")

    error = refused(run(site, "plan"))
    assert error.message.endswith("key default: env:SHORT_KEY: a key must have at least 16 characters, this one has 8")
    assert "sk-short" not in str(error)
