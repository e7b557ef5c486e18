"""Interactive transactions: nothing is seen before the commit, nothing stays after a rollback or a timeout."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.engine import Engine, EngineMachine
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker

CREATE = 'mutation { result: createOneTeam(data: {id: "t"}) { id } }'
FIND = 'query { result: findUniqueTeam(where: {id: "t"}) { id } }'


def test_a_commit_makes_it_visible_to_others(engine: Engine) -> None:
    transaction = engine.begin()
    engine.run(CREATE, transaction)
    assert engine.run(FIND, transaction) == {"id": "t"}
    assert engine.run(FIND) is None
    assert engine.end(transaction, "commit").status_code == 200
    assert engine.run(FIND) == {"id": "t"}


def test_a_rollback_leaves_nothing(engine: Engine) -> None:
    transaction = engine.begin()
    engine.run(CREATE, transaction)
    assert engine.end(transaction, "rollback").status_code == 200
    assert engine.run(FIND) is None


def test_a_raw_statement_and_a_batch_run_inside(engine: Engine) -> None:
    transaction = engine.begin()
    engine.raw("INSERT INTO \"Counter\" (name) VALUES ('x')", transaction=transaction, action="executeRaw")
    engine.post({"batch": [{"query": CREATE}], "transaction": True}, transaction)
    assert engine.run("query { result: aggregateCounter { _count { _all } } }") == {"_count": {"_all": 0}}
    engine.end(transaction, "rollback")
    assert engine.run(FIND) is None


def test_an_ended_transaction_is_p2028(engine: Engine) -> None:
    transaction = engine.begin()
    engine.end(transaction, "commit")
    assert engine.refusal(FIND, transaction)["error_code"] == "P2028"
    assert engine.end(transaction, "commit").status_code in (404, 422)


def test_an_unknown_transaction_is_p2028(engine: Engine) -> None:
    assert engine.refusal(FIND, "never-started-and-long-enough")["error_code"] == "P2028"


def test_a_transaction_over_its_time_is_rolled_back(engine: Engine) -> None:
    transaction = engine.begin(timeout=3_000)
    engine.run(CREATE, transaction)
    answer = eventually(lambda: _closed(engine, transaction), within=20)
    assert answer["errors"][0]["error"].startswith("Transaction already closed")
    assert engine.run(FIND) is None


def _closed(engine: Engine, transaction: str) -> dict[str, list[dict[str, str]]]:
    answer = engine.ask(FIND, transaction)
    assert answer.get("errors"), "the transaction still answers"
    return answer


def test_no_free_connection_within_max_wait_is_p2028(machine: EngineMachine) -> None:
    with machine.engine(connection_limit=1, pool_timeout=30) as engine:
        holder = engine.begin()
        refused = engine.http.post("/transaction/start", json={"timeout": 1000, "max_wait": 200})
        assert refused.status_code == 504
        assert refused.json()["error_code"] == "P2028"
        engine.end(holder, "rollback")
        engine.end(engine.begin(), "commit")


def test_no_free_connection_within_pool_timeout_is_p2024(machine: EngineMachine) -> None:
    with machine.engine(connection_limit=1, pool_timeout=1) as engine:
        holder = engine.begin()
        refusal = engine.refusal(FIND)
        assert refusal["error_code"] == "P2024"
        assert refusal["meta"] == {"connection_limit": 1, "timeout": 1}
        engine.end(holder, "rollback")
        assert engine.run("query { result: findManyCounter { id } }") is not None


def test_the_pool_is_no_larger_than_connection_limit_and_all_are_served(machine: EngineMachine) -> None:
    with machine.engine(connection_limit=2, pool_timeout=60, application_name="limited") as engine:
        with ThreadPoolExecutor(12) as callers:
            slow = "SELECT count(*)::int AS n FROM pg_stat_activity, pg_sleep(0.1) WHERE application_name = 'limited'"
            seen = list(callers.map(lambda _: engine.raw(slow)["rows"][0][0], range(24)))
        assert len(seen) == 24
        assert max(seen) <= 2


def test_concurrent_transactions_do_not_mix(engine: Engine) -> None:
    def one(number: int) -> None:
        transaction = engine.begin(max_wait=20_000)
        engine.run(f'mutation {{ result: createOneTeam(data: {{id: "c{number}"}}) {{ id }} }}', transaction)
        engine.end(transaction, "commit" if number % 2 else "rollback")

    with ThreadPoolExecutor(8) as callers:
        list(callers.map(one, range(16)))
    found = engine.run('query { result: findManyTeam(orderBy: {id: "asc"}) { id } }')
    assert sorted(row["id"] for row in found) == sorted(f"c{number}" for number in range(1, 16, 2))
