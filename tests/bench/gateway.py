"""`make bench-gateway`: the direct route beside LiteLLM's route, LiteLLM alone and Portkey, in one run.

Each part prints one Markdown table for docs/performance.md. All are asked at their own port, without nginx, with limits
of every kind and the ledger on. The upstream is upstream.py. "A core" counts the processor time of the measured
containers only, so a busy machine changes it little. `--only PART` runs one part (again for more), `--json` prints
values instead of tables, `--seconds` sets the length of one measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import Measured, load, streams
from tests.bench.rig import (
    ALONE,
    CHAT,
    DIRECT,
    LITELLM,
    NATIVE,
    PACED,
    PORTKEY,
    THROUGH,
    UPSTREAM,
    NotAvailableError,
    Rig,
    running_rig,
)

SECONDS, WARM_S = 5.0, 1.0
MESSAGES_PATH, CHAT_PATH = "/v1/messages", "/v1/chat/completions"
Row = dict[str, str | float]


@dataclass(frozen=True)
class Case:
    """A kind of request. `padding` makes the prompt longer, in bytes; with `pieces` the answer is a stream."""

    name: str
    model: str
    path: str
    padding: int = 0
    pieces: int = 0

    def to(self, rig: Rig, name: str, path: str = "") -> bytes:
        content = "hello" + " " * bool(self.padding) + "x" * self.padding
        body = {"model": self.model, "max_tokens": self.pieces or 60}
        body |= {"messages": [{"role": "user", "content": content}], "stream": bool(self.pieces)}
        return rig.sent(name, path or self.path, body)

    @property
    def upstream_path(self) -> str:
        """Where a gateway sends it."""
        return self.path if self.model == NATIVE else CHAT_PATH


NATIVE_CASE = Case("Messages to Messages", NATIVE, MESSAGES_PATH)
CONVERTED = Case("Messages to chat", CHAT, MESSAGES_PATH)
PASSED = Case("chat to chat", CHAT, CHAT_PATH)
STREAMED = (
    Case("Messages to Messages", NATIVE, MESSAGES_PATH, pieces=200),
    Case("Messages to chat", CHAT, MESSAGES_PATH, pieces=200),
)


@dataclass(frozen=True)
class Bench:
    rig: Rig
    seconds: float

    def measure(self, names: str | Sequence[str], sent: bytes, clients: int) -> tuple[Measured, float]:
        """The run at the first of `names`, and the seconds of processor time that all of them used."""
        names = [names] if isinstance(names, str) else names
        port = self.rig.port(names[0])
        load(port, sent, clients, WARM_S)
        before = sum(map(self.rig.processor_s, names))
        measured = load(port, sent, clients, self.seconds)
        used = sum(map(self.rig.processor_s, names)) - before
        if measured.failed or not measured.requests:
            raise AssertionError(f"{names[0]}: {measured.failed} of {measured.requests + measured.failed} failed")
        return measured, used

    def both(self, case: Case, clients: int) -> Row:
        (slow, slow_s), (fast, fast_s) = (
            self.measure(name, case.to(self.rig, name), clients) for name in (LITELLM, DIRECT)
        )
        slow_core, fast_core = slow.requests / slow_s, fast.requests / fast_s
        return {
            "request": case.name,
            "clients": clients,
            "LiteLLM, ms": round(slow.median(), 1),
            "direct, ms": round(fast.median(), 1),
            "direct, 99 of 100, ms": round(fast.late(), 1),
            "LiteLLM, /s a core": round(slow_core, 1),
            "direct, /s a core": round(fast_core),
            "times": round(fast_core / slow_core, 1),
        }


def requests(bench: Bench) -> Iterator[Row]:
    """Requests a second and core."""
    for case in (NATIVE_CASE, CONVERTED, PASSED):
        for clients in (1, 16, 64):
            yield bench.both(case, clients)


def bodies(bench: Bench) -> Iterator[Row]:
    """Large bodies, passed on in their own protocol."""
    for kilobytes in (100, 500):
        name = f"{NATIVE_CASE.name}, {kilobytes} KB"
        yield bench.both(Case(name, NATIVE, MESSAGES_PATH, padding=kilobytes * 1000), 8)


def added(bench: Bench) -> Iterator[Row]:
    """Milliseconds that a route adds at one client: medians, less those of the upstream at its own port."""
    for case, first in ((NATIVE_CASE, False), (CONVERTED, False), (PASSED, False), *((one, True) for one in STREAMED)):
        own, _ = bench.measure(UPSTREAM, case.to(bench.rig, UPSTREAM, case.upstream_path), 1)
        slow, fast = (bench.measure(name, case.to(bench.rig, name), 1)[0] for name in (LITELLM, DIRECT))
        added_slow, added_fast = (run.median(first) - own.median(first) for run in (slow, fast))
        yield {
            "request": case.name + (", streamed, to the first byte" if first else ""),
            "upstream, ms": round(own.median(first), 2),
            "LiteLLM adds, ms": round(added_slow, 2),
            "direct adds, ms": round(added_fast, 2),
            "times": round(added_slow / added_fast, 1),
        }


def chunks(bench: Bench) -> Iterator[Row]:
    """Pieces of streams a second and core."""
    for case in STREAMED:
        (slow, slow_s), (fast, fast_s) = (
            bench.measure(name, case.to(bench.rig, name), 16) for name in (LITELLM, DIRECT)
        )
        slow_core, fast_core = slow.pieces / slow_s, fast.pieces / fast_s
        yield {
            "stream": case.name,
            "LiteLLM, pieces/s a core": round(slow_core),
            "direct, pieces/s a core": round(fast_core),
            "times": round(fast_core / slow_core, 1),
        }


def many_streams(bench: Bench) -> Iterator[Row]:
    """512 streams of 20 pieces a second at one process. The gap is what the upstream did not make; the client of the
    bench adds to it when the machine is short of processor time."""
    clients, pieces = 512, 300
    for case in (Case("Messages to chat", PACED, MESSAGES_PATH, pieces=pieces),):
        found: dict[str, Measured] = {}
        for name in (UPSTREAM, DIRECT):
            sent = case.to(bench.rig, name, case.upstream_path if name == UPSTREAM else "")
            before = bench.rig.processor_s(name)
            found[name] = streams(bench.rig.port(name), sent, clients, ramp_s=5.0)
            used = bench.rig.processor_s(name) - before
            if found[name].failed:
                raise AssertionError(f"{name}: {found[name].failed} of {clients} streams failed")
        yield {
            "stream": case.name,
            "streams": clients,
            "pieces": found[DIRECT].pieces,
            "largest gap, ms": round(found[DIRECT].gap),
            "largest gap without a gateway, ms": round(found[UPSTREAM].gap),
            "cores used": round(used / found[DIRECT].seconds, 2),
            "resident afterwards, MiB": round(bench.rig.resident_mib(DIRECT)),
        }


def others(bench: Bench) -> Iterator[Row]:
    """Chat passed on by others, and LiteLLM's route through a gateway process and a replica: processor time of both."""
    try:
        with bench.rig.portkey():
            yield from _chat(bench, "Portkey", (PORTKEY,), CHAT)
    except NotAvailableError as error:
        sys.stderr.write(f"Portkey is left out: {error}\n")
    with bench.rig.alone():
        yield from _chat(bench, "LiteLLM alone", (ALONE,), CHAT)
    yield from _chat(bench, "LiteLLM's route, gateway process and replica", (DIRECT, LITELLM), THROUGH)
    yield from _chat(bench, "direct route", (DIRECT,), CHAT)


