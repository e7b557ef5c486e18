"""A client that leaves: before the limiter answers, before the first byte, in the middle, at the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import HANG, STREAM, Answer, delta, event, start, text, upstream
from tests.unit.services.gateway.process import Process, caller, catalogue, chat, messages, model, process, run
from tollgate.services.gateway.leaving import until_left
from tollgate.services.limits.local_counters import LocalCounters
from tollgate.services.requests.estimate import IMAGE_TOKENS

Wait = Callable[[], bool]


async def leave_when(gateway: Process, ready: Wait, **more: Any) -> None:
    """Ask, and close the connection as soon as `ready` says so."""

    async def asking() -> None:
        async with gateway.post(**more) as answer:
            await answer.read()

    task = asyncio.create_task(asking())
    async with asyncio.timeout(10):
        while not ready():
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("silent", [Answer(before=HANG), Answer([HANG]), Answer([b": hm\n\n", HANG])])
def test_leaving_before_the_first_byte_ends_the_call_and_is_booked(
    tmp_path: Path, stream: bool, silent: Answer
) -> None:
    async def test() -> None:
        async with upstream(silent) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            await leave_when(gateway, lambda: bool(one.asked), stream=stream)
            assert await one.left()
            (booked,) = await gateway.ended()
            assert (booked.outcome.status, booked.outcome.error) == (499, "ClientLeft")
            assert booked.cost > 0 and booked.outcome.usage.estimated, "the provider may bill the input"

    run(test)


MESSAGES, CHAT = "/v1/messages", "/v1/chat/completions"
NO_FIGURES = {"prompt_tokens": 0, "completion_tokens": 0}


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (MESSAGES, None),
        *((path, more) for path in (MESSAGES, CHAT) for more in ({}, {"usage": None}, {"error": None})),
        *((path, {"usage": NO_FIGURES}) for path in (MESSAGES, CHAT)),
    ],
)
def test_leaving_in_the_middle_is_booked_as_far_as_it_came(
    tmp_path: Path, path: str, more: dict[str, Any] | None
) -> None:
    """A Messages upstream, then chat upstreams that write `more` into every chunk."""
    native = more is None

    async def test() -> None:
        begun = [start(11), text("x" * 4000)] if more is None else [delta("x" * 1000, **more) for _ in range(4)]
        async with upstream(Answer([*begun, HANG])) as one:
            at = messages(one) if native else chat(one)
            async with process(tmp_path, catalogue(model(at))) as gateway:
                async with gateway.post(path, stream=True) as answer:
                    got = b""
                    while got.count(b"x" * 1000) < 4:
                        got += await answer.content.readany()
                assert await one.left()
                (booked,) = await gateway.ended()
                assert (booked.outcome.status, booked.outcome.error) == (499, "ClientLeft")
                assert 1000 <= booked.outcome.usage.output < 1100
                assert not native or booked.outcome.usage.input == 11
                labels = {"route": "direct", "model": "sonnet", "status": "left"}
                assert await gateway.shows(1, "requests_total", **labels)

    run(test)


SHOT = "A" * 900_000
BLOCKS = {
    MESSAGES: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": SHOT}},
    CHAT: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{SHOT}"}},
}
OF_BEGUN = {MESSAGES: [event("ping"), start(0), text("hi")], CHAT: [delta("hi")]}


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("path", [MESSAGES, CHAT])
def test_leaving_books_no_more_input_than_the_limits_reserved(tmp_path: Path, path: str, begun: bool) -> None:
    """A picture has as many letters as a book, and costs as much as a page. Before the first byte, and after it."""

    async def test() -> None:
        steps = OF_BEGUN[path] if begun else []
        async with upstream(Answer([*steps, HANG])) as one:
            at = messages(one) if path == MESSAGES else chat(one)
            async with process(tmp_path, catalogue(model(at))) as gateway:
                content = [BLOCKS[path], {"type": "text", "text": "What is this?"}]
                asked = {"path": path, "stream": True, "messages": [{"role": "user", "content": content}]}
                if begun:
                    async with gateway.post(**asked) as answer:
                        await answer.content.readany()
                else:
                    await leave_when(gateway, lambda: bool(one.asked), **asked)
                (booked,) = await gateway.ended()
                assert booked.outcome.error == "ClientLeft" and booked.outcome.usage.estimated
                assert IMAGE_TOKENS < booked.outcome.usage.input < IMAGE_TOKENS + 50
                killed = booked.begun.estimate
                assert IMAGE_TOKENS < killed.input < IMAGE_TOKENS + 50, "what a killed process leaves is booked so"

    run(test)


def test_twin_leaving_with_words_of_that_size_books_them(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            upstream(Answer(before=HANG)) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            words = [{"role": "user", "content": [{"type": "text", "text": SHOT}]}]
            await leave_when(gateway, lambda: bool(one.asked), messages=words)
            (booked,) = await gateway.ended()
            assert booked.outcome.usage.input > len(SHOT) // 4

    run(test)


@pytest.mark.parametrize(("size", "most"), [(1000, 1000), (None, 2500)])
def test_leaving_books_no_more_input_than_the_model_can_read(tmp_path: Path, size: int | None, most: int) -> None:
    """A fallback may have a smaller context than the model that was asked for."""

    async def test() -> None:
        async with upstream(Answer([b"{}"], 529)) as one, upstream(Answer(before=HANG)) as two:
            small = model(messages(two, "two"), name="opus", context_tokens=size)
            served = catalogue(model(messages(one)), small, fallbacks={"sonnet": ("opus",)})
            async with process(tmp_path, served) as gateway:
                words = [{"role": "user", "content": "x" * 9900}]
                await leave_when(gateway, lambda: bool(two.asked), messages=words)
                (booked,) = await gateway.ended()
                assert most - 50 < booked.outcome.usage.input <= most

    run(test)


def test_what_a_provider_was_asked_counts_though_the_client_left(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(Answer(before=HANG)) as one:
            who = caller({"requests_per_day": 1, "max_parallel_requests": 1})
            async with process(tmp_path, catalogue(model(messages(one))), who) as gateway:
                await leave_when(gateway, lambda: bool(one.asked))
                await gateway.ended()
                refused = await gateway.ask()
                assert refused.status == 429 and "per day" in refused.told[2], "no slot is left over either"

    run(test)


def test_leaving_while_a_fallback_is_asked_is_booked_at_its_price(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(Answer([b"{}"], 529)) as one, upstream(Answer(before=HANG)) as two:
            opus = model(messages(two, "two"), name="opus")
            served = catalogue(model(messages(one)), opus, fallbacks={"sonnet": ("opus",)})
            async with process(tmp_path, served) as gateway:
                await leave_when(gateway, lambda: bool(two.asked))
                (booked,) = await gateway.ended()
                assert booked.begun.target.id == "two"

    run(test)


def test_leaving_while_the_limiter_is_asked_asks_no_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = asyncio.Event()
    take = LocalCounters.take

    async def slow(self: LocalCounters, call: Any) -> Any:
        answer = await take(self, call)
        waiting.set()
        await asyncio.sleep(5)
        return answer

    async def test() -> None:
        async with upstream(STREAM) as one:
            who = caller({"requests_per_day": 1})
            async with process(tmp_path, catalogue(model(messages(one))), who) as gateway:
                with monkeypatch.context() as patched:
                    patched.setattr(LocalCounters, "take", slow)
                    await leave_when(gateway, waiting.is_set, stream=True)
                assert not one.asked and not gateway.booked() and not gateway.journal.running
                async with asyncio.timeout(5):
                    while (await gateway.ask(stream=True)).status != 200:
                        await asyncio.sleep(0.05)

    run(test)


def test_leaving_a_call_of_litellms_ends_it_too(tmp_path: Path) -> None:
    async def test() -> None:
        async with process(tmp_path, catalogue(model(name="bedrock", reason="provider"))) as gateway:
            gateway.litellm.answers(Answer(before=HANG))
            await leave_when(gateway, lambda: bool(gateway.litellm.asked), model="bedrock")
            assert await gateway.litellm.left()

    run(test)


def test_many_hang_ups_leave_no_task_and_no_slot(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(Answer([start(), text("x"), HANG])) as one:
            who = caller({"max_parallel_requests": 20})
            async with process(tmp_path, catalogue(model(messages(one))), who) as gateway:

                async def hang_up(number: int) -> None:
                    async with gateway.post(stream=True) as answer:
                        assert answer.status == 200
                        await asyncio.sleep(number / 100)

                for _ in range(3):
                    await asyncio.gather(*map(hang_up, range(20)))
                    await gateway.ended()
                assert len(await gateway.ended(60)) == 60
                names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
                assert not [name for name in names if "Direct" in name or name == "_left"], names

    run(test)


# ---- until_left alone


async def never() -> dict[str, Any]:
    await asyncio.Event().wait()
    return {}


async def at_once() -> dict[str, Any]:
    return {"type": "http.disconnect"}


def test_work_that_ends_or_fails_says_so() -> None:
    async def works() -> None:
        done.append(1)

    async def fails() -> None:
        raise ValueError("no")

    async def test() -> None:
        await until_left(never, works())
        with pytest.raises(ValueError, match="no"):
            await until_left(never, fails())
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    done: list[int] = []
    asyncio.run(test())
    assert done == [1]


def test_work_may_clean_up_after_the_client_left() -> None:
    async def works() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            done.append(1)

    async def test() -> None:
        await until_left(at_once, works())
        assert done == [1], "and the caller waits for it"

    done: list[int] = []
    asyncio.run(test())


def test_a_stop_of_the_process_cancels_the_work_and_passes_on() -> None:
    async def works() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            done.append(1)

    async def test() -> None:
        task = asyncio.create_task(until_left(never, works()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert done == [1] and len(asyncio.all_tasks()) == 1

    done: list[int] = []
    asyncio.run(test())


def test_work_that_ends_anyway_leaves_the_task_unharmed() -> None:
    """The client leaves while the last words are written. The task that called is not cancelled."""

    async def works() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    async def test() -> None:
        task = asyncio.current_task()
        assert task is not None
        assert await until_left(at_once, works())
        await asyncio.sleep(0)
        assert task.cancelling() == 0
        assert not await until_left(at_once, asyncio.sleep(60))
        assert task.cancelling() == 0
        async with asyncio.timeout(10):
            await asyncio.sleep(0)

    asyncio.run(test())


def test_a_stop_while_the_client_leaves_is_not_lost() -> None:
    async def works() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaning.set()
            await asyncio.sleep(60)

    async def test() -> None:
        task = asyncio.create_task(until_left(at_once, works()))
        await cleaning.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    cleaning = asyncio.Event()
    asyncio.run(test())


def test_a_connection_that_fails_has_left() -> None:
    async def fails() -> dict[str, Any]:
        raise ConnectionError

    async def test() -> None:
        assert not await until_left(fails, asyncio.sleep(60))

    asyncio.run(test())
