"""Change, failure and the operator's commands. Runs last in this folder: it takes containers down and up again."""

from __future__ import annotations

import json

import httpx

from tests.stack.replicas import replicas_up
from tests.stack.requests import message
from tests.support.eventually import eventually
from tests.support.stack import Stack


def post(stack: Stack, tenant: str = "example") -> httpx.Response:
    headers = {"Authorization": f"Bearer {stack.key(tenant)}"}
    return httpx.post(f"{stack.url}/v1/messages", json=message(), headers=headers, timeout=60, trust_env=False)


def test_prometheus_sees_three_replicas(stack: Stack) -> None:
    eventually(lambda: replicas_up(stack) == 3, within=90)


def test_prometheus_sees_no_target_down(stack: Stack) -> None:
    def down() -> list[str]:
        answer = httpx.get(f"{stack.prometheus_url}/api/v1/targets", timeout=30, trust_env=False).json()
        targets = answer["data"]["activeTargets"]
        assert len(targets) >= 8
        return [target["scrapeUrl"] for target in targets if target["health"] != "up"]

    eventually(lambda: not down(), within=90)


def test_a_second_deploy_changes_nothing(stack: Stack) -> None:
    before = stack.compose.running()
    done = json.loads(stack.cli("deploy", "--json").stdout)
    assert done["changes"] == []
    assert stack.compose.running() == before


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
        answer = httpx.post(f"{stack.url}/v1/messages", json=message(), headers=headers, timeout=60, trust_env=False)
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


def test_status_and_doctor_are_content(stack: Stack) -> None:
    assert json.loads(stack.cli("status", "--json").stdout)["ready"] is True
    findings = json.loads(stack.cli("doctor", "--json").stdout)
    assert not [row for row in findings if row["level"] == "FAIL"]
    passed = {row["check"] for row in findings if row["level"] == "PASS"}
    assert {"engine", "compose", "secrets", "images", "litellm-3", "database", "redis", "request"} <= passed


def test_a_killed_replica_is_not_noticed(stack: Stack, allow_in_logs: list[str]) -> None:
    """kill -9 of a replica's process; Docker starts it again, and meanwhile every request succeeds."""
    container = next(row for row in stack.compose.containers() if row.service == "litellm-2")
    stack.docker("kill", "--signal", "KILL", container.name)
    statuses = [post(stack, "contractor").status_code for _ in range(30)]
    assert statuses == [200] * 30
    stack.docker("start", container.name)  # `docker kill` counts as the operator's will: no restart policy
    eventually(lambda: stack.cli("status", check=False).returncode == 0, within=120, every=2)


def test_a_stopped_replica_shows_and_start_brings_it_back(stack: Stack) -> None:
    stack.docker("stop", "--time", "30", next(r.name for r in stack.compose.containers() if r.service == "litellm-3"))
    status = stack.cli("status", "--json", check=False)
    assert status.returncode == 1
    assert json.loads(status.stdout)["not_ready"] == ["litellm-3"]
    doctor = stack.cli("doctor", check=False)
    assert doctor.returncode == 1
    assert "FAIL  litellm-3" in doctor.stdout
    assert post(stack).status_code == 200
    stack.cli("start")
    assert json.loads(stack.cli("status", "--json").stdout)["ready"] is True


def test_clean_without_a_yes_deletes_nothing(stack: Stack) -> None:
    refused = stack.cli("clean", check=False)
    assert refused.returncode != 0
    assert post(stack).status_code == 200


def test_down_keeps_the_data_and_deploy_brings_everything_back(stack: Stack, admin: httpx.Client) -> None:
    before = admin.get("/team/info", params={"team_id": "example"}).json()["team_info"]["spend"]
    assert before > 0
    stack.cli("down")
    assert not stack.compose.containers()
    done = json.loads(stack.cli("deploy", "--json").stdout)
    assert "started postgres" in done["changes"]
    assert not [change for change in done["changes"] if change.startswith(("create", "schema", "image", "generated"))]
    headers = {"Authorization": f"Bearer {stack.secret('litellm_master_key')}"}
    found = httpx.get(
        f"{stack.admin_url}/team/info", params={"team_id": "example"}, headers=headers, timeout=60, trust_env=False
    )
    assert found.json()["team_info"]["spend"] >= before
    assert post(stack).status_code == 200
