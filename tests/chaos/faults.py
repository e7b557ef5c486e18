"""What is broken, on purpose: each fault with what users may see of it, and for how long.

An outcome that a fault does not excuse fails the run. A 401 is never excused: it would send everybody to look for a
new key.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

from tests.chaos import clock, disk
from tests.chaos.book import container, psql
from tests.chaos.load import CUT, ERROR_EVENT, Load, body, client
from tests.support.eventually import eventually
from tests.support.stack import Stack

HOLD_S = 20.0
NOTHING: frozenset[str] = frozenset()
# "Overloaded", as every client knows it; 503 on routes of OpenAI's.
BUSY = frozenset({"529"})
GONE = frozenset({"ConnectError", "RemoteProtocolError", "ReadError"})

Act = Callable[[Stack, Load], object]


def nothing(stack: Stack, load: Load) -> None:
    """It is over by itself."""


@dataclass(frozen=True)
class Fault:
    """`promise` is the table's words for it. `whole` and `streams`: outcomes that clients may see besides 200.

    `noticed_s`: the last request that failed or was slow began within so many seconds of the fault; None: as long as it
    lasts, and `within_s` after its end at most. `slowest_s`: no request takes longer.
    `lines_lost`, `spend_lost`: calls that may be missing in the ledger's lines, and in its sums.
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
    provider_forgets: bool = False
    # Done before there is traffic; and what else is asked while it lasts: its words for the table, and what was wrong.
    prepare: Act = nothing
    besides: Callable[[Stack], tuple[str, list[str]]] | None = None


def docker(*words: str) -> Callable[[str], Act]:
    return lambda service: lambda stack, load: insist(stack, *words, container(stack, service))


def insist(stack: Stack, *words: str) -> None:
    """Until Docker does it: on a busy machine it may be unable to freeze a container that is starting a process."""

    def done() -> bool:
        try:
            stack.docker(*words)
        except subprocess.CalledProcessError as error:
            raise AssertionError(error.stderr.strip()) from None
        return True

    eventually(done, within=20, every=0.5)


kill = docker("kill", "--signal", "KILL")
freeze = docker("pause")
thaw = docker("unpause")
start = docker("start")
stop = docker("stop", "--time", "30")


def dial(dials: str) -> Act:
    def act(stack: Stack, load: Load) -> None:
        load.dials = dials

    return act


def frozen_for_good(stack: Stack, load: Load) -> None:
    """What the runbook says to do with a replica that hangs."""
    name = container(stack, "litellm-2")
    stack.docker("kill", "--signal", "KILL", name)
    stack.docker("start", name)


def emptied(stack: Stack, load: Load) -> None:
    name = container(stack, "redis")
    stack.docker("exec", name, "sh", "-c", "rm -rf /data/*")
    stack.docker("kill", "--signal", "KILL", name)
    stack.docker("start", name)


def never_seen(stack: Stack) -> tuple[str, list[str]]:
    """How a key that nobody has seen is refused, on Anthropic's route and on OpenAI's."""
    found = []
    for path in ("/v1/messages", "/v1/chat/completions"):
        headers = {"Authorization": f"Bearer sk-never-seen-{time.monotonic_ns()}"}
        with client() as http:
            try:
                found.append(str(http.post(stack.url + path, json=body(stream=False), headers=headers).status_code))
            except httpx.HTTPError as error:
                found.append(type(error).__name__)
    wrong = ["a key that could not be looked up was called wrong (401)"] if "401" in found else []
    return f"unknown key: {', '.join(found)}", wrong


def no_connection_left(stack: Stack, load: Load) -> None:
    """Others take each connection there is, again and again, while those of the replicas are closed under them."""
    seconds = int(HOLD_S)
    login = "psql -XqAt -U litellm -d litellm"
    limit = int(psql(stack, "show max_connections"))
    taker = f"{login} -c 'select pg_sleep({seconds})'"
    takers = f"for n in $(seq {limit + 20}); do while ! {taker}; do [ $(date +%s) -lt $end ] || exit; done & done"
    closing = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'prisma-query-engine'"
    again = " ".join(f'-c "{closing}" -c "select pg_sleep(2)"' for _ in range(3))
    script = f"end=$(($(date +%s) + {seconds})); {login} -c 'select pg_sleep(1)' {again} & {takers}; wait"
    stack.docker("exec", "--detach", container(stack, "postgres"), "sh", "-c", f"({script}) >/dev/null 2>&1")
    eventually(lambda: refuses(stack), within=10, every=0.3)


def refuses(stack: Stack, *statements: str) -> bool:
    """Whether Postgres does not take a connection, or loses it over the statements."""
    try:
        psql(stack, "select 1", *statements)
    except subprocess.CalledProcessError:
        return True
    return False


