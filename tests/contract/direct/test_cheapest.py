"""A `cheapest` name through a gateway process and through a replica: the same model, refusal and bill."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.direct.asking import ask, spent
from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.tenants import Tenants, key_of, wanted
from tests.support.eventually import eventually
from tollgate.config.secret import Secret
from tollgate.reconcile.desired import key_hash

pytestmark = pytest.mark.docker

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
SEEING = {"messages": [{"role": "user", "content": [IMAGE]}]}
ALLOWED = "allowed_models: [auto, mixed, test-model, blind-model, by-litellm]"


def both(running: Gateway, key: Secret, **more: Any) -> list[httpx.Response]:
    """The answers of a gateway process and of a replica."""
    return [ask(running, key, **{"model": "auto", **more}), running.ask(key, **{"model": "auto", **more})]


def booked_as(running: Gateway, key: Secret) -> list[str]:
    query = 'SELECT model_group FROM "LiteLLM_SpendLogs" WHERE api_key = %s'
    return [row[0] for row in running.sql(query, key_hash(key))]


@pytest.mark.parametrize(("more", "name"), [({}, "blind-model"), (SEEING, "test-model")], ids=["text", "image"])
def test_both_routes_choose_the_same_model_and_book_it(
    running: Gateway, tenants: Tenants, more: dict[str, Any], name: str
) -> None:
    tenant = "choosing-image" if more else "choosing-text"
    tenants.apply(wanted(f"tenant: {{id: {tenant}}}\n{ALLOWED}"))
    key = key_of(tenant)
    answers = both(running, key, **more)
    assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
    assert [answer.headers["x-tollgate-model"] for answer in answers] == [name, name]
    eventually(lambda: booked_as(running, key) == [name, name], within=60)
    eventually(lambda: len(set(spent(running, key).values())) == 1, within=60)


def test_both_routes_refuse_with_the_same_words(running: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted("tenant: {id: refused}\nallowed_models: [auto]"))
    first, second = both(running, key_of("refused"))
    assert (first.status_code, first.json()["error"]) == (second.status_code, second.json()["error"])
    assert first.status_code == 403 and "may not use any of its models" in first.json()["error"]["message"]


def test_twin_a_choice_with_a_candidate_of_litellms_is_answered_by_litellm(running: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted(f"tenant: {{id: blended}}\n{ALLOWED}"))
    key = key_of("blended")
    answer = ask(running, key, model="mixed")
    assert (answer.status_code, answer.headers["x-tollgate-model"]) == (200, "blind-model"), answer.text
    assert any(name.startswith("x-litellm") for name in answer.headers), "LiteLLM's own headers"
    assert not any(name.startswith("x-litellm") for name in ask(running, key, model="auto").headers)
