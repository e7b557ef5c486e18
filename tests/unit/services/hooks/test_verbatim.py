"""The fields of a Messages request that are put back after LiteLLM has built its own request."""

from __future__ import annotations

import json

from tollgate.services.hooks.verbatim import headers, missing, restored

KEPT = {"model", "messages", "max_tokens", "thinking", "output_config", "service_tier"}
SENT = {
    "model": "big",
    "messages": [],
    "stream": True,
    "max_tokens": 5,
    "thinking": {"type": "adaptive"},
    "service_tier": "auto",
    "brand_new": {"a": [1, None]},
    "num_retries": 3,
    "nothing": None,
}


def test_only_fields_that_litellm_does_not_know_are_put_back() -> None:
    assert missing(SENT, KEPT, dropped={"num_retries"}, trust=False) == {"brand_new": {"a": [1, None]}}


def test_a_trusted_upstream_gets_all_fields_back() -> None:
    back = missing(SENT, KEPT, dropped={"num_retries"}, trust=True)
    assert set(back) == {"max_tokens", "thinking", "service_tier", "brand_new"}


def test_fields_that_the_operator_drops_stay_dropped() -> None:
    assert missing(SENT, KEPT, dropped={"num_retries", "brand_new"}, trust=False) == {}


def test_a_body_gets_missing_and_guessed_fields_back() -> None:
    built = json.dumps({"model": "claude-opus-5-5", "max_tokens": 4, "thinking": {"type": "enabled"}})
    body = json.loads(restored(built, {"max_tokens": 5, "thinking": {"type": "adaptive"}, "brand_new": 1}))
    assert body == {"model": "claude-opus-5-5", "max_tokens": 4, "thinking": {"type": "adaptive"}, "brand_new": 1}


def test_a_body_that_lacks_nothing_stays_the_same_bytes() -> None:
    built = b'{"model" : "m","thinking":{"type":"adaptive"}}'
    assert restored(built, {"thinking": {"type": "adaptive"}}) is built


def test_only_anthropics_own_headers_come_from_the_client() -> None:
    sent = {"Anthropic-Beta": "a,b", "anthropic-version": "2026-10-21", "authorization": "Bearer x", "x-app": "cli"}
    assert headers(sent) == {"anthropic-beta": "a,b", "anthropic-version": "2026-10-21"}
    assert headers({"anthropic-beta": ""}) == {}
