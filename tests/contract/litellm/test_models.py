"""config/gateway.yaml's catalogue in a real LiteLLM: the target that a request reaches, and its cost."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.contract.litellm.catalogue import MODELS, Asker, asker, forget, recorded, upstreams
from tests.contract.litellm.gateway import Gateway, running_gateway
from tests.support import plain
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker

ROUTES = ["/v1/messages", "/v1/chat/completions"]
EVERYTHING: list[str] = []
TOOL = {"name": "ls", "description": "lists", "input_schema": {"type": "object", "properties": {}}}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("catalogue"), gateway_yaml=MODELS) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def anyone(catalogue: Gateway) -> Asker:
    """A tenant that may use every model."""
    return asker(catalogue, EVERYTHING)


def test_weights_distribute_the_requests(catalogue: Gateway, anyone: Asker) -> None:
    forget(catalogue)
    for _ in range(140):
        assert anyone.ask("spread").status_code == 200
    asked = upstreams(catalogue)
    # 126 and 14 are expected; by chance, less than one run in a million exceeds a limit.
    assert len(asked) == 140
    assert 105 <= asked.count("spread-often") < 140
    assert 0 < asked.count("spread-seldom") <= 35


@pytest.mark.parametrize("path", ROUTES)
def test_a_target_that_fails_is_followed_by_the_next_in_order(anyone: Asker, path: str) -> None:
    answer, asked = anyone.reached("ordered", path=path)
    assert answer.status_code == 200, answer.text
    assert asked[-1] == "ordered-second"
    assert set(asked[:-1]) <= {"ordered-first"}


def test_a_failing_target_is_followed_by_another_of_the_same_order(anyone: Asker) -> None:
    for _ in range(3):
        answer, asked = anyone.reached("halves")
        assert answer.status_code == 200, answer.text
        assert asked[-1] == "halves-up"


def test_a_rate_limited_upstream_is_followed_by_the_next_immediately(anyone: Asker) -> None:
    answer, asked = anyone.reached("refusing")
    assert answer.status_code == 200, answer.text
    assert asked in (["refusing-one", "refusing-two"], ["refusing-two"])


def test_a_failing_target_cools_down_and_is_used_again(anyone: Asker) -> None:
    def only_second() -> bool:
        return anyone.reached("ordered")[1] == ["ordered-second"]

    eventually(only_second, within=30)
    eventually(lambda: "ordered-first" in anyone.reached("ordered")[1], within=30, every=0.5)


@pytest.mark.parametrize("path", ROUTES)
def test_the_only_target_never_cools_down(anyone: Asker, path: str) -> None:
    """No other target could answer, so each request is sent, and the client gets the provider's own error."""
    for status in (500, 503, 429, 529, 401, 404):
        for _ in range(2):
            answer = anyone.ask("test-model", text=f"[[status={status}]]", path=path)
            assert "No deployments available" not in answer.text, status
            assert answer.status_code >= 400
        answer = anyone.ask("test-model", path=path)
        assert answer.status_code == 200, (status, answer.text)


@pytest.mark.parametrize("path", ROUTES)
def test_a_chain_is_followed_to_its_end(anyone: Asker, path: str) -> None:
    answer, asked = anyone.reached("first", path=path)
    assert answer.status_code == 200, answer.text
    assert list(dict.fromkeys(asked)) == ["first", "second", "third"]


def test_an_alias_of_a_chain_begins_with_its_first_model(anyone: Asker) -> None:
    answer, asked = anyone.reached("code")
    assert answer.status_code == 200, answer.text
    assert list(dict.fromkeys(asked)) == ["first", "second", "third"]


def test_an_alias_reaches_its_model(anyone: Asker) -> None:
    answer, asked = anyone.reached("big")
    assert (answer.status_code, asked) == (200, ["third"])


