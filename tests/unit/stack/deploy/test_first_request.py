"""The real request of a deploy: the key it uses, the failures it retries, and the line it returns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.support.site import new_home
from tollgate.errors import TollgateError
from tollgate.services.limits.outcome import REACHED, Refused
from tollgate.services.limits.refusals import refusal_of
from tollgate.services.limits.rules import rules_of
from tollgate.services.refusals import envelopes
from tollgate.services.refusals.refusal import Refusal
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deploy import first_request
from tollgate.stack.deployment import Deployment
from tollgate.stack.secrets import store as secrets
from tollgate.stack.tenants.tenancy import key_of

GOOD = httpx.Response(200, json={"content": [{"type": "text", "text": "hello"}]})
Answers = Callable[..., list[httpx.Request]]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = new_home(tmp_path / "home")
    secrets.ensure(site)
    return site


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """A gateway that gives these answers in turn. The function returns the requests that it got."""

    def prepare(*answers: httpx.Response | Exception) -> list[httpx.Request]:
        asked: list[httpx.Request] = []
        rest = iter(answers)

        def post(url: str, *, json: object, headers: dict[str, str], **_: object) -> httpx.Response:
            asked.append(httpx.Request("POST", url, json=json, headers=headers))
            answer = next(rest)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(first_request.httpx, "post", post)
        return asked

    monkeypatch.setattr(first_request.time, "sleep", lambda _: None)
    monkeypatch.setattr(Compose, "address", lambda *_: ("127.0.0.1", 4000))
    return prepare


def send(site: Site) -> str:
    for tenant in configuration.load(site).tenants:
        if key_of(site, tenant) is None:
            secrets.make_tenant_key(site, tenant.id)
    return first_request.send(Deployment.of(site), configuration.load(site))


def test_it_is_sent_as_the_example_tenant_to_nginx(site: Site, answering: Answers) -> None:
    (site.tenants_dir / "acme.yaml").write_text("tenant: {id: acme}\n")
    asked = answering(GOOD)
    assert send(site).startswith("200 for tenant example from test-model in ")
    [request] = asked
    example = next(tenant for tenant in configuration.load(site).tenants if tenant.id == "example")
    assert str(request.url) == "http://127.0.0.1:4000/v1/messages"
    key = key_of(site, example)
    assert key is not None
    assert request.headers["authorization"] == f"Bearer {key.reveal()}"


def test_before_a_tenant_has_a_key_nothing_is_sent(site: Site, answering: Answers) -> None:
    asked = answering()
    with pytest.raises(TollgateError, match="tenant example has no key yet"):
        first_request.send(Deployment.of(site), configuration.load(site))
    assert asked == []


def test_a_tenant_that_may_not_use_the_model_is_not_tried(site: Site, answering: Answers) -> None:
    (site.tenants_dir / "example.yaml").write_text("tenant: {id: example}\nallowed_models: [gpt-4o-mini]\n")
    (site.tenants_dir / "mint.yaml").write_text("tenant: {id: mint}\nallowed_models: [test-model]\n")
    answering(GOOD)
    assert "tenant mint" in send(site)
    (site.tenants_dir / "mint.yaml").unlink()
    assert send(site) == "skipped: no tenant may use test-model"


@pytest.mark.parametrize("first", [httpx.Response(503), httpx.ConnectError("refused"), httpx.ReadTimeout("slow")])
def test_a_temporary_failure_is_retried(site: Site, answering: Answers, first: httpx.Response | Exception) -> None:
    asked = answering(first, GOOD)
    assert send(site).startswith("200")
    assert len(asked) == 2


def test_a_refusal_is_not_retried_and_shows_no_key(site: Site, answering: Answers) -> None:
    key = secrets.make_tenant_key(site, "example").reveal()
    asked = answering(httpx.Response(401, text=f"invalid key {key}"))
    with pytest.raises(TollgateError, match=r"HTTP 401: invalid key \*\*\*") as refused:
        send(site)
    assert len(asked) == 1
    assert key not in str(refused.value)
    assert "make doctor" in refused.value.hint


def test_after_the_last_try_the_error_shows_the_last_answer(site: Site, answering: Answers) -> None:
    asked = answering(*[httpx.Response(502, text="bad gateway")] * first_request.TRIES)
    with pytest.raises(TollgateError, match="HTTP 502: bad gateway"):
        send(site)
    assert len(asked) == first_request.TRIES


def test_an_answer_without_content_is_a_failure(site: Site, answering: Answers) -> None:
    answering(*[httpx.Response(200, json={"content": []})] * first_request.TRIES)
    with pytest.raises(TollgateError, match="HTTP 200"):
        send(site)


def limited(message: str) -> httpx.Response:
    return httpx.Response(429, json={"error": {"type": "rate_limit_error", "message": message}})


def test_a_tenant_at_its_own_limit_does_not_fail_a_deploy(site: Site, answering: Answers) -> None:
    for refusal in own_limits():
        asked = answering(httpx.Response(429, content=envelopes.body(refusal, anthropic=True, request_id="1")))
        assert send(site).startswith("429: tenant example has reached its own limit")
        assert len(asked) == 1


def own_limits() -> list[Refusal]:
    """The refusals of the tenant's own limits, in the limiter's own words."""
    limits = {"requests_per_hour": 5000, "requests_per_day": 1, "tokens_per_minute": 9, "max_parallel_requests": 2}
    team = {"team_id": "example", "metadata": {"limits": {**limits, "per_model": {"test-model": {"1d": 1}}}}}
    rules = rules_of(team, None)
    assert len(rules) == 5
    return [refusal_of(Refused(rule, REACHED, rule.amount), datetime.now(UTC)) for rule in rules]


def test_twin_an_upstreams_limit_fails_a_deploy(site: Site, answering: Answers) -> None:
    answering(limited("The provider of this model is limiting this gateway. Try again in a moment."))
    with pytest.raises(TollgateError, match="HTTP 429"):
        send(site)


def test_a_test_model_that_needs_another_server_is_not_asked(site: Site, answering: Answers) -> None:
    """That server may be down, or cost money, and the gateway works all the same."""
    shipped = site.gateway_file.read_text()
    target = "{model: hosted_vllm/own, api_base: 'http://gpu:8000/v1'}"
    site.gateway_file.write_text(f"models:\n  test-model: {{targets: [{target}], price: free}}\n")
    asked = answering()
    assert send(site) == "skipped: test-model is not the embedded provider's in config/gateway.yaml"
    assert not asked
    site.gateway_file.write_text(shipped)
    answering(GOOD)
    assert send(site).startswith("200"), "the twin: the embedded provider's own"
