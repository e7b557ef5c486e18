"""`make status` and `make doctor` on the gateway processes, from what each process says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tollgate.errors import TollgateError
from tollgate.stack.containers import gateways, readiness
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.container import Container
from tollgate.stack.doctor import gateways as doctor

LEDGER = {"waiting": 3, "lag_s": 0.0, "failing": "", "unwritten": 0, "set_aside": 0}
HEALTH = {"status": "ok", "route": "direct", "running": 2, "listening": True, "redis": True, "ledger": LEDGER}


class Stack(Compose):
    """Two gateway processes; `states` is how the container of each is."""

    states: dict[str, str]

    def services(self) -> list[str]:
        return sorted([*self.states, "nginx", "gateway-exporter"])

    def containers(self) -> list[Container]:
        return [Container(name, name, name, "running", state, 0, "") for name, state in self.states.items()]


# The answer of each container of the test's stack, by its id.
SAID: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def docker(argv: list[str], **_: object) -> str:
        answer = SAID[argv[2]]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, str) else json.dumps(answer)

    monkeypatch.setattr(readiness, "docker", docker)


def stack(**answers: Any) -> Stack:
    compose = Stack("test", (), Path("/none"), (), None)
    said = {name.replace("_", "-"): answer for name, answer in answers.items()}
    SAID.clear()
    SAID.update(said)
    object.__setattr__(compose, "states", {name: "unhealthy" if said[name] is None else "healthy" for name in said})
    return compose


def seen(compose: Stack) -> list[gateways.GatewayProcess]:
    return gateways.processes(compose.services(), {row.service: row for row in compose.containers()})


def levels(compose: Stack) -> list[tuple[str, str]]:
    return [(finding.level, finding.check) for finding in doctor.examine(compose)]


@pytest.mark.parametrize(
    ("answers", "route", "line"),
    [
        ({}, "off", "off (GATEWAYS=0 in .env): LiteLLM serves every request"),
        (
            {"gateway_1": HEALTH, "gateway_2": HEALTH},
            "direct",
            "2 of 2 ready, route direct, 4 running, 6 calls wait for Postgres",
        ),
        (
            {"gateway_1": {**HEALTH, "route": "litellm"}},
            "litellm",
            "1 of 1 ready, route litellm (it serves every request), 2 running, 3 calls wait for Postgres",
        ),
        (
            {"gateway_1": None, "gateway_2": HEALTH},
            "direct",
            "1 of 2 ready, route direct, 2 running, 3 calls wait for Postgres",
        ),
        ({"gateway_1": None}, "", "0 of 1 ready, route unknown, 0 running, 0 calls wait for Postgres"),
    ],
)
def test_status_names_the_route_and_counts(answers: dict[str, Any], route: str, line: str) -> None:
    found = seen(stack(**answers))
    assert (gateways.route(found), gateways.words(found)) == (route, line)


def test_ten_processes_are_in_the_order_of_their_numbers() -> None:
    names = [f"gateway-{number}" for number in range(1, 11)]
    assert gateways.names(["litellm-1", "gateway-exporter", *sorted(names)]) == names


@pytest.mark.parametrize("answer", [TollgateError("exec failed"), "no JSON", {"status": "ok"}, "[]"])
def test_an_answer_that_cannot_be_read_is_no_crash(answer: Any) -> None:
    compose = stack(gateway_1=answer)
    [process] = seen(compose)
    assert (process.ready, process.route, process.ledger) == (True, None, None)
    assert levels(compose) == [("WARN", "gateway-1")]


def test_the_doctor_skips_without_gateway_processes() -> None:
    assert levels(stack()) == [("SKIP", "gateway")]


def test_the_doctor_leaves_a_container_that_is_down_to_the_other_check() -> None:
    assert levels(stack(gateway_1=None)) == []


def problems() -> Iterator[Any]:
    yield {}, [("PASS", "gateway-1"), ("PASS", "ledger shipping")], ""
    yield {"route": "litellm"}, [("PASS", "gateway-1"), ("PASS", "ledger shipping")], "as configured"
    yield {"listening": False}, [("PASS", "gateway-1"), ("WARN", "gateway-1"), ("PASS", "ledger shipping")], "trigger"
    yield {"redis": False}, [("PASS", "gateway-1"), ("WARN", "gateway-1"), ("PASS", "ledger shipping")], "redis"
    for ledger, level, word in (
        ({"lag_s": 300.0, "failing": "OperationalError"}, "FAIL", "OperationalError"),
        ({"failing": "OperationalError"}, "WARN", "the-ledger-lags"),
        ({"set_aside": 2}, "WARN", "2 calls are set aside"),
        ({"unwritten": 1}, "FAIL", "the-disk-is-full"),
    ):
        yield {"ledger": {**LEDGER, **ledger}}, [("PASS", "gateway-1"), (level, "ledger shipping")], word


@pytest.mark.parametrize(("changed", "expected", "word"), list(problems()))
def test_the_doctor_says_what_is_wrong_and_what_to_do(
    changed: dict[str, Any], expected: list[tuple[str, str]], word: str
) -> None:
    compose = stack(gateway_1={**HEALTH, **changed})
    findings = list(doctor.examine(compose))
    assert [(finding.level, finding.check) for finding in findings] == expected
    assert word in " ".join(finding.message + finding.hint for finding in findings)
    assert all(finding.hint for finding in findings if finding.level in ("WARN", "FAIL"))


def test_each_page_that_a_hint_names_exists() -> None:
    root = Path(__file__).parents[4]
    assert all((root / page).is_file() for page in (doctor.DOWN, doctor.LAGS, "docs/runbooks/the-disk-is-full.md"))
