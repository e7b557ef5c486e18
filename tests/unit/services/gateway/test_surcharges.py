"""No model gets a field with a surcharge: neither the one that the client asked for, nor one that answers instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import JSON, Answer, Upstream, error, upstream, whole_chat, whole_message
from tests.support.surcharges import NAMES, SURCHARGES
from tests.unit.services.gateway.process import catalogue, chat, messages, model, process, run
from tollgate.services.gateway.catalogue import Catalogue

WHOLE, WHOLE_CHAT = Answer([whole_message()], headers=JSON), Answer([whole_chat()], headers=JSON)
DOWN = error(529, "overloaded_error", "busy")
CHAT = "/v1/chat/completions"


def asked_for(down: Upstream, up: Upstream) -> Catalogue:
    return catalogue(model(messages(up)))


def fallback(down: Upstream, up: Upstream) -> Catalogue:
    native = model(messages(up, "two"), name="opus")
    return catalogue(model(chat(down)), native, fallbacks={"sonnet": ("opus",)})


def for_long_prompts(down: Upstream, up: Upstream) -> Catalogue:
    native = model(messages(up, "two"), name="opus")
    return catalogue(model(chat(down), context_tokens=1), native, longer={"sonnet": ("opus",)})


def told_too_long(down: Upstream, up: Upstream) -> Catalogue:
    """The upstream itself says that the prompt is too long."""
    native = model(messages(up, "two"), name="opus")
    return catalogue(model(chat(down)), native, longer={"sonnet": ("opus",)})


PLACES = [asked_for, fallback, for_long_prompts, told_too_long]
TOO_LONG = error(400, "invalid_request_error", "This model's maximum context length is 8 tokens.")


def says(place: Any) -> Answer:
    return TOO_LONG if place is told_too_long else DOWN


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("field", SURCHARGES, ids=NAMES)
def test_a_server_with_the_messages_api_never_gets_the_field(tmp_path: Path, place: Any, field: dict[str, Any]) -> None:
    async def test() -> None:
        async with (
            upstream(says(place)) as down,
            upstream(WHOLE) as up,
            process(tmp_path, place(down, up)) as gateway,
        ):
            answer = await gateway.ask(**field)
            assert not up.asked
            # LiteLLM gets what the converter does not know. A replica leaves the model out too.
            handed = gateway.litellm.asked and not field.keys() & {"service_tier", "speed"}
            assert handed or answer.status in (400, 529)
            if place is asked_for:
                assert answer.status == 400 and next(iter(field)) in answer.told[2]

    run(test)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("field", [{}, {"service_tier": "auto"}, {"speed": "standard"}], ids=["none", "tier", "speed"])
def test_twin_at_base_price_it_answers(tmp_path: Path, place: Any, field: dict[str, Any]) -> None:
    async def test() -> None:
        async with (
            upstream(says(place)) as down,
            upstream(WHOLE) as up,
            process(tmp_path, place(down, up)) as gateway,
        ):
            assert (await gateway.ask(**field)).status == 200
            assert len(up.asked) == 1

    run(test)


@pytest.mark.parametrize("field", SURCHARGES, ids=NAMES)
def test_a_chat_server_never_gets_the_field(tmp_path: Path, field: dict[str, Any]) -> None:
    async def test() -> None:
        async with upstream(WHOLE_CHAT) as one, process(tmp_path, catalogue(model(chat(one)))) as gateway:
            assert (await gateway.ask(CHAT, **field)).status == 400
            assert not one.asked
            answer = await gateway.ask(**field)
            assert answer.status == (400 if field.keys() & {"models", "inference_geo"} else 200)
            assert not any(asked.body.keys() & field.keys() for asked in one.asked)

    run(test)


def test_twin_a_fallback_that_gets_a_translated_request_answers(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(DOWN) as down, upstream(WHOLE) as native, upstream(WHOLE_CHAT) as up:
            third = model(chat(up, "three"), name="gpt")
            second = model(messages(native, "two"), name="opus")
            served = catalogue(model(chat(down)), second, third, fallbacks={"sonnet": ("opus", "gpt")})
            async with process(tmp_path, served) as gateway:
                answer = await gateway.ask(speed="fast")
                assert (answer.status, answer.headers["tollgate-answered-by"]) == (200, "gpt")
                assert not native.asked and "speed" not in up.asked[0].body

    run(test)
