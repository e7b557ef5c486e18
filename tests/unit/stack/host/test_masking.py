"""Masked text holds no credential and is otherwise unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.stack.host.masking import mask
from tollgate.stack.secrets import store as secrets

# Alloy masks the same for Loki (tests/unit/render/test_observability_logs.py).
MASKED = [
    ("key sk-ant-api03-abcdefgh1234 refused", "key *** refused"),
    ("AIza0123456789abcdefghijklm", "***"),
    ("AKIAIOSFODNN7EXAMPLE", "***"),
    ("token eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeK", "token ***"),
    ("postgresql://litellm:p4ss-word@postgres:5432/litellm", "postgresql://litellm:***@postgres:5432/litellm"),
    ("redis://:p4ssword@redis:6379", "redis://:***@redis:6379"),
    ("http://me:hunter2@proxy:3128 refused", "http://me:***@proxy:3128 refused"),
    ("Authorization: Bearer abcdef123456", "Authorization: Bearer ***"),
    ("{'authorization': 'Bearer abcdef123456'}", "{'authorization': 'Bearer ***'}"),
    ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic ***"),
    ("sent Bearer 0123456789abcdef0123", "sent Bearer ***"),
    ("x-api-key: 0123456789", "x-api-key: ***"),
    ('"redis_password": "0123456789"', '"redis_password": "***"'),
    ("LITELLM_MASTER_KEY=0123456789", "LITELLM_MASTER_KEY=***"),
    ("PGPASSWORD=abcdefgh psql", "PGPASSWORD=*** psql"),
    ("gsk_0123456789abcdefghijklm", "***"),
    ("hf_0123456789abcdefghijklm", "***"),
    ("xai-0123456789abcdefghijklm", "***"),
    ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "AWS_SECRET_ACCESS_KEY=***"),
    ("POST https://hooks.slack.com/services/T0/B0/abcdef", "POST https://hooks.slack.com/services/***"),
]
UNCHANGED = [
    "",
    "litellm-1  | INFO: Application startup complete.",
    'FATAL:  password authentication failed for user "litellm"',
    "http://127.0.0.1:4000/v1/messages answered 200 in 12 ms",
    "HTTP 401: the bearer of bad news; expected an API key that starts with sk-",
    "2026-01-01T00:00:00Z task-123 risk-assessment ask-me-anything",
    "postgresql://postgres:5432/litellm?sslmode=disable",
    "image tollgate/litellm:1.108.10-a4a01d5cd756",
]


@pytest.mark.parametrize(("text", "masked"), MASKED)
def test_credentials_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize("text", UNCHANGED)
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert mask(text) == text


@given(
    body=st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=32, max_size=64),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
)
def test_a_key_is_always_masked(body: str, before: str, after: str) -> None:
    assert body not in mask(f"{before} sk-{body} {after}")


@given(
    st.sampled_from(
        ["{}", "'{}'", '"{}"', "key={},", "[{}]", "https://u:{}@host/x", "Bearer {}\n", "\x1b[31m{}\x1b[0m", "\\n{}\\n"]
    )
)
def test_a_generated_key_is_masked_in_every_context(form: str) -> None:
    key = secrets.generate("sk-").reveal()
    assert key not in mask(form.format(key))
    assert key[3:] not in mask(form.format(key))


def test_masking_again_changes_nothing() -> None:
    once = mask("Authorization: Bearer sk-0123456789abcdef and redis://:secret-word@redis:6379")
    assert mask(once) == once
