"""config/gateway.yaml's catalogue in a real LiteLLM: which target a request reaches, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.litellm.catalogue import MODELS, Asker, asker, forget, recorded, upstreams
from tests.contract.litellm.gateway import Gateway, running_gateway
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
    """May use everything."""
    return asker(catalogue, EVERYTHING)


def test_weights_share_the_requests_out(catalogue: Gateway, anyone: Asker) -> None:
    forget(catalogue)
    for _ in range(140):
        assert anyone.ask("spread").status_code == 200
    asked = upstreams(catalogue)
    # 126 and 14 are expected; each bound is passed by chance less than once in a million runs.
    assert len(asked) == 140
    assert 105 <= asked.count("spread-often") < 140
    assert 0 < asked.count("spread-seldom") <= 35


@pytest.mark.parametrize("path", ROUTES)
def test_a_target_that_fails_is_followed_by_the_next_in_order(anyone: Asker, path: str) -> None:
    answer, asked = anyone.reached("ordered", path=path)
    assert answer.status_code == 200, answer.text
    assert asked[-1] == "ordered-second"
    assert set(asked[:-1]) <= {"ordered-first"}


def test_of_the_same_order_the_other_target_is_asked(anyone: Asker) -> None:
    for _ in range(3):
        answer, asked = anyone.reached("halves")
        assert answer.status_code == 200, answer.text
        assert asked[-1] == "halves-up"


def test_an_upstream_at_its_limit_is_left_for_the_next_at_once(anyone: Asker) -> None:
    answer, asked = anyone.reached("refusing")
    assert answer.status_code == 200, answer.text
    assert asked in (["refusing-one", "refusing-two"], ["refusing-two"])


def test_several_targets_cool_down_and_come_back(anyone: Asker) -> None:
    def only_second() -> bool:
        return anyone.reached("ordered")[1] == ["ordered-second"]

    eventually(only_second, within=30)
    eventually(lambda: "ordered-first" in anyone.reached("ordered")[1], within=30, every=0.5)


@pytest.mark.parametrize("path", ROUTES)
def test_the_only_target_is_never_left_alone(anyone: Asker, path: str) -> None:
    """Nothing else could answer: each request is tried, and the provider's own word is passed on."""
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


def test_a_fallback_never_reaches_what_the_tenant_may_not_use(catalogue: Gateway, anyone: Asker) -> None:
    limited = asker(catalogue, ["leading"])
    answer, asked = limited.reached("leading")
    assert answer.status_code >= 500, answer.text
    assert set(asked) == {"leading"}
    answer, asked = anyone.reached("leading")
    assert answer.status_code == 200
    assert asked[-1] == "guarded"


@pytest.mark.parametrize("path", ROUTES)
def test_a_prompt_too_long_goes_where_the_catalogue_says(anyone: Asker, path: str) -> None:
    answer, asked = anyone.reached("narrow", text="word " * 500, path=path)
    assert answer.status_code == 200, answer.text
    assert asked == ["wide"]


def test_a_prompt_too_long_does_not_follow_other_fallbacks(anyone: Asker) -> None:
    """Clients compact a conversation when told that it is too long; so they are told."""
    answer, asked = anyone.reached("tight", text="word " * 500)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"].startswith("prompt is too long: ")
    assert asked == []


def test_what_a_provider_calls_malformed_is_not_tried_elsewhere(anyone: Asker) -> None:
    answer, asked = anyone.reached("misread")
    assert answer.status_code == 400, answer.text
    assert asked == ["misread"]


@pytest.mark.parametrize("more", [{}, {"stream": True}], ids=["whole", "stream"])
@pytest.mark.parametrize("path", ROUTES)
def test_what_is_refused_for_its_content_goes_where_the_catalogue_says(
    anyone: Asker, path: str, more: dict[str, object]
) -> None:
    answer, asked = anyone.reached("prim", path=path, **more)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    assert asked == ["prim", "third"]
    assert ':"refusal"' not in answer.text.replace(" ", ""), "the refusal is seen"


@pytest.mark.parametrize(("path", "status"), [("/v1/messages", 200), ("/v1/chat/completions", 400)])
def test_twin_without_such_a_fallback_the_client_is_told(anyone: Asker, path: str, status: int) -> None:
    """In the provider's way, and not by way of its other fallbacks."""
    answer, asked = anyone.reached("prudish", path=path)
    assert (answer.status_code, asked) == (status, ["prudish"]), answer.text
    if status == 200:
        assert answer.json()["stop_reason"] == "refusal"
    else:
        assert "not allowed by our usage policy" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ROUTES)
