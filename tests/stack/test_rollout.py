"""Changes under traffic: clients notice nothing. `make test-rollout` repeats this with more clients, longer streams."""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.stack.replicas import replicas_up
from tests.support import plain
from tests.support.eventually import eventually
from tests.support.routes import DIRECT, LITELLM, ROUTES, route_of
from tests.support.stack import Stack
from tests.support.traffic import DIRECT_ROUTE, LITELLMS_ROUTE, Traffic
from tollgate.stack.containers.drain import Drain
from tollgate.stack.host.progress import PlainProgress

LONG = os.environ.get("TOLLGATE_LONG_TESTS") == "1"
MORE = 2 if LONG else 1
TENANT = """\
tenant: {id: latecomer}
allowed_models: [test-model]
rate_limits: {requests_per_minute: 30}
"""


@pytest.fixture
def traffic(stack: Stack) -> Traffic:
    if LONG:
        return Traffic(stack.url, stack.key("contractor"), clients=64, shortest=10, longest=60)
    return Traffic(stack.url, stack.key("contractor"))


def gateway_processes(stack: Stack) -> list[str]:
    return sorted(name for name in stack.compose.running() if name.startswith("gateway-"))


def test_a_rollout_replaces_every_replica_and_nobody_notices(stack: Stack, traffic: Traffic) -> None:
    """And every gateway process."""
    before = stack.compose.running()
    with traffic.running():
        eventually(lambda: traffic.answers > 3, within=60)
        done = json.loads(stack.cli("rollout", "--json").stdout)
    replaced = [change for change in done["changes"] if change.startswith(("started litellm", "started gateway"))]
    assert replaced == [f"started {name}" for name in (*gateway_processes(stack), *stack.replicas)]
    assert stack.compose.running()["nginx"] == before["nginx"]
    assert traffic.failures == []
    assert traffic.streams > 0 < traffic.answers


def test_clients_do_not_notice_scaling_and_replica_counts_follow(stack: Stack, traffic: Traffic) -> None:
    before, number = stack.compose.running(), len(stack.replicas)
    kept = {"nginx", "postgres", "redis", *stack.replicas}
    grown = number + MORE
    with traffic.running():
        stack.cli("scale", str(grown))
        while_grown = stack.compose.running()
        eventually(lambda: replicas_up(stack) == grown, within=90)
        stack.cli("scale", str(number))
    after = stack.compose.running()
    assert f"litellm-{grown}" in while_grown
    assert sorted(after) == sorted(before)
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert f"REPLICAS={number}" in (stack.home / ".env").read_text()
    assert traffic.failures == []


@pytest.mark.skipif(len(ROUTES) == 1, reason="this stack has no gateway processes")
def test_clients_do_not_notice_more_fewer_and_no_gateway_processes(stack: Stack, traffic: Traffic) -> None:
    """GATEWAYS=0 is the way back to LiteLLM's route, and the number is the way out again."""
    before, seen = stack.compose.running(), []
    with traffic.running():
        eventually(lambda: traffic.answers > 3, within=60)
        for number in (3, 0, 2):
            done = json.loads(stack.cli("scale", "--gateways", str(number), "--json").stdout)
            seen.append([change for change in done["changes"] if change.startswith(("started g", "removed g"))])
            assert len(gateway_processes(stack)) == number
            assert route_of(stack) == (DIRECT if number else LITELLM)
            assert f"GATEWAYS={number}" in stack.site.env_file.read_text()
            enough = traffic.answers + 2
            eventually(lambda enough=enough: traffic.answers > enough, within=60)  # type: ignore[misc]
    assert seen == [
        ["started gateway-3"],
        ["removed gateway-1", "removed gateway-2", "removed gateway-3"],
        ["started gateway-1", "started gateway-2"],
    ]
    kept = {"nginx", "postgres", "redis", *stack.replicas}
    assert {name: stack.compose.running()[name] for name in kept} == {name: before[name] for name in kept}
    assert traffic.failures == []
    assert traffic.streams > 0 < traffic.answers


def test_a_changed_setting_reaches_each_replica_and_nobody_notices(stack: Stack, traffic: Traffic) -> None:
    """A deploy replaces one replica at a time. The change stays, and no test here depends on the setting."""
    before = stack.compose.running()
    change(stack, r"cooldown_s: \d+", "cooldown_s: 6")
    with traffic.running():
        eventually(lambda: traffic.answers > 3, within=60)
        done = json.loads(stack.cli("deploy", "--json").stdout)
    assert {f"started {name}" for name in stack.replicas} <= set(done["changes"])
    assert stack.compose.running()["nginx"] == before["nginx"]
    assert traffic.failures == []