def _chat(bench: Bench, name: str, containers: Sequence[str], model: str) -> Iterator[Row]:
    case = Case("", model, CHAT_PATH)
    for clients in (1, 16, 64):
        run, used = bench.measure(containers, case.to(bench.rig, containers[0]), clients)
        yield {
            "chat through": name,
            "clients": clients,
            "ms": round(run.median(), 1),
            "/s": round(run.per_second, 1),
            "/s a core": round(run.requests / used, 1),
        }


def start(bench: Bench) -> Iterator[Row]:
    """From the start of a container until it is ready, and its memory then."""
    for name in (DIRECT, LITELLM):
        seconds = bench.rig.start_s(name)
        yield {"container": name, "seconds": round(seconds, 1), "resident, MiB": round(bench.rig.resident_mib(name))}


# `start` comes last: it stops what the others measure.
PARTS: Mapping[str, Callable[[Bench], Iterator[Row]]] = {
    "requests": requests,
    "bodies": bodies,
    "added": added,
    "chunks": chunks,
    "streams": many_streams,
    "others": others,
    "start": start,
}


def table(row: Row) -> str:
    """The head of a Markdown table."""
    rule = ("---" if isinstance(value, str) else "---:" for value in row.values())
    return f"| {' | '.join(row)} |\n|{'|'.join(rule)}|"


def machine() -> str:
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.gateway", description="measure the direct route")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; again for more of them")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of one measurement")
    chosen = parser.parse_args(arguments)
    parts = [name for name in PARTS if not chosen.only or name in chosen.only]
    values: dict[str, list[Row]] = {name: [] for name in parts}
    with tempfile.TemporaryDirectory() as scratch, running_rig(Path(scratch)) as rig:
        for name in parts:
            for row in PARTS[name](Bench(rig, chosen.seconds)):
                if not chosen.json:
                    _say("" if values[name] else f"\n{PARTS[name].__doc__}\n\n{table(row)}\n")
                    _say(f"| {' | '.join(map(str, row.values()))} |\n")
                values[name].append(row)
    _say(json.dumps({"machine": machine(), **values}, indent=1) + "\n" if chosen.json else f"\n{machine()}\n")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
