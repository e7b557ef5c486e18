"""The process: it outlives its PostgreSQL, ends with its parent, and finishes what it has begun."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.engine import Engine, EngineMachine
from tests.support.eventually import eventually
from tests.support.ports import refuses

pytestmark = pytest.mark.docker

SELECT_ONE = 'mutation { result: queryRaw(query: "SELECT 1 AS n", parameters: "[]") }'
UNREACHABLE = {"P1001", "P1017"}


def test_it_answers_with_codes_while_postgres_is_away_and_recovers(machine: EngineMachine) -> None:
    with machine.engine(connection_limit=4) as engine:
        _occupy(engine, connections=4)
        machine.postgres.stop()
        try:
            refusals = [engine.ask(SELECT_ONE) for _ in range(6)]
            # It may wait longer than it takes to find out that nobody answers.
            start = engine.http.post("/transaction/start", json={"timeout": 1000, "max_wait": 50_000})
        finally:
            machine.postgres.start()
        assert all(_is_outage(answer) for answer in refusals)
        assert refusals[-1]["errors"][0]["user_facing_error"]["error_code"] == "P1001"
        assert (start.status_code, start.json()["error_code"]) == (500, "P1001")
        answer = eventually(lambda: _answered(engine.ask(SELECT_ONE)), within=30)
        assert answer["data"]["result"]["rows"] == [[1]]
        _occupy(engine, connections=4)  # no connection of the pool was lost for good
        assert engine.alive()
        _no_secret_in_log(engine)


def test_a_session_ended_by_postgres_fails_its_query_only(machine: EngineMachine) -> None:
    with machine.engine(connection_limit=2, application_name="victim") as engine, machine.postgres.connect() as admin:
        with ThreadPoolExecutor(1) as caller:
            sleeping = 'mutation { result: queryRaw(query: "SELECT 1 AS n FROM pg_sleep(30)", parameters: "[]") }'
            answer = caller.submit(engine.ask, sleeping)
            kill = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE application_name = 'victim' AND query LIKE '%pg_sleep(30)%'"""
            eventually(lambda: admin.execute(kill).fetchone()[0] > 0, within=20)  # type: ignore[index]
            refusal = answer.result()["errors"][0]["user_facing_error"]
        assert "57P01" in str(refusal) or refusal["error_code"] == "P1017"
        assert engine.ask(SELECT_ONE)["data"]["result"]["rows"] == [[1]]


def test_a_transaction_whose_session_was_ended_gives_its_connection_back(machine: EngineMachine) -> None:
    with machine.engine(connection_limit=1, application_name="victim2") as engine, machine.postgres.connect() as admin:
        transaction = engine.begin()
        engine.raw("SELECT 1 AS n", transaction=transaction)
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim2'")
        assert engine.ask(SELECT_ONE, transaction)["errors"]
        engine.end(transaction, "rollback")
        assert engine.ask(SELECT_ONE)["data"]["result"]["rows"] == [[1]]


def test_it_ends_when_its_parent_is_killed(machine: EngineMachine) -> None:
    if machine.native:
        pytest.skip("the native engine outlives its parent; its container ends it")
    with machine.engine() as engine:
        assert engine.alive()
        parent, _ = engine.pids()
        machine.sh(f"kill -KILL {parent}")
        eventually(lambda: not engine.alive(), within=20)


@pytest.mark.parametrize("signal", ["TERM", "INT"])
def test_a_signal_lets_what_is_under_way_finish(machine: EngineMachine, signal: str) -> None:
    name = f"late-{signal}"
    with machine.engine() as engine, machine.postgres.connect() as observer:
        # This lock keeps the query running until the test releases it, so the signal always arrives before its end.
        observer.execute("SELECT pg_advisory_lock(1)")
        pause = "WITH pause AS (SELECT pg_advisory_xact_lock(1))"
        slow = f"{pause} INSERT INTO \\\"Counter\\\" (name) SELECT '{name}' FROM pause"  # noqa: S608  our own constant
        with ThreadPoolExecutor(1) as caller:
            query = f'mutation {{ result: executeRaw(query: "{slow}", parameters: "[]") }}'
            answer = caller.submit(engine.ask, query)
            try:
                waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                eventually(lambda: observer.execute(waiting).fetchone(), within=20)
                engine.kill(signal)
                if machine.native:
                    pytest.skip("the native engine ends at once")
                eventually(lambda: refuses(f"{engine.http.base_url}/status"), within=20)
            finally:
                observer.execute("SELECT pg_advisory_unlock(1)")
            assert answer.result() == {"data": {"result": 1}}
        eventually(lambda: not engine.alive(), within=20)
        stored = observer.execute('SELECT count(*) FROM "Counter" WHERE name = %s', [name]).fetchone()
        assert stored == (1,)


def test_an_open_transaction_is_rolled_back_at_the_end(machine: EngineMachine) -> None:
    with machine.engine() as engine, machine.postgres.connect() as observer:
        transaction = engine.begin()
        engine.raw("INSERT INTO \"Counter\" (name) VALUES ('open')", transaction=transaction, action="executeRaw")
        engine.kill("TERM")
        eventually(lambda: not engine.alive(), within=20)
        count = "SELECT count(*) FROM \"Counter\" WHERE name = 'open'"
        assert observer.execute(count).fetchone() == (0,)  # type: ignore[call-overload]


def test_its_version_is_what_prisma_client_py_expects(machine: EngineMachine) -> None:
    expected = machine.exec(
        ["python", "-c", "from prisma import config; print(config.expected_engine_version)"]
    ).split()[-1]
    assert machine.exec([machine.binary, "--version"]).split()[-1] == expected


def _occupy(engine: Engine, connections: int) -> None:
    """Use that many connections at the same time."""
    transactions = [engine.begin() for _ in range(connections)]
    for transaction in transactions:
        engine.end(transaction, "rollback")


def _is_outage(answer: dict[str, Any]) -> bool:
    facing = answer["errors"][0]["user_facing_error"]
    return facing.get("error_code") in UNREACHABLE or "57P0" in str(facing)


def _answered(answer: dict[str, Any]) -> dict[str, Any]:
    assert "errors" not in answer, answer
    return answer


def _no_secret_in_log(engine: Engine) -> None:
    assert engine.machine.postgres.password not in engine.log()
