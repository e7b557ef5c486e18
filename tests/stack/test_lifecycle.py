"""Changes, failures and the operator's commands. Runs last in this folder, because it stops and starts containers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest
import yaml

from tests.stack.replicas import replicas_up
from tests.stack.requests import message
from tests.support import logs, plain
from tests.support.eventually import eventually
from tests.support.routes import ROUTES
from tests.support.stack import Stack
from tests.support.traffic import LITELLMS_ROUTE, Traffic
from tollgate.stack.containers.drain import DIRECTORY, Drain
from tollgate.stack.host.progress import PlainProgress


def post(stack: Stack, tenant: str = "example", model: str = "test-model") -> httpx.Response:
    headers, body = {"Authorization": f"Bearer {stack.key(tenant)}"}, message() | {"model": model}
    return plain.post(f"{stack.url}/v1/messages", json=body, headers=headers, timeout=60, trust_env=False)


def test_prometheus_sees_each_replica(stack: Stack) -> None:
    eventually(lambda: replicas_up(stack) == len(stack.replicas), within=90)


def test_prometheus_sees_no_target_down(stack: Stack) -> None:
    def down() -> list[str]:
        answer = plain.get(f"{stack.prometheus_url}/api/v1/targets", timeout=30, trust_env=False).json()
        targets = answer["data"]["activeTargets"]
        assert len(targets) >= 8
        return [target["scrapeUrl"] for target in targets if target["health"] != "up"]

    eventually(lambda: not down(), within=90)


def test_a_deploy_and_a_start_without_changes_drain_nothing(stack: Stack) -> None:
    before, drains, began = stack.compose.running(), drained_at(stack), datetime.now(UTC).isoformat()
    with one_stream(stack, seconds=70) as traffic:
        deployed, started = stack.cli("deploy", "--json"), stack.cli("start")
        assert traffic.streams == 0, "the stream ended before the commands did: one of them may have waited for it"
    assert traffic.failures == []
    assert "replacing litellm" not in deployed.stderr + started.stderr
    assert drained_at(stack) == drains
    assert lists_loaded(stack, began) == []
    assert stack.compose.running() == before
    assert json.loads(deployed.stdout)["changes"] == []


def test_twin_one_label_of_one_replica_drains_that_replica(stack: Stack) -> None:
    before = stack.compose.running()
    file = stack.site.rendered_dir / "compose" / "replicas.yaml"
    services = yaml.safe_load(file.read_text())
    services["services"]["litellm-2"]["labels"]["test"] = "changed"
    file.write_text(yaml.safe_dump(services))
    try:
        with one_stream(stack, seconds=20, on="litellm-2") as traffic:
            drains, began = drained_at(stack), datetime.now(UTC).isoformat()
            done = stack.cli("start")
            assert traffic.streams > 0, "the replica was replaced under its stream"
        assert traffic.failures == []
        assert "replacing litellm-2 (1 of 1)" in done.stderr
        assert drained_at(stack) != drains
        assert any("litellm-2" in line and "down" in line for line in lists_loaded(stack, began))
        after = stack.compose.running()
        assert [name for name in before if after[name] != before[name]] == ["litellm-2"]
    finally:
        stack.cli("deploy")


@contextmanager
def one_stream(stack: Stack, *, seconds: float, on: str = "") -> Iterator[Traffic]:
    """A client with an open stream, on the replica `on` if given. At the end of the block it reads the whole stream."""
    rotation = Drain(stack.compose, PlainProgress())
    others = [name for name in stack.replicas if on and name != on]
    traffic = Traffic(
        stack.url, stack.key("contractor"), clients=1, shortest=seconds, longest=seconds, models=LITELLMS_ROUTE
    )
    for name in others:
        rotation.take_out(name)
    with traffic.running():
        eventually(lambda: traffic.flowing, within=30)
        for name in others:
            rotation.put_back(name)
        yield traffic


def drained_at(stack: Stack) -> int:
    """When the directory of drain files last changed. A file that was created and removed changes it too."""
    return stack.site.rendered(DIRECTORY).stat().st_mtime_ns


def lists_loaded(stack: Stack, began: str) -> list[str]:
    """The lines that nginx's entrypoint has logged since then about its list of replicas."""
    return [line for line in logs.since(stack.compose, began) if "nginx" in line and "; replicas: " in line]


def test_a_tenant_in_sync_has_an_empty_plan(stack: Stack) -> None:
    assert stack.cli("plan").returncode == 0


def test_a_new_tenant_file_is_in_the_plan_and_is_applied(stack: Stack) -> None:
    file = stack.home / "tenants" / "newcomer.yaml"
    file.write_text("tenant:\n  id: newcomer\nallowed_models: [test-model]\nbudget:\n  daily_limit: 1\n")
    try:
        planned = stack.cli("plan", "--json", check=False)
        assert planned.returncode == 2
        assert json.loads(planned.stdout)["counts"]["create"] == 2
        assert "create team newcomer" in json.loads(stack.cli("deploy", "--json").stdout)["changes"]
        headers = {"Authorization": f"Bearer {stack.key('newcomer')}"}
        answer = plain.post(f"{stack.url}/v1/messages", json=message(), headers=headers, timeout=60, trust_env=False)
        assert answer.status_code == 200
    finally:
        file.unlink()


