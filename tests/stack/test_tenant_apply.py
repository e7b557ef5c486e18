"""A tenant's life by its file, on the whole stack: every replica obeys from the next request on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.replicas import REPLICAS, ask
from tests.stack.requests import message
from tests.support.clock import until_the_hour_has_left
from tests.support.eventually import eventually
from tests.support.stack import Stack
from tollgate.stack.backup.make import LIVE, running_postgres

FILE = "tenant: {id: mover}\nallowed_models: [test-model]\nkeys: [{name: ci}]\n"


@pytest.fixture
def file(stack: Stack) -> Iterator[Path]:
    path = stack.home / "tenants" / "mover.yaml"
    yield path
    path.unlink(missing_ok=True)
    stack.cli("apply", "--yes", "--allow-delete")
    for key in (stack.home / "secrets" / "tenants").glob("mover*"):
        key.unlink()


def everywhere(stack: Stack, name: str) -> set[int]:
    """The answer of each replica to this key. Each is asked once."""
    return {ask(stack, replica, stack.key(name), body=message())[0].status for replica in REPLICAS}


def booked(stack: Stack, tenant: str) -> bool:
    query = f"SELECT count(*) FROM \"LiteLLM_SpendLogs\" WHERE team_id = '{tenant}' AND spend > 0"  # noqa: S608
    return int(running_postgres(stack.compose).sql(query, LIVE)) > 0


def test_what_its_file_says_holds_on_every_replica_at_once(stack: Stack, file: Path) -> None:
    until_the_hour_has_left(120)  # the day's budget counts what was spent before midnight no more
    file.write_text(FILE)
    assert stack.cli("plan", check=False).returncode == 2
    stack.cli("apply", "--yes")
    # After this sentence the line counts objects that other tests created by hand.
    assert stack.cli("plan").stdout.splitlines()[-1].startswith("Nothing to change.")
    # Each replica has team and keys in its memory from here on.
    assert (everywhere(stack, "mover"), everywhere(stack, "mover.ci")) == ({200}, {200})

    # A budget that comes later counts what stands in the ledger.
    eventually(lambda: booked(stack, "mover"), within=60)
    file.write_text(FILE + "budget: {daily_limit: 0.0000001}\n")
    stack.cli("apply", "--yes")
    assert everywhere(stack, "mover") == {429}
    file.write_text(FILE + "suspended: true\n")
    stack.cli("apply", "--yes")
    assert (everywhere(stack, "mover"), everywhere(stack, "mover.ci")) == ({401}, {401})
    file.write_text(FILE)
    stack.cli("apply", "--yes")
    assert (everywhere(stack, "mover"), everywhere(stack, "mover.ci")) == ({200}, {200})


def test_a_removed_file_takes_access_away_by_apply_and_not_by_deploy(stack: Stack, file: Path) -> None:
    file.write_text(FILE)
    stack.cli("apply", "--yes")
    assert everywhere(stack, "mover") == {200}

    file.unlink()
    assert "left alone: block team mover" in stack.cli("deploy").stderr
    assert everywhere(stack, "mover") == {200}
    assert "- team mover: would be blocked" in stack.cli("apply", "--yes").stdout
    assert (everywhere(stack, "mover"), everywhere(stack, "mover.ci")) == ({401}, {401})
