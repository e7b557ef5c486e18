"""Prompts that are longer than a model takes, and requests that only some of its targets can take."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.scripted_upstream import JSON, Answer, error, upstream, whole_chat, whole_message
from tests.unit.services.gateway.process import caller, catalogue, chat, messages, model, process, run

WHOLE, WHOLE_CHAT = Answer([whole_message()], headers=JSON), Answer([whole_chat()], headers=JSON)
LONG = [{"role": "user", "content": "word " * 500}]


def test_a_prompt_longer_than_the_window_makes_claude_code_compact(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            upstream(WHOLE) as one,
            process(tmp_path, catalogue(model(messages(one), context_tokens=100))) as gateway,
        ):
            status, kind, message = (await gateway.ask(messages=LONG)).told
            assert (status, kind) == (400, "invalid_request_error")
            assert message.startswith("prompt is too long: ") and message.endswith(" tokens > 100 maximum")
            assert not one.asked
            assert (await gateway.ended())[0].cost == 0

    run(test)


def test_twin_a_model_without_a_window_takes_any_prompt(tmp_path: Path) -> None:
    """Two models of one upstream name do not share a window."""

    async def test() -> None:
        async with upstream(WHOLE) as one:
            small, other = model(messages(one), context_tokens=100), model(messages(one), name="opus")
            async with process(tmp_path, catalogue(small, other)) as gateway:
                assert (await gateway.ask(messages=LONG, model="opus")).status == 200
                assert (await gateway.ask()).status == 200

    run(test)


@pytest.mark.parametrize("kind", ["image_url", "text"])
def test_a_chats_picture_is_not_too_long_and_words_of_its_size_are(tmp_path: Path, kind: str) -> None:
    async def test() -> None:
        async with upstream(WHOLE_CHAT) as one:
            who = caller({"tokens_per_minute": 5000})
            async with process(tmp_path, catalogue(model(chat(one), context_tokens=20_000)), who) as gateway:
                picture = f"data:image/jpeg;base64,{'A' * 400_000}"
                block = {"type": kind, kind: {"url": picture} if kind == "image_url" else picture}
                words = [{"role": "user", "content": [block]}]
                answer = await gateway.ask("/v1/chat/completions", messages=words)
                assert answer.status == (200 if kind == "image_url" else 429)
                assert len(one.asked) == (kind == "image_url")

    run(test)


@pytest.mark.parametrize("declared", [True, False])
def test_a_model_with_a_larger_window_answers_instead(tmp_path: Path, declared: bool) -> None:
    """The window is declared, or the upstream itself says that the prompt is too long."""

    async def test() -> None:
        said = error(400, "invalid_request_error", "prompt is too long: 900 tokens > 100 maximum")
        async with upstream(said) as one, upstream(WHOLE) as two:
            small = model(messages(one), context_tokens=100 if declared else None)
            large = model(messages(two, "two"), name="large", context_tokens=1000)
            served = catalogue(small, large, longer={"sonnet": ("large",)})
            async with process(tmp_path, served) as gateway:
                assert (await gateway.ask(messages=LONG)).status == 200
                assert (len(one.asked), len(two.asked)) == (not declared, 1)

    run(test)


@pytest.mark.parametrize("window", [1000, 200])
def test_a_larger_window_must_be_allowed_and_large_enough(tmp_path: Path, window: int) -> None:
    async def test() -> None:
        async with upstream(WHOLE) as one:
            small = model(messages(one), context_tokens=100)
            large = model(messages(one, "two"), name="large", context_tokens=window)
            served = catalogue(small, large, longer={"sonnet": ("large",)})
            who = caller(team={"models": ["sonnet"] if window == 1000 else []})
            async with process(tmp_path, served, who) as gateway:
                assert (await gateway.ask(messages=LONG)).status == 400
                assert not one.asked

    run(test)


def test_a_larger_window_that_only_litellm_serves_is_handed_over(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(WHOLE) as one:
            small = model(messages(one), context_tokens=100)
            served = catalogue(small, model(name="large", reason="provider"), longer={"sonnet": ("large",)})
            async with process(tmp_path, served) as gateway:
                assert (await gateway.ask(messages=LONG)).text == b'{"handed":"over"}'

    run(test)


# Requests that chat completions cannot say: one for good, one that LiteLLM might know.
FINAL, UNKNOWN = {"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}, {"next_weeks_field": 1}


@pytest.mark.parametrize("fields", [FINAL, UNKNOWN])
def test_a_target_that_can_say_it_is_asked_instead(tmp_path: Path, fields: dict[str, object]) -> None:
    async def test() -> None:
        async with upstream(WHOLE_CHAT) as one, upstream(WHOLE) as two:
            served = catalogue(model(chat(one), messages(two, "two", order=2)), allowed_fails=0, cooldown_s=60.0)
            async with process(tmp_path, served) as gateway:
                assert (await gateway.ask(**fields)).status == 200
                assert (len(one.asked), len(two.asked)) == (0, 1)
                assert (await gateway.ask()).status == 200
                assert len(one.asked) == 1, "the target is not to blame, so it does not rest"

    run(test)


def test_twin_without_such_a_target_it_is_a_400_that_costs_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(WHOLE_CHAT) as one:
            who = caller({"requests_per_hour": 1})
            async with process(tmp_path, catalogue(model(chat(one))), who) as gateway:
                refused = await gateway.ask(**FINAL)
                assert refused.told[:2] == (400, "invalid_request_error") and "mcp_servers" in refused.told[2]
                assert (await gateway.ask()).status == 200
                booked = await gateway.ended(2)
                assert (booked[0].cost, booked[0].outcome.status) == (0, 400)

    run(test)