def test_a_broken_file_stops_a_deploy_before_anything_changes(stack: Stack) -> None:
    file = stack.home / "tenants" / "broken.yaml"
    file.write_text("tenant:\n  id: broken\nallowed_modles: [test-model]\nbudget:\n  daily_limit: ten\n")
    before = stack.compose.running()
    try:
        refused = stack.cli("deploy", check=False)
    finally:
        file.unlink()
    assert refused.returncode == 1
    assert f"{file}:3: allowed_modles" in refused.stderr
    assert f"{file}:5: budget.daily_limit" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert stack.compose.running() == before


def test_images_of_the_other_source_stop_a_deploy_before_anything_changes(stack: Stack) -> None:
    file = stack.home / ".env"
    text, before = file.read_text(), stack.compose.running()
    assert "POSTGRES_SOURCE=local" in text and "REDIS_SOURCE=local" in text
    file.write_text(f"{text}IMAGE_SOURCE=registry\n")
    try:
        refused = stack.cli("deploy", check=False)
    finally:
        file.write_text(text)
    assert refused.returncode == 1
    assert "IMAGE_SOURCE: expected 'local', because Postgres and Redis hold data of that source" in refused.stderr
    assert "make restore" in refused.stderr
    assert stack.compose.running() == before


def test_status_and_doctor_report_no_problem(stack: Stack) -> None:
    assert json.loads(stack.cli("status", "--json").stdout)["ready"] is True
    findings = json.loads(stack.cli("doctor", "--json").stdout)
    assert not [row for row in findings if row["level"] == "FAIL"]
    passed = {row["check"] for row in findings if row["level"] == "PASS"}
    assert {"engine", "compose", "secrets", "images", stack.replicas[-1], "database", "redis", "request"} <= passed


def test_a_killed_replica_is_not_noticed(stack: Stack, allow_in_logs: list[str]) -> None:
    """kill -9 of a replica's process; Docker starts it again, and meanwhile every request succeeds."""
    container = next(row for row in stack.compose.containers() if row.service == "litellm-2")
    stack.docker("kill", "--signal", "KILL", container.name)
    statuses = [post(stack, "contractor", "by-litellm").status_code for _ in range(30)]
    assert statuses == [200] * 30
    stack.docker("start", container.name)  # `docker kill` counts as the operator's will: no restart policy
    eventually(stack.ready, within=120, every=2)


@pytest.mark.skipif(len(ROUTES) == 1, reason="this stack has no gateway processes")
def test_killed_gateway_processes_are_not_noticed(stack: Stack, allow_in_logs: list[str]) -> None:
    """kill -9 of one, then of all: the other one serves, and then the replicas do."""
    containers = [row.name for row in stack.compose.containers() if row.service.startswith("gateway-")]
    for name in containers:
        stack.docker("kill", "--signal", "KILL", name)
        assert [post(stack, "contractor").status_code for _ in range(15)] == [200] * 15
    stack.docker("start", *containers)
    eventually(stack.ready, within=120, every=2)


def test_status_shows_a_stopped_replica_and_start_restarts_it(stack: Stack) -> None:
    last = stack.replicas[-1]
    stack.docker("stop", "--time", "30", next(r.name for r in stack.compose.containers() if r.service == last))
    status = stack.cli("status", "--json", check=False)
    assert status.returncode == 1
    assert json.loads(status.stdout)["not_ready"] == [last]
    doctor = stack.cli("doctor", check=False)
    assert doctor.returncode == 1
    assert f"FAIL  {last}" in doctor.stdout
    assert post(stack).status_code == 200
    stack.cli("start")
    assert json.loads(stack.cli("status", "--json").stdout)["ready"] is True


def test_a_watcher_that_cannot_start_leaves_the_gateway_up(stack: Stack) -> None:
    env = stack.site.env_file
    before = env.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        env.write_text(before.replace("PROMETHEUS_PORT=0", f"PROMETHEUS_PORT={taken.getsockname()[1]}"))
        try:
            done = stack.cli("deploy", "--json")
            [problem] = json.loads(done.stdout)["optional_not_up"]
            assert post(stack).status_code == 200
            status = json.loads(stack.cli("status", "--json").stdout)
        finally:
            env.write_text(before)
    assert problem["service"] == "prometheus"
    assert "set PROMETHEUS_PORT in .env to a free port" in problem["hint"]
    assert "warning: prometheus is not up" in done.stderr
    assert (status["ready"], status["not_ready"]) == (True, [])
    assert [part["service"] for part in status["optional_not_up"]] == ["prometheus"]
    assert json.loads(stack.cli("deploy", "--json").stdout)["optional_not_up"] == []


def test_clean_without_confirmation_deletes_nothing(stack: Stack) -> None:
    refused = stack.cli("clean", check=False)
    assert refused.returncode != 0
    assert post(stack).status_code == 200


def test_down_keeps_the_data_and_deploy_restores_everything(stack: Stack, admin: httpx.Client) -> None:
    before = admin.get("/team/info", params={"team_id": "example"}).json()["team_info"]["spend"]
    assert before > 0
    stack.cli("down")
    assert not stack.compose.containers()
    done = json.loads(stack.cli("deploy", "--json").stdout)
    assert "started postgres" in done["changes"]
    assert not [change for change in done["changes"] if change.startswith(("create", "schema", "image", "generated"))]
    headers = {"Authorization": f"Bearer {stack.secret('litellm_master_key')}"}
    found = plain.get(
        f"{stack.admin_url}/team/info", params={"team_id": "example"}, headers=headers, timeout=60, trust_env=False
    )
    assert found.json()["team_info"]["spend"] >= before
    assert post(stack).status_code == 200