def test_a_reload_of_nginx_and_an_apply_are_not_noticed(stack: Stack, traffic: Traffic) -> None:
    """Twin of a deploy that changes nothing: a reload applies the change without a new container, with open streams."""
    before = stack.compose.running()
    file = stack.home / "tenants" / "latecomer.yaml"
    original = change(stack, "requests_per_second: 50", "requests_per_second: 51")
    try:
        with traffic.running():
            eventually(lambda: traffic.flowing > 0, within=60)
            assert "reloaded nginx" in json.loads(stack.cli("deploy", "--json").stdout)["changes"]
            for limit in (30, 40):
                file.write_text(TENANT.replace("30", str(limit)))
                applied = json.loads(stack.cli("apply", "--yes", "--json").stdout)
                assert applied["applied"], applied
        assert traffic.failures == []
        assert traffic.streams > 0 < traffic.answers
        assert stack.compose.running() == before
    finally:
        file.unlink(missing_ok=True)
        (stack.home / "config" / "gateway.yaml").write_text(original)
        stack.cli("apply", "--yes")  # blocks it, as every removed file
        stack.cli("deploy")


def change(stack: Stack, pattern: str, value: str) -> str:
    """One setting in gateway.yaml; returns the file as it was."""
    gateway = stack.home / "config" / "gateway.yaml"
    original = gateway.read_text()
    changed = re.sub(pattern, value, original)
    assert changed != original
    gateway.write_text(changed)
    return original


def test_twin_a_replica_that_is_just_stopped_cuts_streams(stack: Stack, traffic: Traffic) -> None:
    """Without a drain and without a wait. The traffic of the tests above would notice it."""
    traffic.models = LITELLMS_ROUTE
    container = next(row for row in stack.compose.containers() if row.service == "litellm-2")
    rotation, others = Drain(stack.compose, PlainProgress()), [name for name in stack.replicas if name != "litellm-2"]
    try:
        # Then every stream is on litellm-2. With all of them it is chance which are, and now and then none is.
        for name in others:
            rotation.take_out(name)
        with traffic.running():
            eventually(lambda: traffic.flowing > traffic.clients // 4, within=60, every=0.05)
            stack.docker("restart", "--time", "0", container.name)
    finally:
        for name in others:
            rotation.put_back(name)
    assert [told for told in traffic.failures if "incomplete chunked read" in told], traffic.failures
    eventually(stack.ready, within=240, every=2)


@pytest.mark.skipif(len(ROUTES) == 1, reason="this stack has no gateway processes")
def test_twin_a_gateway_process_that_is_just_stopped_cuts_streams(stack: Stack, traffic: Traffic) -> None:
    traffic.models = DIRECT_ROUTE
    container = next(row for row in stack.compose.containers() if row.service == "gateway-1")
    with traffic.running():
        eventually(lambda: traffic.flowing > traffic.clients // 4, within=60, every=0.05)
        stack.docker("restart", "--time", "0", container.name)
    assert [told for told in traffic.failures if "incomplete chunked read" in told], traffic.failures
    eventually(stack.ready, within=240, every=2)


def test_a_replica_that_does_not_start_stops_the_rollout(stack: Stack) -> None:
    """LiteLLM exits with this configuration: litellm-1 is out, and the others still serve with the old one."""
    gateway = stack.home / "config" / "gateway.yaml"
    original = gateway.read_text()
    before, others = stack.compose.running(), stack.replicas[1:]
    code = stack.site.rendered_dir / "code" / "tollgate" / "services" / "replica" / "server.py"
    healthy = code.read_text()
    mode = code.stat().st_mode
    try:
        change(stack, r"cooldown_s: \d+", "cooldown_s: 7")
        stack.cli("deploy", "--until", "volumes")
        code.chmod(0o644)
        code.write_text('raise SystemExit("broken on purpose")\n')
        failed = stack.cli("start", check=False)
        after = stack.compose.running()
        assert failed.returncode == 1
        assert f"{', '.join(others)} still serve" in failed.stderr
        assert "as before; litellm-1 gets no requests" in failed.stderr
        assert "broken on purpose" in failed.stderr
        assert {name: after[name] for name in others} == {name: before[name] for name in others}
        headers = {"Authorization": f"Bearer {stack.key('contractor')}"}
        body = {"model": "by-litellm", "max_tokens": 8, "messages": [{"role": "user", "content": "hello"}]}
        for _ in range(6):
            url = f"{stack.url}/v1/messages"
            assert plain.post(url, json=body, headers=headers, timeout=60, trust_env=False).status_code == 200
    finally:
        code.write_text(healthy)
        code.chmod(mode)
        gateway.write_text(original)
        stack.cli("deploy")
    assert json.loads(stack.cli("status", "--json").stdout)["ready"] is True
