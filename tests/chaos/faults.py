"""`make test-chaos`: breaks one part of a running stack after another and prints what clients saw, as the table of
docs/reliability.md has it.

A fault lasts HOLD_S under steady traffic. It fails where clients saw an outcome that the fault does not excuse (a 401
never is: it would send every user to look for a new key), where the gateway did not recover by itself, or where an
answer that a client has is missing in the ledger.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.chaos.load import Load, Seen, ask
from tests.support.eventually import eventually
from tests.support.stack import CHAOS, ROOT, Stack, bring_up, prepare, project_name, take_down
from tests.support.sweep import remember

HOLD_S = 20.0
SETTLED_S = 8.0
RECOVERED_WITHIN_S = 120.0
TENANT, NEVER_SEEN = "contractor", "example"
OVERLOADED = {"529", "503", "502", "504", "500"}
LEDGER = """SELECT count(*) FROM "LiteLLM_SpendLogs" WHERE team_id = 'contractor' AND status = 'success'"""


@dataclass(frozen=True)
class Fault:
    """`excused`: outcomes that clients may see besides 200. `lossless`: every answer is in the ledger afterwards."""

    name: str
    begin: Callable[[Stack], object]
    end: Callable[[Stack], object]
    excused: frozenset[str] = frozenset()
    lossless: bool = True


def container(stack: Stack, service: str) -> str:
    return next(row.name for row in stack.compose.containers() if row.service == service)


def killed(service: str, name: str, excused: frozenset[str] = frozenset(), *, lossless: bool = True) -> Fault:
    return Fault(
        name,
        lambda stack: stack.docker("kill", "--signal", "KILL", container(stack, service)),
        lambda stack: stack.docker("start", container(stack, service)),
        excused,
        lossless,
    )


def frozen(service: str, name: str, excused: frozenset[str] = frozenset()) -> Fault:
    return Fault(
        name,
        lambda stack: stack.docker("pause", container(stack, service)),
        lambda stack: stack.docker("unpause", container(stack, service)),
        excused,
    )


def everything_killed(stack: Stack) -> None:
    stack.docker(
        "kill", "--signal", "KILL", *(row.name for row in stack.compose.containers() if row.state == "running")
    )


def started_again(stack: Stack) -> None:
    stack.cli("start")


def faults() -> Iterator[Fault]:
    busy = frozenset(OVERLOADED)
    # What a replica had answered within the last seconds and not yet pushed dies with it (docs/limits.md).
    yield killed("litellm-1", "a replica killed (`kill -9`)", excused=frozenset({"502"}), lossless=False)
    yield frozen("litellm-2", "a replica frozen", excused=frozenset({"ReadTimeout"}))
    yield killed("redis", "Redis killed")
    yield frozen("redis", "Redis frozen")
    yield killed("postgres", "Postgres killed")
    yield frozen("postgres", "Postgres frozen")
    yield killed("provider", "the provider gone", excused=busy)
    yield frozen("provider", "the provider hangs", excused=busy | {"408"})
    yield Fault(
        "everything killed at once, then `make start`",
        everything_killed,
        started_again,
        excused=busy | {"ConnectError", "RemoteProtocolError", "ReadError"},
        lossless=False,
    )


def ledger(stack: Stack) -> int:
    command = ["exec", container(stack, "postgres"), "psql", "-XqAt", "-U", "litellm", "-d", "litellm", "-c", LEDGER]
    return int(stack.docker(*command))


def run(stack: Stack, fault: Fault) -> tuple[list[str], list[str]]:
    """The row of one fault, and what was wrong with it."""
    before, never_seen = ledger(stack), ""
    load = Load(stack.url, stack.key(TENANT))
    with load.running():
        time_passes(SETTLED_S)
        began = time.monotonic()
        fault.begin(stack)
        if "Postgres" in fault.name:
            with httpx.Client(timeout=60, trust_env=False) as http:
                never_seen = ask(http, stack.url, "sk-never-seen-0123456789abcdef").outcome
        time_passes(max(0.0, began + HOLD_S - time.monotonic()))
        fault.end(stack)
        ended = time.monotonic()
        eventually(lambda: well_since(load, SETTLED_S), within=RECOVERED_WITHIN_S, every=0.5)
        recovered = time.monotonic() - ended - SETTLED_S
    seen = Seen.of(load.asked, began)
    answered = sum(1 for one in load.asked if one.outcome == "200")
    booked = settled(lambda: ledger(stack) - before, answered)
    wrong = [f"clients saw {outcome}" for outcome in seen.failed if outcome not in fault.excused]
    if never_seen == "401":
        wrong.append("a key that could not be looked up was called wrong (401)")
    if fault.lossless and booked < answered:
        wrong.append(f"{answered - booked} of {answered} answers are missing in the ledger")
    missing = f"{max(0, answered - booked)} of {answered}"
    return [fault.name, *seen.cells(), f"{max(0.0, recovered):.0f}", never_seen, missing], wrong


def well_since(load: Load, seconds: float) -> bool:
    """Whether requests were answered, and nothing else, for the last `seconds`."""
    now = time.monotonic()
    lately = [one for one in list(load.asked) if one.ended > now - seconds]
    return bool(lately) and all(one.outcome == "200" for one in lately)


def settled(booked: Callable[[], int], expected: int) -> int:
    """What the ledger has once it has everything, or has stopped growing for a while."""
    deadline = time.monotonic() + 60
    while (found := booked()) < expected and time.monotonic() < deadline:
        time_passes(2)
    return found


def time_passes(seconds: float) -> None:
    """The fault's own duration: nothing is waited for here."""
    time.sleep(seconds)


HEADINGS = (
    "fault",
    "requests",
    "failed",
    "for, s",
    "slowest, s",
    "well again after, s",
    "unknown key",
    "not in ledger",
)


def main() -> int:
    remember()
    chosen = [fault for fault in faults() if not sys.argv[1:] or any(word in fault.name for word in sys.argv[1:])]
    problems: list[str] = []
    print(f"| {' | '.join(HEADINGS)} |\n|---|{'---:|' * (len(HEADINGS) - 1)}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        stack = prepare(Path(scratch) / "home", project_name(CHAOS))
        try:
            bring_up(stack)
            for fault in chosen:
                row, wrong = run(stack, fault)
                print(f"| {' | '.join(row)} |", flush=True)
                problems += [f"{fault.name}: {text}" for text in wrong]
                eventually(lambda: stack.cli("status", check=False).returncode == 0, within=180, every=2)
        finally:
            take_down(stack, ROOT / "var" / "logs" / "chaos")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
