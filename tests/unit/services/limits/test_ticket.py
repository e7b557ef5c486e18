"""The signed header between a gateway process and a replica: believed as it was signed, and not otherwise."""

from __future__ import annotations

import base64
import json

import pytest

from tests.unit.services.limits.calls import call, take
from tollgate.services.limits.counters import Call
from tollgate.services.limits.rule import MONEY, PARALLEL, REQUESTS, TOKENS
from tollgate.services.limits.ticket import VALID_S, read, sign

SECRET, KEY, MODEL, NOW = "secret-0123456789", "ab" * 32, "sonnet", 1_800_000_000.0
TAKEN = call("id", take(REQUESTS, 5, 1), take(TOKENS, 900, 60), take(PARALLEL, 2, 1), take(MONEY, 10**9, 70_000))
TICKET = sign(SECRET, TAKEN, KEY, MODEL, NOW)


def settles(call: Call) -> list[tuple[str, str, int]]:
    return [(take.rule.kind, take.key, take.add) for take in call.takes]


def test_a_replica_settles_exactly_what_was_taken() -> None:
    found = read(SECRET, TICKET, KEY, MODEL, NOW + VALID_S)
    assert found is not None
    assert (found.id, found.tenant, settles(found)) == (TAKEN.id, TAKEN.tenant, settles(TAKEN))


@pytest.mark.parametrize(
    ("key", "model", "now"),
    [
        ("cd" * 32, MODEL, NOW),
        (KEY, "opus", NOW),
        (KEY, MODEL, NOW + VALID_S + 1),
        (KEY, MODEL, NOW - VALID_S - 1),
    ],
)
def test_twin_for_another_key_model_or_time_it_is_nothing(key: str, model: str, now: float) -> None:
    assert read(SECRET, TICKET, key, model, now) is None


def stated(**changes: object) -> str:
    """The ticket with other content and the old signature."""
    text, _, mac = TICKET.rpartition(".")
    content = json.loads(base64.urlsafe_b64decode(text)) | changes
    return f"{base64.urlsafe_b64encode(json.dumps(content).encode()).decode()}.{mac}"


@pytest.mark.parametrize(
    "forged",
    [
        "",
        ".",
        "x",
        "1",
        TICKET[:-1],
        TICKET + "0",
        TICKET.rpartition(".")[0],
        "." + TICKET.rpartition(".")[2],
        stated(takes=[]),
        stated(model=MODEL),
        stated(call="other"),
        sign("another secret", TAKEN, KEY, MODEL, NOW),
        "é\x00\xff.ü",
    ],
)
def test_a_forged_ticket_is_nothing(forged: str) -> None:
    assert read(SECRET, forged, KEY, MODEL, NOW) is None


def test_without_a_secret_nobody_is_believed() -> None:
    assert read("", sign("", TAKEN, KEY, MODEL, NOW), KEY, MODEL, NOW) is None


def test_a_ticket_fits_into_one_header() -> None:
    """A tenant and a key with every limit, and names as long as they get. nginx takes lines of 16 KiB."""
    takes = [take(kind, 10**15, 10**15, name="x" * 60 + str(n)) for kind in (REQUESTS, MONEY) for n in range(10)]
    assert len(sign(SECRET, call("i" * 24, *takes), KEY, "m" * 100, NOW)) < 8000
