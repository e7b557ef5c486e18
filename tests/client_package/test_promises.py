"""The promises of the router under attack: money, what is paid, what it reads, and who answers meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any

import pytest

from tests.client_package.gateway import KEY, Front, entry
from tests.client_package.test_connection import LIST
from tests.client_package.test_failures import WHOLE, asking
from tests.client_package.test_router import HELLO, OVERLOADED, routing, user
from tests.support.scripted_upstream import JSON, RESET, Answer, Upstream, error
from tollgate_client import ChatMessage, LiteLLMProvider, Router, sync
from tollgate_client.availability import Availability
from tollgate_client.errors import (
    BadRequestError,
    ConfigurationError,
    GatewayConnectionError,
    GatewayFaultError,
    MaxCostError,
    OverloadedError,
    RefusedKeyError,
    StreamInterruptedError,
)
from tollgate_client.model_info import ModelInfo, RateLimits
from tollgate_client.models import ChatCompletion
from tollgate_client.prices import Price
from tollgate_client.routing import money, task
from tollgate_client.routing.plan import Offer
from tollgate_client.routing.request import Request
from tollgate_client.routing.run import Run

FAULT = (500, {}, {"message": "A fault.", "type": "api_error"})
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
DOCUMENT = {"type": "document", "source": {"type": "base64", "data": "AAAA"}}
EMPTY = Answer([b'{"data": []}'], headers=JSON)


def result(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [part]}]}]


# ---- what counts


def test_an_image_counts_wherever_it_is() -> None:
    plain = task.read(user_parts(IMAGE), {})
    inside = task.read(result(IMAGE), {})
    for found in (plain, inside):
        assert found.most_input is not None and found.most_input > task.IMAGE_TOKENS
        assert found.needs == {"images"}
    named = task.read(user_parts({**IMAGE, "text": "x" * 999}), {})
    assert named.most_input is not None and plain.most_input is not None and named.most_input > plain.most_input + 999


def user_parts(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def test_a_document_inside_a_result_has_no_known_size() -> None:
    found = task.read(result(DOCUMENT), {})
    assert found.most_input is None and found.needs == {"documents"}
    assert task.read(result({"type": "text", "text": "x"}), {}).most_input is not None


@pytest.mark.parametrize("name", ["tools", "response_format", "functions", "documents", "chat_template_kwargs"])
def test_every_field_counts_with_its_punctuation(name: str) -> None:
    """{"a":{},"b":{}} is more tokens than its two letters."""
    properties = {f"p{number}": {} for number in range(1000)}
    stated = [{"function": {"parameters": properties}}] if name == "tools" else {"schema": properties}
    messages = [{"role": "user", "content": "x"}]
    without, found = task.read(messages, {}), task.read(messages, {name: stated})
    assert found.most_input is not None and without.most_input is not None
    assert found.most_input - without.most_input >= 1000 * len('"p123":{},') - 1000


@pytest.mark.parametrize(
    ("messages", "more", "writes"),
    [
        ([{"role": "user", "content": "x"}], {"cache_control": {"type": "ephemeral"}}, True),
        (user_parts({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}), {}, True),
        ([{"role": "user", "content": "x"}], {"seed": 1}, False),
    ],
)
def test_a_cache_that_is_asked_for_counts(messages: list[dict[str, Any]], more: dict[str, Any], writes: bool) -> None:
    assert task.read(messages, more).writes_cache is writes


def test_a_cache_that_costs_more_than_input_counts_unasked() -> None:
    price = Price(Decimal(1), Decimal(0), Decimal(3), Decimal(1), Decimal(9))
    assert money.room(price, 1_000_000, False, 1, 1, None, Decimal(5)).bound == 3
    assert money.room(price, 1_000_000, True, 1, 1, None, Decimal(9)).bound == 9


def test_the_decimal_context_of_a_program_changes_no_promise() -> None:
    given = (Price(*[Decimal("3.123456")] * 5), 123_457, False, 1, None, None, Decimal("0.5123456"))
    with localcontext(prec=3):
        rounded = money.room(*given)
    assert rounded == money.room(*given) and rounded.bound is not None and rounded.bound <= Decimal("0.5123456")


def test_an_answer_has_room_in_the_context(gateway: Front) -> None:
    gateway.models = [entry("tiny", {"input": "1", "output": "1"}, context_tokens=2000, max_output_tokens=None)]

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        await router.route_request(HELLO, max_cost=100)
        await router.route_request(HELLO, max_cost=100, max_tokens=300)
        first, second = [body["max_tokens"] for body in gateway.sent()]
        assert 1500 < first < 2000 and second == 300

    routing(gateway, test)


@pytest.mark.parametrize("field", ["fallbacks", "models", "route", "preset"])
def test_another_model_cannot_be_asked_for_beside_max_cost(field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        money.answers_of({field: ["opus"]})


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": 0, "completion_tokens": 1}, None])
def test_an_answer_without_a_usage_spends_all_that_it_could(usage: Any) -> None:
    run, offer = priced_run()
    run.answered(offer, 10, Decimal("0.4"), ChatCompletion.model_validate({"choices": [], "usage": usage}))
    assert run.left == Decimal("0.6") and run.attempts[0].cost is None


def test_twin_a_usage_counts() -> None:
    run, offer = priced_run()
    usage = {"prompt_tokens": 100_000, "completion_tokens": 0}
    run.answered(offer, 10, Decimal("0.4"), ChatCompletion.model_validate({"choices": [], "usage": usage}))
    assert run.left == Decimal("0.9") and run.attempts[0].cost == Decimal("0.1")


def priced_run() -> tuple[Run, Offer]:
    request = Request.of(HELLO, {}, None, None, 1)
    return Run(request), Offer("a", ModelInfo("m", price=Price(*[Decimal(1)] * 5)))


# ---- fallbacks of the gateway


def with_fallback(*names: str) -> list[dict[str, Any]]:
    cheap = entry("cheap", {"input": "0.1", "output": "0.1"}, fallbacks=list(names))
    return [cheap, entry("dear", {"input": "10", "output": "10"})]


def test_the_price_of_a_fallback_counts_for_the_promise(gateway: Front) -> None:
    async def test(router: Router, provider: LiteLLMProvider) -> None:
        gateway.models = with_fallback("dear")
        with pytest.raises(MaxCostError) as caught:
            await router.route_request(HELLO, max_cost="0.0005", max_tokens=64)
        assert caught.value.needed > Decimal("0.0006")
        gateway.models = with_fallback("hidden")
        await provider.get_available_models()
        assert (await router.route_request(HELLO)).route.model == "cheap"
        with pytest.raises(MaxCostError, match="gateway/dear"):
            await router.route_request(HELLO, max_cost="0.0005", max_tokens=64)

    routing(gateway, test, strategy="cost_optimized")


def test_twin_without_a_fallback_its_own_price_counts(gateway: Front) -> None:
    gateway.models = with_fallback()

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        answer = await router.route_request(HELLO, max_cost="0.0005", max_tokens=64)
        assert (
            answer.route.model == "cheap" and answer.route.bound is not None and answer.route.bound < Decimal("0.0001")
        )

    routing(gateway, test, strategy="cost_optimized")


# ---- what is read


@pytest.mark.parametrize(
    ("messages", "more", "words"),
    [
        ("hello", {}, "a list of messages"),
        ([5], {}, "ChatMessage or mapping"),
        ({"role": "user"}, {}, "a list of messages"),
        (HELLO, {"tools": ["search"]}, "tools as a list"),
        (HELLO, {"tools": "search"}, "tools as a list"),
        (HELLO, {"model": "m"}, "no field model"),
        (HELLO, {"stream": True}, "no field stream"),
    ],
)
def test_a_request_of_a_wrong_kind_is_refused(gateway: Front, messages: Any, more: dict[str, Any], words: str) -> None:
    router = sync.Router({"gateway": sync.LiteLLMProvider(gateway.url, KEY)})
    for ask in (router.select_model, router.route_request):
        with pytest.raises(ConfigurationError, match=words):
            ask(messages, max_cost=1, **more)
    assert gateway.sent() == []


def test_messages_are_read_once(gateway: Front) -> None:
    def once() -> Iterator[ChatMessage]:
        yield from HELLO

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        await router.route_request(once(), accept=lambda _: False)  # type: ignore[arg-type]
        assert [len(body["messages"]) for body in gateway.sent()] == [1, 1, 1]
        gateway.bodies.clear()
        changing = list(HELLO)

        def empties(_: ChatCompletion) -> bool:
            changing.clear()
            return False

        await router.route_request(changing, accept=empties)
        assert [len(body["messages"]) for body in gateway.sent()] == [1, 1, 1]

    routing(gateway, test, strategy="cascade")


# ---- what is paid


def test_a_paid_answer_is_not_lost_when_the_next_model_fails(gateway: Front) -> None:
    gateway.refusals["test-model"] = FAULT

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        answer = await router.route_request(HELLO, accept=lambda _: "no", max_cost=1)
        assert answer.text and not answer.route.passed and answer.route.model == "small-model"
        assert [attempt.problem for attempt in answer.route.attempts] == ["no", "GatewayFaultError"]
        assert answer.route.cost is None, "the second may have been paid"
        assert answer.route.bound is not None and answer.route.bound > (answer.route.attempts[0].cost or 0)

    routing(gateway, test, strategy="cascade")


def test_twin_a_first_model_that_fails_raises(gateway: Front) -> None:
    gateway.refusals["small-model"] = FAULT

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        with pytest.raises(GatewayFaultError):
            await router.route_request(HELLO, accept=lambda _: "no")
        assert len(gateway.sent()) == 1

    routing(gateway, test, strategy="cascade")


@pytest.mark.parametrize(("verdict", "passes"), [(True, True), ("", True), (1, True), (None, False), (0, False)])
def test_a_check_that_forgets_to_answer_does_not_pass(gateway: Front, verdict: Any, passes: bool) -> None:
    async def test(router: Router, provider: LiteLLMProvider) -> None:
        assert (await router.route_request(HELLO, accept=lambda _: verdict)).route.passed is passes

    routing(gateway, test, strategy="cascade")


async def later(answer: ChatCompletion) -> bool:
    return False


@pytest.mark.parametrize(
    "options", [{"accept": later}, {"accept": "no"}, {"schema": dict}, {"schema": {"type": "object"}}]
)
def test_a_check_that_cannot_be_used_is_refused_before_anything_is_paid(
    gateway: Front, options: dict[str, Any]
) -> None:
    async def test(router: Router, provider: LiteLLMProvider) -> None:
        with pytest.raises(ConfigurationError, match=r"expected (accept|schema)"):
            await router.route_request(HELLO, **options)

    routing(gateway, test)
    assert gateway.paths == []


# ---- who answers


def test_calls_at_the_same_time_keep_to_the_rate_limit(gateway: Front) -> None:
    limited = {"small-model": {"rate_limits": {"requests_per_minute": 2}}}

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        answers = await asyncio.gather(*[router.route_request(HELLO, max_tokens=5) for _ in range(6)])
        asked = [answer.route.model for answer in answers]
        assert (asked.count("small-model"), asked.count("test-model")) == (2, 4)

    routing(gateway, test, strategy="cost_optimized", custom_models=limited)


def test_a_stream_counts_when_it_begins(gateway: Front) -> None:
    async def test(router: Router, provider: LiteLLMProvider) -> None:
        limits = RateLimits(requests_per_minute=1)
        stream = provider.stream_chat_completion(user("hello [[tokens=400 tps=20]]"), "m")
        assert provider.availability.why_not("m", limits) == ""
        async with stream:
            await anext(stream)
        assert "1 requests a minute" in provider.availability.why_not("m", limits)
        again = provider.stream_chat_completion(HELLO, "once")
        assert [chunk async for chunk in again] and [chunk async for chunk in again] == []
        assert provider.availability.why_not("once", RateLimits(requests_per_minute=2)) == ""

    routing(gateway, test)


@pytest.mark.parametrize(
    ("failure", "others"),
    [
        (StreamInterruptedError("cut"), True),
        (GatewayConnectionError("reset", sent=True), True),
        (GatewayConnectionError("refused"), False),
    ],
)
def test_a_model_that_breaks_off_rests_alone(failure: GatewayConnectionError, others: bool) -> None:
    rests = Availability()
    rests.failed("m", failure)
    assert rests.why_not("m", RateLimits())
    assert (rests.why_not("other", RateLimits()) == "") is others


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", None])
def test_one_gateway_that_is_away_stops_no_other(gateway: Front, url: str | None) -> None:
    """Also one whose proxy answers 503 for it, and for the method that asks no model."""

    async def test() -> None:
        async with (
            LiteLLMProvider(gateway.url, KEY) as here,
            LiteLLMProvider(url or away.url, KEY, max_retries=0) as gone,
        ):
            router = Router({"away": gone, "here": here})
            assert (await router.route_request(HELLO)).route.provider == "here"
            # It blocks, and the server is in this loop.
            assert (await asyncio.to_thread(router.select_model, HELLO)).provider == "here"
            with pytest.raises((GatewayConnectionError, OverloadedError)):
                await asyncio.to_thread(Router({"away": gone}).select_model, HELLO)

    away: Upstream

    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        nonlocal away
        away = server
        await test()

    asking(error(503), then=then)


def test_twin_a_refused_key_is_told(gateway: Front) -> None:
    async def test() -> None:
        async with LiteLLMProvider(gateway.url, KEY) as here, LiteLLMProvider(gateway.url, "sk-wrong") as wrong:
            router = Router({"here": here, "wrong": wrong})
            with pytest.raises(RefusedKeyError):
                await router.route_request(HELLO)
            with pytest.raises(RefusedKeyError):
                router.select_model(HELLO)

    asyncio.run(test())


def test_many_requests_do_not_wait_for_a_gateway_that_is_away(gateway: Front) -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        async with LiteLLMProvider(gateway.url, KEY) as here:
            router = Router({"away": provider, "here": here})
            for _ in range(3):
                assert (await router.route_request(HELLO)).route.provider == "here"
        assert len(server.asked) == 1

    asking(Answer(before=RESET), then=then, max_retries=0)


def test_a_list_that_fails_leaves_a_router_the_known_models() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        router = Router({"a": provider})
        for _ in range(2):
            assert (await router.route_request(HELLO)).route.model == "small-model"
        assert [asked.path for asked in server.asked] == ["/v1/models", "/v1/chat/completions"] * 2

    asking(LIST, WHOLE, error(503), WHOLE, then=then, max_retries=0, models_ttl=0)


def test_a_connection_that_fails_is_tried_again_also_by_a_router(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "tollgate_client")
    free = {"pricing": {"input": 0, "output": 0}}

    async def test() -> None:
        async with LiteLLMProvider("http://127.0.0.1:9", KEY, {"m": free, "n": free}) as provider:
            with pytest.raises(GatewayConnectionError):
                await Router({"a": provider}, "cost_optimized").route_request(HELLO)

    asyncio.run(test())
    assert caplog.text.count("POST /v1/chat/completions: GatewayConnectionError") == 3, "three attempts of one model"


@pytest.mark.parametrize("count", [Answer(before=RESET), error(503), Answer([b"{}"], headers=JSON)])
def test_a_prompt_that_cannot_be_counted_does_not_fit(count: Answer) -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        provider.add_custom_model("m", {"input_per_million": 1, "output_per_million": 1})
        with pytest.raises(MaxCostError):
            await Router({"a": provider}).route_request(user("x" * 5000), max_cost="0.002")
        assert [asked.path for asked in server.asked] == ["/v1/models", "/v1/messages/count_tokens"]

    asking(EMPTY, count, then=then, max_retries=0)


def test_an_overloaded_model_at_every_step_says_so(gateway: Front) -> None:
    gateway.refusals = dict.fromkeys(("small-model", "test-model", "large-model"), OVERLOADED)

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        with pytest.raises(OverloadedError):
            await router.route_request(HELLO)

    routing(gateway, test, strategy="cascade")


def test_an_overloaded_model_is_not_waited_for_while_there_is_another(gateway: Front) -> None:
    """The gateway asks to wait 30 seconds; the next model answers at once."""
    waits = (529, {"retry-after": "30", "x-should-retry": "true"}, {"message": "No room."})
    gateway.refusals = {"small-model": waits}

    async def test() -> None:
        async with LiteLLMProvider(gateway.url, KEY) as provider, asyncio.timeout(10):
            answer = await Router({"gateway": provider}, "cost_optimized").route_request(HELLO)
            assert [one.model for one in answer.route.attempts] == ["small-model", "test-model"]

    asyncio.run(test())


def test_twin_the_last_model_is_waited_for(gateway: Front) -> None:
    waits = (529, {"retry-after": "0", "x-should-retry": "true"}, {"message": "No room."})
    gateway.refusals = dict.fromkeys(("small-model", "test-model", "large-model"), waits)

    async def test() -> None:
        async with LiteLLMProvider(gateway.url, KEY, max_retries=2) as provider:
            with pytest.raises(OverloadedError):
                await Router({"gateway": provider}, "cost_optimized").route_request(HELLO)

    asyncio.run(test())
    assert [body["model"] for body in gateway.sent()] == ["small-model", "test-model", *["large-model"] * 3]


def test_a_wrong_request_is_not_tried_on_every_model(gateway: Front) -> None:
    gateway.refusals["small-model"] = (400, {}, {"message": "Wrong.", "type": "invalid_request_error"})

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        with pytest.raises(BadRequestError):
            await router.route_request(HELLO)
        assert len(gateway.sent()) == 1

    routing(gateway, test, strategy="cascade")