def full_disk(stack: Stack, load: Load) -> None:
    """Not a byte is free, and the space that Postgres keeps for its log is used up too."""
    disk.fill()
    eventually(lambda: refuses(stack, "select pg_switch_wal()", "checkpoint"), within=30)
    disk.fill()


def freed_disk(stack: Stack, load: Load) -> None:
    disk.free()
    stack.docker("start", container(stack, "postgres"))


def everything_killed(stack: Stack, load: Load) -> None:
    running = [row.name for row in stack.compose.containers() if row.state == "running"]
    stack.docker("kill", "--signal", "KILL", *running)


def started_again(stack: Stack, load: Load) -> None:
    stack.cli("start")


def replicas() -> Iterator[Fault]:
    yield Fault(
        "a replica killed (`kill -9`)",
        "whole answers: nothing. Streams on it break off",
        kill("litellm-1"),
        start("litellm-1"),
        streams=frozenset({CUT}),
        noticed_s=5,
        # What it had answered within the last seconds and not yet written dies with it.
        lines_lost=60,
        spend_lost=60,
    )
    yield Fault(
        "a replica frozen, then going on",
        "requests that reach it within 20 s wait until it goes on; none after that",
        freeze("litellm-2"),
        thaw("litellm-2"),
        noticed_s=20,
        hold_s=35,
        slowest_s=45,
    )
    yield Fault(
        "a replica frozen, then killed",
        "the same; when it is killed its whole answers come from another, its streams break off",
        freeze("litellm-2"),
        frozen_for_good,
        streams=frozenset({CUT}),
        noticed_s=20,
        lines_lost=60,
        spend_lost=60,
        hold_s=25,
        slowest_s=45,
    )


def databases() -> Iterator[Fault]:
    yield Fault("Redis killed", "a request may take 10 s, at first", kill("redis"), start("redis"), noticed_s=10)
    # The time limit of each question to Redis, until LiteLLM gives it up; then one question in 15 s.
    often = "requests may take 15 s at first, then one in 15 s does"
    yield Fault("Redis frozen", often, freeze("redis"), thaw("redis"), noticed_s=None)
    # Sums that replicas had handed to it and that were not yet in Postgres are gone; the ledger's lines are not.
    yield Fault("Redis restarted empty", "nothing", emptied, nothing, spend_lost=200)
    slow = 'known keys: a request may take 20 s; unknown ones: "overloaded" (529, 503) after 10 s, never 401'
    for name, begin, end in (
        ("killed", kill("postgres"), start("postgres")),
        ("frozen", freeze("postgres"), thaw("postgres")),
        ("stopped and started", stop("postgres"), start("postgres")),
        ("out of connections", no_connection_left, nothing),
        *([("on a full disk", full_disk, freed_disk)] if disk.possible() else []),
    ):
        yield Fault(f"Postgres {name}", slow, begin, end, noticed_s=None, within_s=60, slowest_s=20, besides=never_seen)


def providers() -> Iterator[Fault]:
    told = '"overloaded" (529, 503) once the gateway has tried again, within 60 s'
    yield Fault(
        "the provider killed",
        told,
        kill("provider"),
        start("provider"),
        whole=BUSY,
        streams=BUSY | {ERROR_EVENT},
        noticed_s=None,
        slowest_s=60,
        provider_forgets=True,
    )
    yield Fault(
        "the provider hangs",
        "answers wait until it goes on, or `routing.timeout_s` (600 s)",
        freeze("provider"),
        thaw("provider"),
        noticed_s=None,
        slowest_s=45,
    )
    yield Fault("the provider slow (6 s)", "answers come 6 s later", dial("latency=6"), dial(""), noticed_s=None)
    yield Fault(
        "the provider resets streams in the middle",
        "whole answers: tried again, then 529. Streams end in an Anthropic `event: error`",
        dial("drop=after:8"),
        dial(""),
        whole=BUSY,
        streams=frozenset({ERROR_EVENT}),
        noticed_s=None,
    )
    for status in ("429", "529"):
        yield Fault(
            f"the provider answers {status} to everything",
            f"{status} at once; well as soon as the provider is",
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
        provider_forgets=True,
    )
    if clock.possible():
        yield Fault(
            "the replicas' clock a day ahead, and back",
            "a spent daily budget opens within 90 s; after the jump back it may be spent once more",
            clock.ahead,
            clock.back,
            within_s=60,
            hold_s=5,
            prepare=clock.prepare,
            besides=clock.spent_budget_opens,
        )


def faults() -> Iterator[Fault]:
    for group in (replicas, databases, providers, host):
        yield from group()
