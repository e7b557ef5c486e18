"""A gateway process that is killed, Postgres or Redis that is away, a client that leaves."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import psycopg
import pytest

from tests.contract.direct.asking import ask, dials, rows, spent, streaming
from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.tenants import Tenants, key_of, wanted
from tests.support import plain
from tests.support.eventually import eventually
from tollgate.config.secret import Secret
from tollgate.reconcile.desired import key_hash

pytestmark = pytest.mark.docker

CLIENTS = 8
INTERRUPTED = (
    """SELECT count(*) FROM "LiteLLM_SpendLogs" WHERE team_id = %s AND metadata::text LIKE '%%Interrupted%%'"""
)


class Load:
    """Clients that ask one process again and again, until they are stopped. `whole` counts answers that arrived whole,
    `started` requests that were sent."""

    def __init__(self, running: Gateway, tenant: str) -> None:
        self.running, self.key = running, key_of(tenant)
        self.whole = self.started = 0
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        while not self._stop.is_set():
            with self._lock:
                self.started += 1
            try:
                answer = ask(self.running, self.key, stream=number % 2 == 0, messages=dials("tokens=20 tps=200"))
            except httpx.TransportError:
                self._stop.wait(0.1)
                continue
            if answer.status_code == 200 and (number % 2 or "message_stop" in answer.text):
                with self._lock:
                    self.whole += 1


def test_what_a_killed_process_answered_is_booked_by_the_other(running: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted("tenant: {id: killed}"))
    key = key_of("killed")
    container = running.containers["gateway-1"].get_wrapped_container()
    with (
        Load(running, "killed") as load,
        streaming(running, key, max_tokens=2000, messages=dials("tokens=1000 tps=20")) as long,
    ):
        pieces = long.iter_raw()  # without a name it would be closed, and the connection with it
        next(pieces)
        eventually(lambda: load.whole > 40, within=120)
        container.kill("SIGKILL")
        whole = load.whole
    try:
        eventually(lambda: _arrived(running, key, whole), within=120, every=1)
        booked = rows(running, key)
        good = [row for row in booked if row[0] == "success"]
        assert whole <= len(good) <= whole + CLIENTS, "an end is written before its last byte is sent"
        assert len(booked) <= whole + CLIENTS + 1, "and what never ended is booked as interrupted, once"
        assert all(row[3] > 0 for row in booked)
        assert len(set(spent(running, key).values())) == 1, spent(running, key)
    finally:
        container.start()
        running.containers["gateway-1"].get_wrapped_container().reload()
        running.direct[0] = f"http://127.0.0.1:{running.containers['gateway-1'].get_exposed_port(4100)}"
        eventually(lambda: plain.get(f"{running.direct[0]}/health/readiness").status_code == 200, within=60)
    assert ask(running, key).status_code == 200


def _arrived(running: Gateway, key: Secret, whole: int) -> bool:
    """Whether the answered and the interrupted calls are booked: each process looks every ten seconds."""
    booked, interrupted = len(rows(running, key)), running.sql(INTERRUPTED, "killed")[0][0]
    assert booked >= whole and interrupted, f"{booked} of {whole} booked, {interrupted} interrupted"
    return True


@contextmanager
def without_postgres(running: Gateway) -> Iterator[None]:
    """Every connection breaks, and no new one is taken."""
    other = {**running.database, "dbname": "postgres"}
    with psycopg.connect(**other, autocommit=True) as connection:
        connection.execute("ALTER DATABASE litellm ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'litellm'")
        try:
            yield
        finally:
            connection.execute("ALTER DATABASE litellm ALLOW_CONNECTIONS true")


def test_known_keys_go_on_without_postgres_and_nothing_is_lost(running: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted("tenant: {id: kept}", "tenant: {id: stranger}"))
    key, unknown = key_of("kept"), key_of("stranger")
    assert ask(running, key).status_code == 200
    with without_postgres(running):
        time.sleep(2.5)  # longer than memory is believed without notices
        answers = [ask(running, key, stream=number % 2 == 0) for number in range(10)]
        assert [answer.status_code for answer in answers] == [200] * 10, answers[-1].text
        assert ask(running, unknown).status_code == 529
    eventually(lambda: len(rows(running, key)) == 11, within=40)
    assert len(set(spent(running, key).values())) == 1, spent(running, key)
    eventually(lambda: ask(running, unknown).status_code == 200, within=60)


def test_a_process_knows_keys_of_another_without_postgres(running: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted("tenant: {id: copied}", "tenant: {id: closed}"))
    key, closed = key_of("copied"), key_of("closed")
    assert [ask(running, one).status_code for one in (key, closed)] == [200, 200]
    copy = "tollgate:{key copies}:key:"
    eventually(lambda: running.redis("EXISTS", f"{copy}{key_hash(key)}") == "1", within=20)
    running.client.update_key(key_hash(closed), {"blocked": True})
    eventually(lambda: running.redis("EXISTS", f"{copy}{key_hash(closed)}") == "0", within=20)
    with without_postgres(running):
        assert ask(running, key, process=1).status_code == 200
        assert ask(running, closed, process=1).status_code == 529


def test_without_redis_answers_go_on_and_a_limit_holds_per_process(running: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted("tenant: {id: apart}\nrate_limits: {requests_per_hour: 3}\nbudget: {daily_limit: 5}"))
    key = key_of("apart")
    redis = running.containers["redis"].get_wrapped_container()
    redis.stop(timeout=1)
    try:
        statuses = [ask(running, key).status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
    finally:
        redis.start()
    eventually(lambda: running.redis("PING") == "True", within=60)
    eventually(lambda: len(rows(running, key)) == 3, within=60)

    def counted_together() -> bool:
        return ask(running, key, process=1).status_code == 429

    eventually(counted_together, within=60)


def test_a_client_that_hangs_up_is_booked_and_ends_the_providers_call(running: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted("tenant: {id: left}\nrate_limits: {max_parallel_requests: 1}"))
    key = key_of("left")
    with streaming(running, key, messages=dials("tokens=1000 tps=50")) as answer:
        text = ""
        for piece in answer.iter_text():
            text += piece
            if text.count("content_block_delta") > 20:
                break
    # One request at a time: the next one may come before the process has noticed that this client left.
    eventually(lambda: len(rows(running, key)) == 1, within=60)
    with suppress(httpx.TimeoutException):
        hung = {**dials_body("hang"), "stream": True}
        plain.post(
            f"{running.direct[0]}/v1/messages",
            json=hung,
            headers={"x-api-key": key.reveal()},
            timeout=1,
            trust_env=False,
        )
    eventually(lambda: len(rows(running, key)) == 2, within=60)
    assert all(row[0] == "failure" and row[3] > 0 for row in rows(running, key))
    assert max(row[2] for row in rows(running, key)) >= 5, "as far as it came"
    eventually(lambda: ask(running, key).status_code == 200, within=60)


def dials_body(words: str) -> dict[str, Any]:
    return {"model": "test-model", "max_tokens": 60, "messages": dials(words)}
