"""Questions to the direct route, and its rows in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import httpx

from tests.contract.litellm.gateway import Gateway
from tests.support import plain
from tollgate.config.secret import Secret
from tollgate.reconcile.desired import key_hash

QUESTION = {"model": "test-model", "max_tokens": 60, "messages": [{"role": "user", "content": "hello"}]}


def ask(running: Gateway, key: Secret, path: str = "/v1/messages", process: int = 0, **more: Any) -> httpx.Response:
    """One call of a gateway process."""
    headers = {"x-api-key": key.reveal(), "anthropic-version": "2023-06-01"}
    url = running.direct[process] + path
    return plain.post(url, json={**QUESTION, **more}, headers=headers, timeout=60, trust_env=False)


def dials(words: str) -> list[dict[str, Any]]:
    """Messages that tell the embedded provider how to answer."""
    return [{"role": "user", "content": f"hello [[{words}]]"}]


@contextmanager
def streaming(running: Gateway, key: Secret, process: int = 0, **more: Any) -> Iterator[httpx.Response]:
    headers = {"x-api-key": key.reveal()}
    body = {**QUESTION, "stream": True, **more}
    url = f"{running.direct[process]}/v1/messages"
    with plain.stream("POST", url, json=body, headers=headers, timeout=60, trust_env=False) as answer:
        yield answer


def rows(running: Gateway, key: Secret) -> list[tuple[str, int, int, Decimal]]:
    """Status, tokens in, tokens out and cost of every booked call."""
    query = 'SELECT status, prompt_tokens, completion_tokens, spend FROM "LiteLLM_SpendLogs" WHERE api_key = %s'
    return [(*row[:3], Decimal(repr(row[3]))) for row in running.sql(query, key_hash(key))]  # type: ignore[misc]


def spent(running: Gateway, key: Secret) -> dict[str, Decimal]:
    """The cost of all calls, as each table has it. They must be equal."""
    token = key_hash(key)
    queries = {
        "calls": 'SELECT COALESCE(SUM(spend), 0) FROM "LiteLLM_SpendLogs" WHERE api_key = %s',
        "days": 'SELECT COALESCE(SUM(spend), 0) FROM "LiteLLM_DailyTeamSpend" WHERE api_key = %s',
        "key": 'SELECT spend FROM "LiteLLM_VerificationToken" WHERE token = %s',
    }
    return {name: round(Decimal(repr(running.sql(query, token)[0][0])), 9) for name, query in queries.items()}
