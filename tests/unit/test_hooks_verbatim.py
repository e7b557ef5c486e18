"""What of a Messages request is put back after LiteLLM has built its own."""

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


def test_only_what_litellm_does_not_know_is_put_back() -> None:
    assert missing(SENT, KEPT, dropped={"num_retries"}, trust=False) == {"brand_new": {"a": [1, None]}}


def test_where_it_is_known_to_be_anthropics_all_of_it() -> None:
    back = missing(SENT, KEPT, dropped={"num_retries"}, trust=True)
    assert set(back) == {"max_tokens", "thinking", "service_tier", "brand_new"}


def test_what_the_operator_drops_stays_dropped() -> None:
    assert missing(SENT, KEPT, dropped={"num_retries", "brand_new"}, trust=False) == {}


def test_a_body_gets_back_what_is_missing_and_what_was_guessed_at() -> None:
    built = json.dumps({"model": "claude-opus-5-5", "max_tokens": 4, "thinking": {"type": "enabled"}})
    body = json.loads(restored(built, {"max_tokens": 5, "thinking": {"type": "adaptive"}, "brand_new": 1}))
    assert body == {"model": "claude-opus-5-5", "max_tokens": 4, "thinking": {"type": "adaptive"}, "brand_new": 1}


def test_a_body_that_lacks_nothing_is_not_written_anew() -> None:
    built = b'{"model" : "m","thinking":{"type":"adaptive"}}'
    assert restored(built, {"thinking": {"type": "adaptive"}}) is built


def test_only_anthropics_own_headers_are_taken_from_the_client() -> None:
    sent = {"Anthropic-Beta": "a,b", "anthropic-version": "2026-10-21", "authorization": "Bearer x", "x-app": "cli"}
    assert headers(sent) == {"anthropic-beta": "a,b", "anthropic-version": "2026-10-21"}
    assert headers({"anthropic-beta": ""}) == {}
