"""Which replica gets the next call: the fewest running, never a drained or silent one, and never none."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from tollgate.services.gateway.replicas import ANSWERS_WANTED, FAILURES_ALLOWED, PATIENCE, REST_S, Replica, Replicas

NAMES = ("litellm-1", "litellm-2", "litellm-3")
WHERE = {name: f"10.0.0.{number}:4000" for number, name in enumerate(NAMES, 1)}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def three(clock: Clock | None = None, addresses: Mapping[str, str] = WHERE) -> Replicas:
    replicas = Replicas(clock or Clock(), random.Random(1))
    replicas.named(NAMES)
    replicas.found(addresses)
    return replicas


def one(replicas: Replicas, name: str) -> Replica:
    return next(replica for replica in replicas.listed if replica.name == name)


def order(replicas: Replicas) -> list[str]:
    return [replica.name for replica in replicas.order()]


def silence(replicas: Replicas, name: str) -> None:
    for _ in range(FAILURES_ALLOWED):
        replicas.checked(one(replicas, name), False)


def test_the_replica_with_the_fewest_running_calls_comes_first() -> None:
    replicas = three()
    with one(replicas, "litellm-1").call(), one(replicas, "litellm-1").call(), one(replicas, "litellm-3").call():
        assert order(replicas) == ["litellm-2", "litellm-3", "litellm-1"]
    assert [replica.running for replica in replicas.listed] == [0, 0, 0]


def test_ties_are_broken_at_random() -> None:
    replicas = three()
    assert {order(replicas)[0] for _ in range(50)} == set(NAMES)


def test_a_call_that_fails_ends_too() -> None:
    replicas = three()
    with pytest.raises(OSError, match="cut"), one(replicas, "litellm-1").call():
        raise OSError("cut")
    assert one(replicas, "litellm-1").running == 0


def test_a_replica_that_refused_comes_last_until_it_has_rested() -> None:
    clock = Clock()
    replicas = three(clock)
    replicas.refused(one(replicas, "litellm-1"))
    with one(replicas, "litellm-2").call(), one(replicas, "litellm-3").call():
        assert order(replicas)[-1] == "litellm-1", "others are busier, and better"
        clock.now += REST_S + 0.1
        assert order(replicas)[0] == "litellm-1"


def test_a_drained_replica_gets_nothing_and_comes_back_with_a_clean_record() -> None:
    replicas = three()
    silence(replicas, "litellm-2")
    replicas.drain({"litellm-2", "gateway-1"})
    assert sorted(order(replicas)) == ["litellm-1", "litellm-3"]
    assert replicas.state()["litellm-2"] == {"takes": False, "running": 0}
    replicas.drain(())
    assert sorted(order(replicas)) == list(NAMES)


def test_all_drained_means_nobody() -> None:
    replicas = three()
    replicas.drain(NAMES)
    assert order(replicas) == []


def test_failures_in_a_row_silence_a_replica_until_it_answers_again() -> None:
    replicas = three()
    second = one(replicas, "litellm-2")
    changes = [replicas.checked(second, False) for _ in range(FAILURES_ALLOWED + 1)]
    assert changes == [False] * (FAILURES_ALLOWED - 1) + [True, False]
    assert "litellm-2" not in order(replicas)
    changes = [replicas.checked(second, True) for _ in range(ANSWERS_WANTED)]
    assert changes == [False] * (ANSWERS_WANTED - 1) + [True]
    assert "litellm-2" in order(replicas)


def test_twin_failures_that_are_not_in_a_row_silence_nobody() -> None:
    replicas = three()
    second = one(replicas, "litellm-2")
    for _ in range(FAILURES_ALLOWED):
        replicas.checked(second, False)
        replicas.checked(second, True)
    assert not second.silent
    silence(replicas, "litellm-2")
    for _ in range(ANSWERS_WANTED):
        replicas.checked(second, True)
        replicas.checked(second, False)
    assert second.silent


def test_a_refused_connection_is_no_failure_and_no_answer() -> None:
    """A replica that starts refuses. The next one is asked without a delay."""
    replicas = three()
    second = one(replicas, "litellm-2")
    for _ in range(FAILURES_ALLOWED * 2):
        replicas.checked(second, None)
    assert not second.silent
    silence(replicas, "litellm-2")
    for _ in range(ANSWERS_WANTED):
        replicas.checked(second, True)
        replicas.checked(second, None)
    assert second.silent


def test_if_nobody_in_rotation_passes_the_checks_are_ignored() -> None:
    replicas = three()
    replicas.drain({"litellm-3"})
    silence(replicas, "litellm-1")
    assert order(replicas) == ["litellm-2"]
    silence(replicas, "litellm-2")
    assert sorted(order(replicas)) == ["litellm-1", "litellm-2"], "the drained one stays out"


def test_a_lookup_without_an_answer_changes_nothing() -> None:
    replicas = three()
    replicas.found({"litellm-1": "10.0.0.9:4000", "litellm-3": ""})
    assert {replica.name: replica.address for replica in replicas.listed} == {
        "litellm-1": "10.0.0.9:4000",
        "litellm-2": WHERE["litellm-2"],
        "litellm-3": "",
    }
    assert "litellm-3" not in order(replicas)


def test_a_new_address_begins_with_a_clean_record() -> None:
    replicas = three()
    silence(replicas, "litellm-1")
    replicas.refused(one(replicas, "litellm-1"))
    replicas.found({"litellm-1": WHERE["litellm-1"]})
    assert one(replicas, "litellm-1").silent, "the same address says nothing"
    replicas.found({"litellm-1": "10.0.0.9:4000"})
    assert not one(replicas, "litellm-1").silent
    assert one(replicas, "litellm-1").rests_until == 0


def test_while_no_name_resolves_the_last_addresses_stay_for_ten_rounds() -> None:
    replicas = three()
    nothing = dict.fromkeys(NAMES, "")
    for _ in range(PATIENCE - 1):
        replicas.found(nothing)
    assert sorted(order(replicas)) == list(NAMES)
    replicas.found(nothing)
    assert order(replicas) == []


def test_twin_one_name_that_resolves_shows_that_the_dns_works() -> None:
    replicas = three()
    nothing = dict.fromkeys(NAMES, "")
    for _ in range(PATIENCE - 1):
        replicas.found(nothing)
    replicas.found({**nothing, "litellm-1": WHERE["litellm-1"]})
    assert order(replicas) == ["litellm-1"]


def test_a_replica_that_is_no_longer_listed_shows_its_calls_until_they_end() -> None:
    replicas = three()
    with one(replicas, "litellm-3").call():
        replicas.named(NAMES[:2])
        assert sorted(order(replicas)) == list(NAMES[:2])
        assert replicas.state()["litellm-3"] == {"takes": False, "running": 1}
        replicas.named(NAMES[:2])
        assert "litellm-3" in replicas.state()
    replicas.named(NAMES[:2])
    assert sorted(replicas.state()) == list(NAMES[:2])


def test_a_new_name_takes_calls_once_it_has_an_address() -> None:
    replicas = three()
    replicas.named([*NAMES, "litellm-4", "litellm-4"])
    assert replicas.state()["litellm-4"] == {"takes": False, "running": 0}
    replicas.found({**WHERE, "litellm-4": "10.0.0.4:4000"})
    assert replicas.state()["litellm-4"] == {"takes": True, "running": 0}
