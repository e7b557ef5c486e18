"""`make test-chaos`: breaks one part of a running stack after another and prints what clients saw, as the table of
docs/reliability.md has it. `ARGS="Redis provider"` runs the faults with one of these words in their name.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.chaos import disk
from tests.chaos.book import (
    TENANT,
    Books,
    answered_by_provider,
    answered_to_clients,
    books,
    forget_recorded,
    settled,
)
from tests.chaos.faults import Fault, faults
from tests.chaos.load import CLIENTS, WELL, Load, Seen
from tests.support.eventually import eventually
from tests.support.ports import free_ports, start_again_on_a_taken_port
from tests.support.stack import CHAOS, ROOT, Stack, bring_up, prepare, project_name, take_down
from tests.support.sweep import remember

SETTLED_S = 6.0
# The promise is a sum of time limits. Each ends a little late, and the request itself takes time too.
LATE_S = 1.0
HEADINGS = (
    "fault",
    "users may see",
    "requests: whole + streamed",
    "whole answers that failed",
    "streams that failed",
    "slow",
    "noticed for, s",
    "slowest, s",
    "slowest before, s",
    "recovered after, s",
    "also seen",
    "calls not in the ledger",
    "spend not in its sums",
)


def row(stack: Stack, fault: Fault) -> tuple[list[str], list[str]]:
    """The row of one fault, and what was wrong with it."""
    load = Load(stack.url, stack.key(TENANT))
    fault.prepare(stack, load)
    before, besides, wrong = books(stack), "", []
    forget_recorded(stack)
    with load.running():
        time_passes(SETTLED_S)
        eventually(lambda: len(load.asked) >= 3 * CLIENTS, within=60)
        normal = max(one.seconds for one in load.asked)
        began = time.monotonic()
        fault.begin(stack, load)
        if fault.besides is not None:
            besides, wrong = fault.besides(stack)
        time_passes(max(0.0, began + fault.hold_s - time.monotonic()))
        fault.end(stack, load)
        ended = time.monotonic()
        try:
            eventually(lambda: well_since(load, SETTLED_S), within=fault.within_s + SETTLED_S, every=0.5)
        except AssertionError:
            wrong.append(f"not well within {fault.within_s:.0f} s of the fault's end")
        recovered = max(0.0, time.monotonic() - ended - SETTLED_S)
    seen = Seen.of(load.asked, began)
    wrong += unexcused(fault, seen, normal)
    calls, cost = answered_to_clients(load)
    paid = calls if fault.clients_count else max(calls, answered_by_provider(stack))
    price = cost / calls if calls else cost

    def missing(found: Books) -> tuple[int, int]:
        """Calls that the ledger's lines lack, and that its sums lack."""
        least = min(found.days, found.team)
        lost = max(cost - least, found.logs - least)
        return paid - found.rows, round(lost / price) if price else 0

    def excused(found: Books) -> bool:
        lines, lost = missing(found)
        return lines <= fault.lines_lost and lost <= fault.spend_lost

    lines, lost = missing(settled(lambda: books(stack).since(before), paid, cost, excused))
    if lines > fault.lines_lost:
        wrong.append(f"{lines} of {paid} calls are missing in the ledger, at most {fault.lines_lost} may be")
    if lost > fault.spend_lost:
        wrong.append(f"what {lost} of {paid} calls cost is missing in the ledger's sums")
    counted = [f"{max(0, lines)} of {paid}", f"{max(0, lost)} of {paid} calls"]
    return [fault.name, fault.promise, *seen.cells(), f"{normal:.1f}", f"{recovered:.0f}", besides, *counted], wrong


def unexcused(fault: Fault, seen: Seen, normal: float) -> list[str]:
    wrong = [f"clients saw {what} for a whole answer" for what in seen.failed_whole if what not in fault.whole]
    wrong += [f"clients saw {what} for a stream" for what in seen.failed_streams if what not in fault.streams]
    if fault.noticed_s is not None and seen.noticed_for > fault.noticed_s:
        wrong.append(f"noticed for {seen.noticed_for:.0f} s, promised are {fault.noticed_s:.0f}")
    if seen.slowest > fault.slowest_s + normal + LATE_S:
        wrong.append(
            f"a request took {seen.slowest:.0f} s, {normal:.0f} before, promised are {fault.slowest_s:.0f} more"
        )
    return wrong


def well_since(load: Load, seconds: float) -> bool:
    """Whether requests were answered in time, and nothing else, for the last `seconds`."""
    now = time.monotonic()
    lately = [one for one in list(load.asked) if one.ended > now - seconds]
    # A slow one that began before is the fault's, not its aftermath.
    return bool(lately) and all(one.outcome == WELL for one in lately)


def time_passes(seconds: float) -> None:
    """The fault's own duration: nothing is waited for here."""
    time.sleep(seconds)


def keep_ports(stack: Stack) -> None:
    """Docker would choose other ports when everything was killed and starts again."""
    env = stack.home / ".env"
    text = env.read_text()
    names = ("GATEWAY", "ADMIN")
    for name, port in zip(names, free_ports(len(names)), strict=True):
        text = text.replace(f"{name}_PORT=0", f"{name}_PORT={port}")
    env.write_text(text)


def measure(stack: Stack, chosen: list[Fault]) -> list[str]:
    print(f"| {' | '.join(HEADINGS)} |\n|---|---|{'---:|' * (len(HEADINGS) - 2)}", flush=True)
    problems = []
    for fault in chosen:
        try:
            cells, wrong = row(stack, fault)
            print(f"| {' | '.join(cells)} |", flush=True)
        except AssertionError as error:
            wrong = [f"could not be measured: {error}"]
        for text in wrong:
            print(f"error: {fault.name}: {text}", file=sys.stderr, flush=True)
        problems += wrong
        eventually(stack.ready, within=180, every=2)
    return problems


def main() -> int:
    remember()
    start_again_on_a_taken_port()
    words = sys.argv[1:]
    chosen = [fault for fault in faults() if not words or any(word in fault.name for word in words)]
    if not chosen:
        print(f"error: no fault has {' or '.join(words)} in its name", file=sys.stderr)
        return 2
    project = project_name(CHAOS)
    with tempfile.TemporaryDirectory() as scratch:
        # The faults and promises of docs/reliability.md are those of the replicas.
        stack = prepare(Path(scratch) / "home", project, gateways=0)
        keep_ports(stack)
        try:
            bring_up(stack, lambda: disk.make(project) if disk.possible() else None)
            problems = measure(stack, chosen)
        finally:
            take_down(stack, ROOT / "var" / "logs" / "chaos")
            disk.remove(project)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
