"""A replica is drained or frozen: calls that gateway processes hand over reach another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.contract.direct.asking import ask
from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.tenants import Tenants, key_of, wanted
from tests.support.eventually import eventually
from tollgate.config.secret import Secret
from tollgate.stack.containers.drain import DIRECTORY

pytestmark = pytest.mark.docker

ONE, OTHER = "litellm-1", "litellm-2"
CALLS = 6


@pytest.fixture
def key(tenants: Tenants) -> Secret:
    tenants.apply(wanted("tenant: {id: guest}"))
    return key_of("guest")


def states(running: Gateway) -> list[dict[str, Any]]:
    """The state of the replicas, as each process reports it."""
    urls = (f"{url}/health/readiness" for url in running.direct)
    return [httpx.get(url, timeout=10, trust_env=False).json()["replicas"] for url in urls]


def taking(running: Gateway) -> set[str]:
    """The replicas that a process sends calls to, if all processes agree."""
    told = [frozenset(name for name, said in state.items() if said["takes"]) for state in states(running)]
    assert len(set(told)) == 1, told
    return set(told[0])


def handed_over(running: Gateway, key: Secret) -> set[str]:
    """The replicas that answered CALLS calls of each process. One that fails is an error here."""
    before = answered(running)
    for process in range(len(running.direct)):
        for _ in range(CALLS):
            answer = ask(running, key, process=process, model="by-litellm")
            assert answer.status_code == 200, answer.text
    return {name for name, count in answered(running).items() if count > before[name]}


def answered(running: Gateway) -> dict[str, int]:
    names = (ONE, OTHER)
    logs = {name: b"".join(running.containers[name].get_logs()) for name in names}
    return {name: log.count(b"POST /v1/messages HTTP/1.1") for name, log in logs.items()}


@contextmanager
def paused(running: Gateway, name: str) -> Iterator[None]:
    """As SIGSTOP does: the kernel still takes connections for it."""
    container = running.containers[name].get_wrapped_container()
    container.pause()
    try:
        yield
    finally:
        container.unpause()


def test_calls_are_spread_over_the_replicas(running: Gateway, key: Secret) -> None:
    eventually(lambda: taking(running) == {ONE, OTHER}, within=60)
    assert handed_over(running, key) == {ONE, OTHER}


def test_a_drained_replica_gets_no_call(running: Gateway, key: Secret) -> None:
    eventually(lambda: taking(running) == {ONE, OTHER}, within=60)
    file = running.directory / DIRECTORY / ONE
    file.touch()
    try:
        eventually(lambda: taking(running) == {OTHER}, within=30)
        assert handed_over(running, key) == {OTHER}
    finally:
        file.unlink()
    eventually(lambda: taking(running) == {ONE, OTHER}, within=30)


def test_a_frozen_replica_gets_no_call_until_it_answers(running: Gateway, key: Secret) -> None:
    eventually(lambda: taking(running) == {ONE, OTHER}, within=60)
    with paused(running, ONE):
        eventually(lambda: taking(running) == {OTHER}, within=90)
        assert handed_over(running, key) == {OTHER}
    eventually(lambda: taking(running) == {ONE, OTHER}, within=90)
