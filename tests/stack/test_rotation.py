"""Rotation of keys and passwords under traffic: no request fails, and the old secrets stop working.

`make test-rotation` rotates the database's password too, which recreates every replica twice.
"""

from __future__ import annotations

import json
import os

import pytest

from tests.stack.requests import message
from tests.support import plain
from tests.support.eventually import eventually
from tests.support.stack import Stack
from tests.support.traffic import Traffic
from tollgate.errors import StepError
from tollgate.stack.containers.exec import run_in
from tollgate.stack.passwords.database import Database
from tollgate.stack.secrets.changing import ROTATION_USER
from tollgate.stack.secrets.store import generate

REFUSED = 'FATAL:  password authentication failed for user "(litellm|litellm_rotation|tollgate_monitor)"'
LONG = os.environ.get("TOLLGATE_LONG_TESTS") == "1"


def ask(stack: Stack, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    answer = plain.post(f"{stack.url}/v1/messages", json=message(), headers=headers, timeout=60, trust_env=False)
    return answer.status_code


def everywhere(stack: Stack, key: str) -> set[int]:
    return {ask(stack, key) for _ in range(6)}


def test_a_rotated_key_works_everywhere_and_the_old_one_ends_by_itself(stack: Stack) -> None:
    old = stack.key("contractor")
    done = json.loads(stack.cli("rotate-keys", "contractor", "--grace", "60s", "--json").stdout)
    new = stack.key("contractor")
    assert done["rotated"][0]["file"] == "secrets/tenants/contractor" and new != old
    assert everywhere(stack, new) == everywhere(stack, old) == {200}
    assert "the old one of a rotation" in stack.cli("tenant", "show", "contractor").stdout
    eventually(lambda: everywhere(stack, old) == {401}, within=120, every=1)
    assert everywhere(stack, new) == {200}
    stack.cli("apply", "--yes")  # deletes the expired key
    assert stack.cli("plan", check=False).returncode == 0


def test_the_second_login_acts_as_the_first_and_can_be_dropped(stack: Stack, allow_in_logs: list[str]) -> None:
    allow_in_logs.append(REFUSED)
    database, password = Database(stack.compose), generate()
    database.second_login(password)
    database.second_login(password)  # as after an interruption
    with pytest.raises(StepError):
        database.check_login(ROTATION_USER, generate())
    database.drop_second_login()
    with pytest.raises(StepError):
        database.check_login(ROTATION_USER, password)


def test_the_stacks_own_passwords_change_and_no_request_fails(stack: Stack, allow_in_logs: list[str]) -> None:
    allow_in_logs.append(REFUSED)
    names = [
        "litellm_master_key",
        "redis_password",
        *(["postgres_password"] if LONG else []),
        "postgres_monitor_password",
    ]
    before = {name: stack.secret(name) for name in names}
    kept = {name: row for name, row in stack.compose.running().items() if name in ("postgres", "redis", "nginx")}
    assert administrates(stack, before["litellm_master_key"]) == {200}
    traffic = Traffic(stack.url, stack.key("contractor"), clients=6, shortest=2, longest=4)
    with traffic.running():
        done = json.loads(
            stack.cli("rotate-keys", "--infrastructure", "--only", ",".join(names), "--yes", "--json").stdout
        )
    assert done["rotated"] == names
    assert traffic.failures == []
    assert traffic.answers > 20 and traffic.streams > 10

    after = {name: stack.secret(name) for name in names}
    assert not {*before.values()} & {*after.values()}
    assert {name: stack.compose.running()[name] for name in kept} == kept, "they got the new secrets without a restart"
    assert [path.name for path in stack.site.secrets_dir.glob("*~*")] == []

    # LiteLLM caches accepted keys in Redis and in each replica's memory.
    assert administrates(stack, before["litellm_master_key"]) == {401}
    assert administrates(stack, after["litellm_master_key"]) == {200}
    assert redis(stack, before["redis_password"]) != "PONG" and redis(stack, after["redis_password"]) == "PONG"
    for role, name in (("tollgate_monitor", "postgres_monitor_password"), ("litellm", "postgres_password")):
        if name in names:
            assert (postgres(stack, role, before[name]), postgres(stack, role, after[name])) == (False, True)
    stack.cli("tenant", "show", "contractor")  # our commands use the new master key
    assert json.loads(stack.cli("deploy", "--json").stdout)["changes"] == []


def administrates(stack: Stack, key: str) -> set[int]:
    """The status codes of all replicas: nginx sends the requests to them in turn."""
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{stack.admin_url}/key/list"
    return {plain.get(url, headers=headers, timeout=30, trust_env=False).status_code for _ in range(6)}


def redis(stack: Stack, password: str) -> str:
    return run_in(
        stack.compose, "redis", "read -r REDISCLI_AUTH; export REDISCLI_AUTH; redis-cli ping", f"{password}\n"
    ).strip()


def postgres(stack: Stack, role: str, password: str) -> bool:
    script = f"read -r PGPASSWORD; export PGPASSWORD; psql -XAtq -h postgres -U {role} -d litellm -c 'SELECT 1' || true"
    return run_in(stack.compose, "postgres", script, f"{password}\n").strip() == "1"