def test_a_fallback_never_reaches_a_model_that_is_not_allowed(catalogue: Gateway, anyone: Asker) -> None:
    limited = asker(catalogue, ["leading"])
    answer, asked = limited.reached("leading")
    assert answer.status_code >= 500, answer.text
    assert set(asked) == {"leading"}
    answer, asked = anyone.reached("leading")
    assert answer.status_code == 200
    assert asked[-1] == "guarded"


@pytest.mark.parametrize("path", ROUTES)
def test_a_prompt_that_is_too_long_goes_to_its_configured_fallback(anyone: Asker, path: str) -> None:
    answer, asked = anyone.reached("narrow", text="word " * 500, path=path)
    assert answer.status_code == 200, answer.text
    assert asked == ["wide"]


def test_a_prompt_that_is_too_long_does_not_use_other_fallbacks(anyone: Asker) -> None:
    """Clients compact a conversation after this error, so they must get it."""
    answer, asked = anyone.reached("tight", text="word " * 500)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"].startswith("prompt is too long: ")
    assert asked == []


def test_a_request_that_a_provider_calls_malformed_is_not_retried(anyone: Asker) -> None:
    answer, asked = anyone.reached("misread")
    assert answer.status_code == 400, answer.text
    assert asked == ["misread"]


@pytest.mark.parametrize("more", [{}, {"stream": True}], ids=["whole", "stream"])
@pytest.mark.parametrize("path", ROUTES)
def test_a_content_refusal_goes_to_its_configured_fallback(anyone: Asker, path: str, more: dict[str, object]) -> None:
    answer, asked = anyone.reached("prim", path=path, **more)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    assert asked == ["prim", "third"]
    assert ':"refusal"' not in answer.text.replace(" ", ""), "the client got the refusal"


@pytest.mark.parametrize(("path", "status"), [("/v1/messages", 200), ("/v1/chat/completions", 400)])
def test_twin_without_such_a_fallback_the_client_gets_the_refusal(anyone: Asker, path: str, status: int) -> None:
    """The refusal has the provider's form, and other fallbacks are not used."""
    answer, asked = anyone.reached("prudish", path=path)
    assert (answer.status_code, asked) == (status, ["prudish"]), answer.text
    if status == 200:
        assert answer.json()["stop_reason"] == "refusal"
    else:
        assert "not allowed by our usage policy" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ROUTES)
def test_a_model_without_a_price_in_litellms_list_is_not_served(anyone: Asker, path: str) -> None:
    """LiteLLM would count no cost, so no budget would ever stop it."""
    answer, asked = anyone.reached("unlisted", path=path)
    assert (answer.status_code, asked) == (403, [])
    assert "has no price" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ROUTES)
def test_max_tokens_is_lowered_to_the_models_maximum(anyone: Asker, catalogue: Gateway, path: str) -> None:
    for asked, sent in ((400, 400), (9000, 500)):
        forget(catalogue)
        assert anyone.ask("test-model", path=path, max_tokens=asked).status_code == 200
        assert [request["body"]["max_tokens"] for request in recorded(catalogue)] == [sent]


@pytest.mark.parametrize("path", ROUTES)
def test_a_custom_provider_gets_its_headers_and_no_key_of_ours(anyone: Asker, catalogue: Gateway, path: str) -> None:
    forget(catalogue)
    answer = anyone.ask("custom-llm", path=path)
    assert answer.status_code == 200, answer.text
    (request,) = recorded(catalogue)
    assert request["path"] == "/v1/chat/completions"
    headers = dict(request["headers"])
    assert headers["x-custom-header"] == "value"
    assert catalogue.master_key.reveal() not in str(headers)


def test_a_target_can_have_a_shorter_timeout(anyone: Asker) -> None:
    answer = anyone.ask("hasty")
    assert answer.status_code in (408, 504, 529, 503), answer.text


