"""LiteLLM's own schema, with all its migrations applied: the engine accepts it and stores what a proxy stores."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.engine import Engine, EngineMachine

pytestmark = pytest.mark.docker

READ_MIGRATIONS = """
import json, pathlib, litellm_proxy_extras as extras
directory = pathlib.Path(extras.__file__).parent / "migrations"
print(json.dumps([path.read_text() for path in sorted(directory.glob("*/migration.sql"))]))
"""


@pytest.fixture(scope="module")
def litellm(machine: EngineMachine) -> Iterator[Engine]:
    migrations = json.loads(machine.exec(["python", "-c", READ_MIGRATIONS]).splitlines()[-1])
    with machine.postgres.connect() as connection:
        connection.execute("CREATE DATABASE litellm")
    with machine.postgres.connect("litellm") as connection:
        for migration in migrations:
            connection.execute(migration)
    with machine.engine(schema=machine.litellm_schema, database="litellm") as engine:
        yield engine


def test_a_team_with_its_budget(litellm: Engine) -> None:
    created = litellm.run("""mutation { result: createOneLiteLLM_TeamTable(data: {
        team_alias: "red", models: ["test-model"], metadata: "{\\"managed_by\\": \\"tollgate\\"}", max_budget: 1.5,
        tpm_limit: 100000, budget_duration: "1d", budget_reset_at: "2026-01-02T00:00:00.000Z",
        members_with_roles: "[{\\"role\\": \\"admin\\", \\"user_id\\": \\"u\\"}]"
        }) { team_id metadata members_with_roles max_budget tpm_limit models budget_reset_at } }""")
    assert json.loads(created["metadata"]) == {"managed_by": "tollgate"}
    assert json.loads(created["members_with_roles"]) == [{"role": "admin", "user_id": "u"}]
    assert created["max_budget"] == 1.5
    assert int(created["tpm_limit"]) == 100_000
    assert created["budget_reset_at"] == "2026-01-02T00:00:00.000Z"


def test_a_key_whose_spend_grows_in_a_batch(litellm: Engine) -> None:
    create = 'createOneLiteLLM_VerificationToken(data: {token: "hash", key_alias: "k", models: []}) { token spend }'
    assert litellm.run(f"mutation {{ result: {create} }}") == {"token": "hash", "spend": 0}
    grow = 'updateManyLiteLLM_VerificationToken(where: {token: "hash"} data: {spend: {increment: 0.25}}) { count }'
    answer = litellm.post({"batch": [{"query": f"mutation {{ result: {grow} }}"}] * 4, "transaction": True})
    assert [part["data"]["result"]["count"] for part in answer["batchResult"]] == [1] * 4
    found = litellm.run('query { result: findUniqueLiteLLM_VerificationToken(where: {token: "hash"}) { spend } }')
    assert found == {"spend": 1}


def test_a_spend_row_is_written_once(litellm: Engine) -> None:
    row = """{request_id: "r1", call_type: "anthropic_messages", api_key: "hash", spend: 0.001, total_tokens: 12,
        startTime: "2026-01-01T00:00:00.000Z", endTime: "2026-01-01T00:00:01.500Z", model: "test-model",
        metadata: "{\\"usage\\": {\\"n\\": 1}}", request_tags: "[]"}"""
    write = f"mutation {{ result: createManyLiteLLM_SpendLogs(data: [{row}] skipDuplicates: true) {{ count }} }}"
    assert litellm.run(write) == {"count": 1}
    assert litellm.run(write) == {"count": 0}
    seconds = 'SELECT EXTRACT(EPOCH FROM "endTime" - "startTime")::float8 AS s, metadata FROM "LiteLLM_SpendLogs"'
    assert litellm.raw(seconds)["rows"] == [[1.5, {"usage": {"n": 1}}]]
