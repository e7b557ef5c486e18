"""The faults: each with the outcomes that users may see, and for how long.

An outcome that a fault does not excuse fails the run. A 401 is never excused: every user would look for a new key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.chaos import clock, disk
from tests.chaos.acts import (
    HOLD_S,
    Act,
    dial,
    emptied,
    everything_killed,
    freed_disk,
    freeze,
    frozen_for_good,
    full_disk,
    kill,
    never_seen,
    no_connection_left,
    nothing,
    start,
    started_again,
    stop,
    thaw,
)
from tests.chaos.load import CUT, ERROR_EVENT
from tests.support.stack import Stack

NOTHING: frozenset[str] = frozenset()
# "Overloaded", as every client knows it; 503 on routes of OpenAI's.
BUSY = frozenset({"529"})
GONE = frozenset({"ConnectError", "RemoteProtocolError", "ReadError"})


@dataclass(frozen=True)
class Fault:
    """`promise` is the table's words for it. `whole` and `streams`: outcomes that clients may see besides 200.

    `noticed_s`: the last request that failed or was slow began within so many seconds of the fault; None: as long as it
    lasts, and `within_s` after its end at most. `slowest_s`: no request takes longer.
    `lines_lost`, `spend_lost`: calls that may be missing in the ledger's lines, and in its sums. `clients_count`: calls
    are those that clients were answered, as the provider forgets its own count or cannot keep so many.
    """

    name: str
    promise: str
    begin: Act
    end: Act
    whole: frozenset[str] = NOTHING
    streams: frozenset[str] = NOTHING
    noticed_s: float | None = 0.0
    within_s: float = 30.0
    slowest_s: float = 15.0
    lines_lost: int = 0
    spend_lost: int = 0
    hold_s: float = HOLD_S
    clients_count: bool = False
    # Done before there is traffic; and what else is asked while it lasts: its words for the table, and what was wrong.
    prepare: Act = nothing
    besides: Callable[[Stack], tuple[str, list[str]]] | None = None


def replicas() -> Iterator[Fault]:
    yield Fault(
        "a replica killed (`kill -9`)",
        "requests that it had: 529, clients retry. Its streams break off",
        kill("litellm-1"),
        start("litellm-1"),
        whole=BUSY,
        streams=frozenset({CUT}),
        noticed_s=5,
        # The requests of its last seconds, which it has not yet written to the ledger, are lost with it.
        lines_lost=60,
        spend_lost=60,
    )
    yield Fault(
        "a replica frozen, then resumed",
        "requests sent to it in the first 20 s wait until it resumes; later requests go to other replicas",
        freeze("litellm-2"),
        thaw("litellm-2"),
        noticed_s=20,
        hold_s=35,
        slowest_s=45,
    )
    yield Fault(
        "a replica frozen, then killed",
        "the same; after the kill, its clients get 529 and retry, and its streams break off",
        freeze("litellm-2"),
        frozen_for_good,
        whole=BUSY,
        streams=frozenset({CUT}) | BUSY,
        noticed_s=20,
        lines_lost=60,
        spend_lost=60,
        hold_s=25,
        slowest_s=45,
    )


def databases() -> Iterator[Fault]:
    yield Fault("Redis killed", "some requests take up to 15 s", kill("redis"), start("redis"), noticed_s=None)
    # The time limit of each question to Redis, until LiteLLM gives it up; then one question in 15 s.
    often = "requests take up to 15 s at first; later, one request every 15 s does"
    yield Fault("Redis frozen", often, freeze("redis"), thaw("redis"), noticed_s=None)
    # Sums that replicas had handed to it and that were not yet in Postgres are gone; the ledger's lines are not.
    yield Fault("Redis restarted empty", "nothing", emptied, nothing, spend_lost=200)
    # A replica reads a key again 600 s after it last did. Then it refuses the key like an unknown one.
    slow = (
        "known keys: some requests take up to 20 s. Keys that a replica never saw, or saw more than 600 s ago: "
        '"overloaded" (529, 503), never 401'
    )
    for name, begin, end in (
        ("killed", kill("postgres"), start("postgres")),
        ("frozen", freeze("postgres"), thaw("postgres")),
        ("stopped and started", stop("postgres"), start("postgres")),
        ("out of connections", no_connection_left, nothing),
    ):
        yield Fault(
            f"Postgres {name}",
            slow,
            begin,
            end,
            whole=BUSY,
            streams=BUSY,
            noticed_s=None,
            within_s=60,
            slowest_s=20,
            besides=never_seen,
        )
    if disk.possible():
        # It still reads, until it must write its own log.
        yield Fault(
            "Postgres on a full disk",
            slow,
            full_disk,
            freed_disk,
            whole=BUSY,
            streams=BUSY,
            noticed_s=None,
            within_s=60,
            slowest_s=20,
        )


def providers() -> Iterator[Fault]:
    told = '"overloaded" (529, 503) after the retries of the gateway, within 60 s'
    yield Fault(
        "the provider killed",
        told,
        kill("provider"),
        start("provider"),
        whole=BUSY,
        streams=BUSY | {ERROR_EVENT},
        noticed_s=None,
        slowest_s=60,
        clients_count=True,
    )
    yield Fault(
        "the provider hangs",
        "answers wait until it resumes, at most `routing.timeout_s` (600 s)",
        freeze("provider"),
        thaw("provider"),
        noticed_s=None,
        slowest_s=45,
    )
    yield Fault("the provider slow (6 s)", "answers arrive 6 s later", dial("latency=6"), dial(""), noticed_s=None)
    yield Fault(
        "the provider resets streams in the middle",
        "whole answers: retried, then 529. Streams end with an Anthropic `event: error`",
        dial("drop=after:8"),
        dial(""),
        whole=BUSY,
        streams=frozenset({ERROR_EVENT}),
        noticed_s=None,
    )
    for status in ("429", "529"):
        yield Fault(
            f"the provider answers {status} to everything",
            f"{status} at once, until the provider recovers",
            dial(f"status={status}"),
            dial(""),
            whole=frozenset({status}),
            streams=frozenset({status}),
            noticed_s=None,
        )


def host() -> Iterator[Fault]:
    yield Fault(
        "everything killed at once, then `make start`",
        'connections refused or "overloaded" until two minutes after `make start`',
        everything_killed,
        started_again,
        whole=BUSY | GONE,
        streams=BUSY | GONE | {CUT},
        noticed_s=None,
        slowest_s=60,
        within_s=180,
        lines_lost=150,
        spend_lost=150,
        hold_s=5,
        clients_count=True,
    )
    if clock.possible():
        yield Fault(
            "the replicas' clock a day ahead, and back",
            "a spent daily budget reopens within 180 s and can be spent once more; after the jump back the ledger's "
            "sums stop until `make rollout`",
            clock.ahead,
            clock.back,
            noticed_s=None,
            slowest_s=30,
            within_s=60,
            hold_s=5,
            clients_count=True,
            prepare=clock.prepare,
            besides=clock.spent_budget_opens,
        )


def faults() -> Iterator[Fault]:
    for group in (replicas, databases, providers, host):
        yield from group()