def test_the_configured_price_is_billed(catalogue: Gateway) -> None:
    """Exactly: prompt, answer, and tokens read from and written to the provider's cache."""
    payer = asker(catalogue, EVERYTHING)
    cached = {"type": "text", "text": "context " * 200, "cache_control": {"type": "ephemeral"}}
    turns = [
        {"role": "user", "content": [cached]},
        {"role": "assistant", "content": "noted"},
        {"role": "user", "content": [{"type": "text", "text": "go on", "cache_control": {"type": "ephemeral"}}]},
    ]
    due = 0.0
    for messages in ([{"role": "user", "content": "hello"}], turns[:1], turns):
        usage = payer.ask("test-model", messages=messages).json()["usage"]
        read, written = usage.get("cache_read_input_tokens", 0), usage.get("cache_creation_input_tokens", 0)
        due += usage["input_tokens"] * 0.001 + usage["output_tokens"] * 0.005 + read * 0.0001 + written * 0.00125
    assert read > 0
    assert written > 0
    assert payer.booked(3) == pytest.approx(due, abs=0.00005)


def test_a_fallback_is_billed_at_its_own_price(catalogue: Gateway) -> None:
    payer = asker(catalogue, EVERYTHING)
    usage = payer.ask("first").json()["usage"]
    assert payer.booked(1) == pytest.approx((usage["input_tokens"] + usage["output_tokens"]) * 0.002, abs=0.00005)


@pytest.mark.parametrize(
    ("more", "reached"),
    [
        ({}, "cheap-blind"),
        ({"text": "word " * 1500}, "fair-handless"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "fair-handless"),
        ({"messages": [{"role": "user", "content": [IMAGE]}], "tools": [TOOL]}, "dear-able"),
        ({"tools": [TOOL]}, "cheap-blind"),
        ({"stream": True}, "cheap-blind"),
    ],
    ids=["nothing", "long", "image", "image and tool", "tool", "stream"],
)
def test_auto_is_the_cheapest_suitable_model(anyone: Asker, more: dict[str, object], reached: str) -> None:
    answer, asked = anyone.reached("auto", **more)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    assert asked == [reached]
    assert answer.headers["x-tollgate-model"] == reached


def test_auto_chooses_only_models_that_the_tenant_may_use(catalogue: Gateway) -> None:
    answer, asked = asker(catalogue, ["auto", "dear-able"]).reached("auto")
    assert (answer.status_code, asked) == (200, ["dear-able"])
    answer, asked = asker(catalogue, ["cheap-blind"]).reached("auto")
    assert (answer.status_code, asked) == (403, [])
    answer, asked = asker(catalogue, ["auto"]).reached("auto")
    assert (answer.status_code, asked) == (403, [])


def test_auto_is_billed_as_the_chosen_model(catalogue: Gateway) -> None:
    payer = asker(catalogue, ["auto", "fair-handless"])
    usage = payer.ask("auto").json()["usage"]
    assert payer.booked(1) == pytest.approx((usage["input_tokens"] + usage["output_tokens"]) * 0.0001, abs=0.000001)


def test_auto_does_not_cost_more_than_its_limit(anyone: Asker, catalogue: Gateway) -> None:
    able = asker(catalogue, ["auto", "dear-able"])
    answer, asked = able.reached("auto", max_tokens=5000)
    assert (answer.status_code, asked) == (400, [])
    assert "the limit is $2" in answer.text
    answer, asked = anyone.reached("auto", headers={"x-tollgate-max-cost": "0.0001"})
    assert (answer.status_code, asked) == (400, [])


def test_auto_is_listed_as_a_model(anyone: Asker) -> None:
    listed = anyone.gateway.get(anyone.key, "/v1/models").json()["data"]
    assert {"auto", "spread", "big", "code"} <= {model["id"] for model in listed}


