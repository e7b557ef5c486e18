"""A call that was let in and is handed over: the replica settles it if it says so, this process if not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import CUT, HANG, JSON, STREAM, Answer, upstream
from tests.unit.services.gateway.process import (
    HANDOVER_KEY,
    Process,
    caller,
    catalogue,
    chat,
    key_row,
    model,
    process,
    run,
)
from tollgate.services.limits.counters import Call
from tollgate.services.limits.ticket import HEADER, TAKEN_OVER, read

LIMITS = {"requests_per_hour": 5, "max_parallel_requests": 2, "daily_limit": 1}
# The converter does not know this block, so LiteLLM must answer.
STRANGE = [{"role": "user", "content": [{"type": "hologram"}]}]
TAKES_OVER = {**JSON, TAKEN_OVER.decode(): "1"}


def ticket_of(gateway: Process, number: int = 0) -> Call | None:
    header = gateway.litellm.asked[number].headers.get(HEADER.decode(), "")
    return read(HANDOVER_KEY, header, str(key_row()["token"]), "sonnet", time.time())


def counted(gateway: Process) -> tuple[int, int, int]:
    """Requests, running requests, and nano-dollars that are reserved."""
    counters = gateway.counters
    running = sum(map(len, counters.running.values()))
    return sum(counters.numbers.values()), running, sum(money.reserved for money in counters.money.values())


async def handed_over(tmp_path: Path, answer: Answer, test: Any) -> None:
    async with (
        upstream(STREAM) as one,
        process(tmp_path, catalogue(model(chat(one))), who=caller(LIMITS)) as gateway,
    ):
        gateway.litellm.answers(answer)
        await test(gateway)


@pytest.mark.parametrize("answer", [Answer([b"{}"], 200, TAKES_OVER), Answer([b"{}"], 429, TAKES_OVER)])
def test_what_a_replica_has_taken_over_stays_as_it_is(tmp_path: Path, answer: Answer) -> None:
    async def test(gateway: Process) -> None:
        reply = await gateway.ask(messages=STRANGE)
        assert (reply.status, reply.text) == (answer.status, b"{}")
        assert TAKEN_OVER.decode() not in reply.headers
        call = ticket_of(gateway)
        assert call is not None and len(call.takes) == 3
        assert counted(gateway)[:2] == (1, 1)
        assert counted(gateway)[2] > 0, "the replica replaces it by the cost"

    run(lambda: handed_over(tmp_path, answer, test))


@pytest.mark.parametrize(
    "answer",
    [
        Answer([b"{}"], 200, JSON),  # a replica that does not believe the ticket
        Answer([b"{}"], 502, JSON),  # nginx: the replica died
        Answer(before=CUT),
    ],
)
def test_twin_what_no_replica_has_taken_over_counts_for_nothing(tmp_path: Path, answer: Answer) -> None:
    async def test(gateway: Process) -> None:
        await gateway.ask(messages=STRANGE)
        assert ticket_of(gateway) is not None
        assert counted(gateway) == (0, 0, 0)

    run(lambda: handed_over(tmp_path, answer, test))


def test_a_stream_that_breaks_off_is_the_replicas_to_settle(tmp_path: Path) -> None:
    async def test(gateway: Process) -> None:
        with pytest.raises(Exception, match="payload"):
            await gateway.ask(messages=STRANGE, stream=True)
        assert counted(gateway)[:2] == (1, 1)

    run(lambda: handed_over(tmp_path, Answer([b"data: x\n\n", CUT], 200, TAKES_OVER), test))


@pytest.mark.parametrize("answer", [Answer(before=HANG), Answer([HANG], 200, TAKES_OVER)])
def test_a_client_that_leaves_leaves_the_call_to_the_replica(tmp_path: Path, answer: Answer) -> None:
    async def test(gateway: Process) -> None:
        task = asyncio.create_task(gateway.ask(messages=STRANGE))
        async with asyncio.timeout(10):
            while not gateway.litellm.asked:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await gateway.litellm.left()
        assert counted(gateway)[:2] == (1, 1)

    run(lambda: handed_over(tmp_path, answer, test))


def test_a_clients_own_ticket_is_not_passed_on(tmp_path: Path) -> None:
    async def test(gateway: Process) -> None:
        forged = {HEADER.decode(): "forged"}
        # One call that is counted, and one that is handed over before anybody counted.
        await gateway.ask(messages=STRANGE, headers=forged)
        await gateway.ask("/v1/messages/count_tokens", headers=forged)
        assert ticket_of(gateway) is not None
        assert HEADER.decode() not in gateway.litellm.asked[1].headers

    run(lambda: handed_over(tmp_path, Answer([b"{}"], 200, JSON), test))
