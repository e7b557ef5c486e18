"""The ledger's questions against what a real LiteLLM writes: its schema, its sums, and what outlives a tenant."""

from __future__ import annotations

import subprocess
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.tenants import Tenants, key_of, wanted
from tests.support import plain
from tests.support.eventually import eventually
from tollgate.ledger import queries, rows
from tollgate.ledger.month import month
from tollgate.ledger.usage import Usage, overview, usage, windows_of
from tollgate.ledger.windows import month_of
from tollgate.stack.ledger import psql

pytestmark = pytest.mark.docker

# A tenant of its own: the ledger remembers one that is deleted, and other tests spend too.
SPENDER = """
tenant: {id: payer, name: Spender}
allowed_models: [test-model]
budget: {daily_limit: 5, monthly_limit: 100}
rate_limits: {requests_per_minute: 600}
"""
# config/gateway.yaml, USD a token.
PRICE = {
    "in": Decimal("0.000001"),
    "out": Decimal("0.000005"),
    "read": Decimal("0.0000001"),
    "write": Decimal("0.00000125"),
}


def asked(gateway: Gateway, question: str, **values: str) -> str:
    """The output of psql in the database's own container."""
    port = f"publish={gateway.database['port']}"
    found = subprocess.run(["docker", "ps", "-q", "--filter", port], capture_output=True, text=True, check=True)
    command = ["docker", "exec", "-i", found.stdout.strip(), *psql(values)]
    done = subprocess.run(command, input=question, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


def read(gateway: Gateway, tenant: str) -> Usage | None:
    now = datetime.now(UTC)
    answer = rows.loads(asked(gateway, queries.TENANT, tenant=tenant, since="2026-01-01", until="2099-01-01"))
    return usage(answer, tenant, now)


def send(
    gateway: Gateway, path: str = "/v1/messages", model: str = "test-model", cached: bool = False
) -> httpx.Response:
    text: Any = "hello, ledger"
    if cached:
        text = [{"type": "text", "text": "a long preamble " * 400, "cache_control": {"type": "ephemeral"}}]
    body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": text}]}
    return plain.post(gateway.url + path, json=body, headers={"x-api-key": key_of("payer").reveal()}, timeout=60)


def price(used: dict[str, Any]) -> Decimal:
    """From the usage that the provider reported, as it stands in the answer; in either API's words."""
    if "prompt_tokens" in used:
        return used["prompt_tokens"] * PRICE["in"] + used["completion_tokens"] * PRICE["out"]
    return (
        used["input_tokens"] * PRICE["in"]
        + used["output_tokens"] * PRICE["out"]
        + used["cache_read_input_tokens"] * PRICE["read"]
        + used["cache_creation_input_tokens"] * PRICE["write"]
    )


def written(gateway: Gateway, requests: int) -> Usage:
    """The tenant's usage once the ledger has that many requests of it."""

    def there() -> Usage:
        found = read(gateway, "payer")
        assert found is not None and found.month.totals.requests == requests, found and found.month.totals
        return found

    return eventually(there, within=60, every=0.5)


def test_a_tenants_ledger_from_its_first_request_to_after_its_end(gateway: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted(SPENDER))
    before = read(gateway, "payer")
    assert before is not None and before.month.totals.requests == 0
    answers = [send(gateway), send(gateway, "/v1/chat/completions"), send(gateway, cached=True), send(gateway)]
    used = [answer.raise_for_status().json()["usage"] for answer in answers]
    refused = send(gateway, model="dead-model")
    assert refused.is_client_error

    found = written(gateway, requests=5)
    totals = found.month.totals
    assert totals.spend == sum(map(price, used), Decimal(0))
    assert totals.failed == 1
    cached = sum(one.get("cache_creation_input_tokens", 0) + one.get("cache_read_input_tokens", 0) for one in used)
    assert cached > 0 and totals.cache_read + totals.cache_written == cached
    plain = sum(one.get("input_tokens", 0) + one.get("prompt_tokens", 0) for one in used)
    assert totals.tokens_in == plain + cached
    assert totals.tokens_out == sum(one.get("output_tokens", 0) + one.get("completion_tokens", 0) for one in used)
    assert [window.totals for window in found.windows] == [totals] * 3 or datetime.now(UTC).day < 7
    assert {model: part.spend for model, part in found.models.items() if part.spend} == {"test-model": totals.spend}
    assert [(key.name, key.totals) for key in found.keys] == [("default", totals)]
    assert found.team.limits.budgets == {"1d": 5, "1mo": 100} and found.team.limits.rates["requests_per_minute"] == 600

    today, running = datetime.now(UTC).date(), month_of(datetime.now(UTC).date())
    values = {"tenant": "payer", "since": f"{running.since}", "until": f"{running.until}"}
    # The log of single requests is written by a job of its own.
    reasons = eventually(lambda: failures(gateway, **values), within=60, every=0.5)
    report = month(rows.loads(asked(gateway, queries.TENANT, **values)), reasons, "payer", running, datetime.now(UTC))
    assert report is not None and report.days[today] == totals
    assert [(one.requests, one.status) for one in report.failures] == [(1, f"{refused.status_code}")]

    tenants.apply(wanted(), allow_delete=True)
    after = read(gateway, "payer")
    assert after is not None and after.team.state == "deleted" and after.team.name == "Spender"
    assert after.month.totals == totals and after.month.limit is None
    assert [(key.name, key.state) for key in after.keys] == [("default", "deleted")]
    lines = {line.team.id: line for line in everybody(gateway)}
    assert lines["payer"].team.state == "deleted" and lines["payer"].month.totals == totals


def failures(gateway: Gateway, **values: str) -> rows.Json:
    answer = rows.loads(asked(gateway, queries.FAILURES, **values))
    assert answer["failures"], "none is in the log yet"
    return answer


def everybody(gateway: Gateway) -> Any:
    now = datetime.now(UTC)
    (_, day), (_, week), (_, running) = windows_of(now)
    values = {"today": day.since, "tomorrow": day.until, "week": week.since, "week_end": week.until}
    values |= {"month": running.since, "month_end": running.until}
    answer = asked(gateway, queries.EVERYBODY, **{name: f"{value}" for name, value in values.items()})
    return overview(rows.loads(answer), now)


def test_days_begin_and_end_where_they_were_asked_to(gateway: Gateway) -> None:
    for number, day in enumerate(("2025-12-31", "2026-01-01", "2026-01-31", "2026-02-01")):
        gateway.sql(
            'INSERT INTO "LiteLLM_DailyTeamSpend" (id, team_id, date, api_key, model, spend, api_requests, updated_at)'
            " VALUES (%s, 'edges', %s, 'k', 'm', %s, 1, now()) ON CONFLICT DO NOTHING RETURNING id",
            f"edge-{number}",
            day,
            10**number,
        )
    answer = rows.loads(asked(gateway, queries.TENANT, tenant="edges", since="2026-01-01", until="2026-02-01"))
    found = month(answer, None, "edges", month_of(date(2026, 1, 1)), datetime(2026, 3, 1, tzinfo=UTC))
    assert found is not None and found.total.spend == 110 and found.total.requests == 2
    assert list(found.models) == ["m"] and [key.name for key in found.keys] == ["unnamed k"]


@pytest.mark.parametrize("tenant", ["' OR '1'='1", 'x\'; DROP TABLE "LiteLLM_SpendLogs"; --', ":'since'", "a\nb", "\\"])
def test_a_tenants_name_is_never_sql(gateway: Gateway, tenant: str) -> None:
    answer = rows.loads(asked(gateway, queries.TENANT, tenant=tenant, since="2026-01-01", until="2099-01-01"))
    assert answer == {"teams": [], "keys": [], "entries": []}
    assert gateway.sql('SELECT count(*) FROM "LiteLLM_SpendLogs"')


def test_a_question_cannot_write(gateway: Gateway) -> None:
    writing = queries._IN_ONE_MOMENT.format(query='DELETE FROM "LiteLLM_DailyTeamSpend"')
    with pytest.raises(AssertionError, match="read-only transaction"):
        asked(gateway, writing)


def test_how_much_room_it_takes(gateway: Gateway) -> None:
    def sized() -> rows.Size:
        """The tests above sent requests; Postgres counts rows some seconds after they are written"""
        size = rows.size(rows.loads(asked(gateway, queries.SIZE))["size"][0])
        assert size.oldest is not None and size.log_rows > 0, size
        return size

    assert eventually(sized, within=90, every=1).bytes > 1_000_000
