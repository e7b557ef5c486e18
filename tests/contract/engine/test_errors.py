"""Refusals carry the Prisma code that prisma-client-py turns into an exception type, and the meta LiteLLM reads."""

from __future__ import annotations

import pytest

from tests.support.engine import Engine

pytestmark = pytest.mark.docker


def test_a_duplicate_is_p2002_with_its_fields(engine: Engine) -> None:
    create = 'mutation { result: createOneTeam(data: {alias: "red"}) { id } }'
    engine.run(create)
    refusal = engine.refusal(create)
    assert refusal["error_code"] == "P2002"
    assert refusal["meta"]["target"] == ["alias"]
    assert refusal["is_panic"] is False


@pytest.mark.parametrize(
    "action", ['updateOneTeam(where: {id: "no"} data: {spend: 1})', 'deleteOneTeam(where: {id: "no"})']
)
def test_a_missing_record_is_p2025(engine: Engine, action: str) -> None:
    assert engine.refusal(f"mutation {{ result: {action} {{ id }} }}")["error_code"] == "P2025"


def test_find_or_throw_is_p2025(engine: Engine) -> None:
    query = 'query { result: findUniqueTeamOrThrow(where: {id: "no"}) { id } }'
    assert engine.refusal(query)["error_code"] == "P2025"


def test_a_broken_reference_is_p2003(engine: Engine) -> None:
    create = 'createOneMember(data: {user_id: "u", team_id: "no"}) { user_id }'
    assert engine.refusal(f"mutation {{ result: {create} }}")["error_code"] == "P2003"


@pytest.mark.parametrize(
    "query",
    [
        "query { result: findManyTeam(where: {colour: 1}) { id } }",
        "query { result: findManyTeam { colour } }",
        "mutation { result: createOneCounter(data: {value: 1}) { id } }",
    ],
)
def test_a_query_outside_the_schema_is_refused_and_harms_nothing(engine: Engine, query: str) -> None:
    assert engine.refusal(query)["error_code"] in ("P2009", "P2012")
    assert engine.run("query { result: findManyTeam { id } }") == []


def test_a_value_out_of_range_is_refused_by_name(engine: Engine) -> None:
    query = 'mutation { result: createOneCounter(data: {name: "x", value: 3000000000}) { id } }'
    refusal = engine.refusal(query)
    assert "error_code" in refusal or "message" in refusal
    assert engine.run("query { result: aggregateCounter { _count { _all } } }") == {"_count": {"_all": 0}}


def test_a_zero_byte_is_postgres_own_refusal(engine: Engine) -> None:
    """LiteLLM halves a batch of spend rows until it has found the one that Postgres rejects, by this SQLSTATE."""
    refusal = engine.refusal('mutation { result: createOneTeam(data: {alias: "a\\u0000b"}) { id } }')
    assert "22021" in refusal["message"]


def test_unknown_paths_and_bodies_are_refused(engine: Engine) -> None:
    assert engine.http.get("/nowhere").status_code == 404
    assert engine.http.post("/", content="not json").status_code == 400


def test_metrics_in_both_formats(engine: Engine) -> None:
    engine.run("query { result: findManyTeam { id } }")
    text = engine.http.get("/metrics", params={"format": "prometheus"}).text
    assert "prisma_pool_connections_open" in text
    values = engine.http.get("/metrics", params={"format": "json"}).json()
    queries = {item["key"]: item["value"] for item in values["counters"]}
    assert queries["prisma_client_queries_total"] >= 1