@pytest.mark.parametrize("more", [{}, {"stream": True}], ids=["whole", "stream"])
def test_a_cached_answer_is_only_for_its_own_tenant(catalogue: Gateway, more: dict[str, object]) -> None:
    first, other = asker(catalogue, EVERYTHING), asker(catalogue, EVERYTHING)
    question = f"what is {first.team}?"

    def asked(who: Asker) -> list[str]:
        path = "/v1/chat/completions"
        answer, reached = who.reached("third", text=question, again=True, path=path, **more)
        assert answer.status_code == 200, answer.text
        return reached

    assert asked(first) == ["third"]
    # LiteLLM caches an answer after it was sent.
    eventually(lambda: asked(first) == [], within=30)
    assert asked(other) == ["third"]
    # A client cannot ask for another tenant's answer either: it may not set options of the cache.
    stranger = asker(catalogue, EVERYTHING)
    order = {"cache": {"namespace": f"tenant:{first.team}"}}
    refused, reached = stranger.reached(
        "third", text=question, again=True, path="/v1/chat/completions", **more, **order
    )
    assert (refused.status_code, reached) == (400, [])
    assert "cache" in refused.json()["error"]["message"]


def test_a_cached_answer_on_v1_messages_has_anthropics_form(catalogue: Gateway) -> None:
    """LiteLLM translates a message to a chat call. It would return the cached OpenAI answer of that call."""
    tenant = asker(catalogue, EVERYTHING)
    for model in ("third", "custom-llm"):
        for _ in range(3):
            answer = tenant.ask(model, text=f"what is {tenant.team}?", again=True)
            assert answer.status_code == 200, answer.text
            assert answer.json()["type"] == "message"
            assert answer.json()["content"][0]["text"]


@pytest.mark.parametrize("model", ["twin-open", "twin-free", "same", "twin-down"])
@pytest.mark.parametrize("path", ROUTES)
def test_a_model_gets_no_limits_of_other_models_of_its_upstream(
    catalogue: Gateway, anyone: Asker, model: str, path: str
) -> None:
    """`same` is an alias of twin-open, and twin-down falls back to it. twin-short has a window of 100 tokens."""
    answer, asked = anyone.reached(model, text="word " * 500, path=path, max_tokens=60)
    assert answer.status_code == 200, answer.text
    assert asked[-1] == "twin"
    assert recorded(catalogue)[-1]["body"]["max_tokens"] == 60


@pytest.mark.parametrize("path", ROUTES)
def test_twin_each_model_with_limits_has_its_own(catalogue: Gateway, anyone: Asker, path: str) -> None:
    """100 and 400 tokens of context, 20 and 40 of output. twin-short falls back to twin-long for its window."""
    for words, answers, asked in ((50, "twin-short", 20), (200, "twin-long", 40)):
        forget(catalogue)
        answer = anyone.ask("twin-short", text="word " * words, path=path, max_tokens=60)
        assert answer.status_code == 200, (answers, answer.text)
        assert [request["body"]["max_tokens"] for request in recorded(catalogue)] == [asked]
    answer, reached = anyone.reached("twin-long", text="word " * 500, path=path)
    assert (answer.status_code, reached) == (400, []), answer.text


def test_an_embedding_and_a_chat_model_of_one_upstream_share_nothing(catalogue: Gateway, anyone: Asker) -> None:
    headers = {"authorization": f"Bearer {anyone.key.reveal()}"}

    def embed(words: int) -> httpx.Response:
        body = {"model": "twin-vector", "input": "word " * words}
        return plain.post(f"{catalogue.url}/v1/embeddings", json=body, headers=headers, timeout=60, trust_env=False)

    assert embed(200).status_code == 200
    refused = embed(900)
    assert refused.status_code == 400, refused.text


@pytest.mark.parametrize(
    "model, read, written",
    [
        ("twin-open", 0.003, 0.003),
        ("twin-long", 0.002, 0.002),
        ("twin-short", 0.001, 0.005),
        ("twin-free", 0.0, 0.0),
        ("same", 0.003, 0.003),
        ("twin-down", 0.003, 0.003),
    ],
)
def test_each_model_of_one_upstream_has_its_own_price(
    catalogue: Gateway, model: str, read: float, written: float
) -> None:
    payer = asker(catalogue, EVERYTHING)
    usage = payer.ask(model).json()["usage"]
    due = usage["input_tokens"] * read + usage["output_tokens"] * written
    assert payer.booked(1) == pytest.approx(due, abs=0.00005)
