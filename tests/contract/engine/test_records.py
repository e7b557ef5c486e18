"""Records: created, found, changed, counted and removed as prisma-client-py asks for it."""

from __future__ import annotations

import pytest

from tests.support.engine import Engine

pytestmark = pytest.mark.docker


def teams(engine: Engine, *aliases: str) -> None:
    rows = ", ".join(f'{{id: "{alias}", alias: "{alias}", spend: {number}}}' for number, alias in enumerate(aliases))
    assert engine.run(f"mutation {{ result: createManyTeam(data: [{rows}]) {{ count }} }}") == {"count": len(aliases)}


def test_a_created_record_is_found_again_under_its_alias(engine: Engine) -> None:
    created = engine.run('mutation { result: createOneTeam(data: {alias: "red"}) { id alias spend blocked mood } }')
    assert created == {"id": created["id"], "alias": "red", "spend": 0, "blocked": False, "mood": "CALM"}
    found = engine.ask('query { someone: findUniqueTeam(where: {alias: "red"}) { id } }')
    assert found == {"data": {"someone": {"id": created["id"]}}}


def test_a_record_that_is_not_there_is_null(engine: Engine) -> None:
    assert engine.run('query { result: findUniqueTeam(where: {id: "nobody"}) { id } }') is None
    assert engine.run('query { result: findFirstTeam(where: {alias: "nobody"}) { id } }') is None


def test_find_many_filters_orders_and_pages(engine: Engine) -> None:
    teams(engine, "a", "b", "c", "d")
    query = """query { result: findManyTeam(
        where: {OR: [{spend: {gte: 1}, NOT: {alias: {startsWith: "c"}}}, {alias: {in: ["a"]}}]}
        orderBy: [{spend: "desc"}] skip: 1 take: 2) { id } }"""
    assert engine.run(query) == [{"id": "b"}, {"id": "a"}]


def test_an_upsert_creates_and_then_updates(engine: Engine) -> None:
    upsert = """mutation { result: upsertOneTeam(where: {id: "x"} create: {id: "x", alias: "new"}
        update: {alias: "seen", spend: {increment: 1.25}}) { alias spend } }"""
    assert engine.run(upsert) == {"alias": "new", "spend": 0}
    assert engine.run(upsert) == {"alias": "seen", "spend": 1.25}
    assert engine.run(upsert) == {"alias": "seen", "spend": 2.5}


def test_a_nested_write_is_read_back_through_the_relation(engine: Engine) -> None:
    created = engine.run("""mutation { result: createOneTeam(data: {id: "t", members: {create: [
        {user_id: "u1", notes: "{\\"lead\\": true}"}, {user_id: "u2", role: "admin"}]}})
        { id members(orderBy: {user_id: "asc"}) { user_id role notes } } }""")
    assert created["members"] == [
        {"user_id": "u1", "role": "user", "notes": '{"lead":true}'},
        {"user_id": "u2", "role": "admin", "notes": None},
    ]
    admins = 'members(where: {role: "admin"}) { user_id team { id } }'
    found = engine.run(
        f'query {{ result: findManyTeam(where: {{members: {{some: {{role: "admin"}}}}}}) {{ {admins} }} }}'
    )
    assert found == [{"members": [{"user_id": "u2", "team": {"id": "t"}}]}]
    assert engine.run('query { result: findManyTeam(where: {members: {none: {role: "admin"}}}) { id } }') == []


def test_a_compound_key_finds_updates_and_upserts(engine: Engine) -> None:
    teams(engine, "t")
    key = 'team_id_user_id: {team_id: "t", user_id: "u"}'
    member = '{user_id: "u", notes: "{}", team: {connect: {id: "t"}}}'
    upsert = f'upsertOneMember(where: {{{key}}} create: {member} update: {{role: "owner"}})'
    assert engine.run(f"mutation {{ result: {upsert} {{ role }} }}") == {"role": "user"}
    assert engine.run(f"mutation {{ result: {upsert} {{ role }} }}") == {"role": "owner"}
    assert engine.run(f"query {{ result: findUniqueMember(where: {{{key}}}) {{ user_id }} }}") == {"user_id": "u"}


def test_many_at_once_report_how_many(engine: Engine) -> None:
    teams(engine, "a", "b", "c")
    again = 'mutation { result: createManyTeam(data: [{id: "a"}, {id: "z"}] skipDuplicates: true) { count } }'
    assert engine.run(again) == {"count": 1}
    change = "mutation { result: updateManyTeam(where: {spend: {gt: 0}} data: {blocked: true}) { count } }"
    assert engine.run(change) == {"count": 2}
    assert engine.run("mutation { result: deleteManyTeam(where: {blocked: true}) { count } }") == {"count": 2}


def test_aggregates_and_groups(engine: Engine) -> None:
    rows = '{name: "a", value: 1}, {name: "a", value: 2}, {name: "b", value: 5}'
    engine.run(f"mutation {{ result: createManyCounter(data: [{rows}]) {{ count }} }}")
    counted = engine.run('query { result: aggregateCounter(where: {name: "a"}) { _count { _all } _sum { value } } }')
    assert counted == {"_count": {"_all": 2}, "_sum": {"value": 3}}
    groups = engine.run("""query { result: groupByCounter(by: ["name"] orderBy: [{name: "asc"}]
        having: {value: {_sum: {gt: 3}}}) { name _sum { value } } }""")
    assert groups == [{"name": "b", "_sum": {"value": 5}}]


def test_a_batch_is_all_or_nothing(engine: Engine) -> None:
    one = 'mutation { result: createOneTeam(data: {id: "one"}) { id } }'
    two = 'mutation { result: createOneTeam(data: {id: "two"}) { id } }'
    answer = engine.post(
        {"batch": [{"query": one, "variables": {}}, {"query": two, "variables": {}}], "transaction": True}
    )
    assert [part["data"]["result"]["id"] for part in answer["batchResult"]] == ["one", "two"]

    three = 'mutation { result: createOneTeam(data: {id: "three"}) { id } }'
    answer = engine.post({"batch": [{"query": three}, {"query": one}], "transaction": True})
    assert answer["errors"][0]["user_facing_error"]["error_code"] == "P2002"
    assert engine.run('query { result: findUniqueTeam(where: {id: "three"}) { id } }') is None


def test_a_batch_of_raw_statements_is_one_transaction(engine: Engine) -> None:
    insert = 'executeRaw(query: "INSERT INTO \\"Counter\\" (name, value) VALUES ($1, $2)", parameters: "[\\"n\\", 1]")'
    body = {"batch": [{"query": f"mutation {{ result: {insert} }}"}] * 2, "transaction": True}
    error = engine.post(body)["errors"][0]["user_facing_error"]
    assert "23505" in error["message"] + str(error.get("meta"))
    assert engine.run("query { result: aggregateCounter { _count { _all } } }") == {"_count": {"_all": 0}}