def test_what_has_no_price_in_litellms_list_is_not_served(anyone: Asker, path: str) -> None:
    """It would cost nothing, and no budget would ever stop it."""
    answer, asked = anyone.reached("unlisted", path=path)
    assert (answer.status_code, asked) == (403, [])
    assert "has no price" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ROUTES)
def test_more_tokens_than_the_model_has_are_lowered_to_it(anyone: Asker, catalogue: Gateway, path: str) -> None:
    for asked, sent in ((400, 400), (9000, 500)):
        forget(catalogue)
        assert anyone.ask("test-model", path=path, max_tokens=asked).status_code == 200
        assert [one["body"]["max_tokens"] for one in recorded(catalogue)] == [sent]


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


def test_a_target_may_be_less_patient_than_the_others(anyone: Asker) -> None:
    answer = anyone.ask("hasty")
    assert answer.status_code in (408, 504, 529, 503), answer.text


def test_the_price_written_is_the_price_billed(catalogue: Gateway) -> None:
    """To the cent of a cent: prompt, answer, tokens read from and written to the provider's cache."""
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
def test_auto_is_the_cheapest_that_can_do_it(anyone: Asker, more: dict[str, object], reached: str) -> None:
    answer, asked = anyone.reached("auto", **more)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    assert asked == [reached]
    assert answer.headers["x-tollgate-model"] == reached


def test_auto_only_chooses_what_the_tenant_may_use(catalogue: Gateway) -> None:
    answer, asked = asker(catalogue, ["auto", "dear-able"]).reached("auto")
    assert (answer.status_code, asked) == (200, ["dear-able"])
    answer, asked = asker(catalogue, ["cheap-blind"]).reached("auto")
    assert (answer.status_code, asked) == (403, [])
    answer, asked = asker(catalogue, ["auto"]).reached("auto")
    assert (answer.status_code, asked) == (403, [])


def test_auto_is_billed_as_what_was_chosen(catalogue: Gateway) -> None:
    payer = asker(catalogue, ["auto", "fair-handless"])
    usage = payer.ask("auto").json()["usage"]
    assert payer.booked(1) == pytest.approx((usage["input_tokens"] + usage["output_tokens"]) * 0.0001, abs=0.000001)


def test_auto_does_not_cost_more_than_it_may(anyone: Asker, catalogue: Gateway) -> None:
    able = asker(catalogue, ["auto", "dear-able"])
    answer, asked = able.reached("auto", max_tokens=5000)
    assert (answer.status_code, asked) == (400, [])
    assert "may cost $2" in answer.text
    answer, asked = anyone.reached("auto", headers={"x-tollgate-max-cost": "0.0001"})
    assert (answer.status_code, asked) == (400, [])


def test_auto_is_listed_as_a_model(anyone: Asker) -> None:
    listed = anyone.gateway.get(anyone.key, "/v1/models").json()["data"]
    assert {"auto", "spread", "big", "code"} <= {model["id"] for model in listed}


@pytest.mark.parametrize("more", [{}, {"stream": True}], ids=["whole", "stream"])
def test_an_answer_is_given_again_to_its_own_tenant_only(catalogue: Gateway, more: dict[str, object]) -> None:
    one, other = asker(catalogue, EVERYTHING), asker(catalogue, EVERYTHING)
    question = f"what is {one.team}?"

    def asked(who: Asker, **extra: object) -> list[str]:
        path = "/v1/chat/completions"
        answer, reached = who.reached("third", text=question, again=True, path=path, **more, **extra)  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        return reached

    assert asked(one) == ["third"]
    # It is written after the answer has gone out.
    eventually(lambda: asked(one) == [], within=30)
    assert asked(other) == ["third"]
    # Nor by asking for somebody else's.
    stranger = asker(catalogue, EVERYTHING)
    assert asked(stranger, cache={"namespace": f"tenant:{one.team}"}) == ["third"]


def test_on_v1_messages_each_answer_has_its_own_shape(catalogue: Gateway) -> None:
    """LiteLLM would hand out the OpenAI answer it cached for the chat call that it makes of a message."""
    one = asker(catalogue, EVERYTHING)
    for model in ("third", "custom-llm"):
        for _ in range(3):
            answer = one.ask(model, text=f"what is {one.team}?", again=True)
            assert answer.status_code == 200, answer.text
            assert answer.json()["type"] == "message"
            assert answer.json()["content"][0]["text"]
