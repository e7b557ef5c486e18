"""`GET /gateway/usage` of a whole process, over a real ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.services.gateway.own.books import TOKEN, Books
from tests.unit.services.gateway.own.serving import ALIASES, OFFERED, look, serving
from tests.unit.services.gateway.process import KEY, MASTER, Reply, catalogue, process, run
from tollgate.ledger import output
from tollgate.ledger.usage import usage
from tollgate.services.gateway.own import polls


def seen(books: Books, tmp_path: Path, **more: Any) -> Any:
    found: list[Reply] = []

    async def test() -> None:
        async with serving(books, tmp_path, **more) as gateway:
            found.append(await look(gateway))

    run(test)
    assert found[0].status == 200, found[0].text
    return found[0].json


def test_money_is_that_of_tenant_usage(books: Books, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    books.history(now.date())
    told = seen(books, tmp_path)
    used = usage(books.tenant(now), "acme", now, ALIASES)
    assert used is not None
    expected = output.usage_json(used)
    whole = [entry for entry in told["money"] if entry["scope"] == "tenant"]
    assert [entry["window"] for entry in whole] == ["day", "week", "month"]
    for entry, window in zip(whole, expected["windows"], strict=True):
        assert float(entry["spent"]) == window["spend_usd"]
        assert float(entry["limit"]) == window["limit_usd"]
        assert datetime.fromisoformat(entry["resets_at"]) == datetime.fromisoformat(window["resets"])
        left = max(Decimal(0), Decimal(entry["limit"]) - Decimal(entry["spent"]))
        assert Decimal(entry["left"]) == left
    of_model = [entry for entry in told["money"] if entry["scope"] == "model"]
    assert {entry["window"]: float(entry["spent"]) for entry in of_model} == {
        "day": expected["model_limits"][0]["spend_usd"],
        "month": expected["model_limits"][1]["spend_usd"],
    }
    assert {entry["model"] for entry in of_model} == {"sonnet"}
    assert told["soft_limit"] == {"limit": "8", "reached": expected["soft_limit_reached"]}


def test_the_answer_has_what_the_contract_names(books: Books, tmp_path: Path) -> None:
    books.history(datetime.now(UTC).date())
    told = seen(books, tmp_path, expires=datetime(2027, 1, 31))
    assert list(told) == [
        *("tenant", "tenant_name", "owner", "key", "key_expires_at", "at", "currency", "money", "soft_limit", "rates"),
        *("show_keys", "keys", "days", "models", "refusals", "connect"),
    ]
    head = {"tenant": "acme", "tenant_name": "Acme Ltd", "owner": "lead@example.org", "key": "default"}
    assert {**head, "key_expires_at": "2027-01-31T00:00:00Z", "currency": "USD"}.items() <= told.items()
    assert len(told["days"]) == 31 and told["days"][-1]["day"] == told["at"][:10]
    today = told["days"][-1]
    assert (today["requests"], today["failed"], today["input_tokens"], today["output_tokens"]) == (15, 5, 5000, 500)
    assert next(iter(today["models"])) == "opus" and today["models"]["opus"]["requests"] == 6
    assert [entry["id"] for entry in told["models"]] == list(OFFERED)
    assert told["connect"][:2] == [
        "export ANTHROPIC_BASE_URL=http://THIS-GATEWAY:4000",
        "export ANTHROPIC_AUTH_TOKEN=YOUR-KEY",
    ]
    assert "export ANTHROPIC_MODEL=sonnet" in told["connect"]
    assert KEY not in str(told) and TOKEN not in str(told)


def test_only_ones_own_key_is_named_unless_the_tenants_file_says_so(books: Books, tmp_path: Path) -> None:
    books.history(datetime.now(UTC).date())
    told = seen(books, tmp_path)
    assert [(key["name"], key["yours"]) for key in told["keys"]] == [("default", True)]
    books.run('UPDATE "LiteLLM_TeamTable" SET metadata = metadata || \'{"show_keys": true}\'')
    told = seen(books, tmp_path)
    names = {key["name"]: (key["yours"], key["state"]) for key in told["keys"]}
    assert names["default"] == (True, "active") and names["gone"] == (False, "deleted") and "ci" in names


def test_a_limit_of_the_key_counts_every_key_of_its_name(books: Books, tmp_path: Path) -> None:
    books.history(datetime.now(UTC).date())
    old = books.key("default", at="f" * 64)
    books.spend(datetime.now(UTC).date(), old, "sonnet", 0.5)
    written = {"managed_by": "tollgate", "name": "default", "limits": {"monthly_limit": 100}}
    told = seen(books, tmp_path, metadata=written)
    (of_key,) = [entry for entry in told["money"] if entry["scope"] == "key"]
    (named,) = told["keys"]
    assert (of_key["window"], of_key["limit"], of_key["spent"]) == ("month", "100", named["spent"])


def test_a_tenant_without_limits_has_its_windows(books: Books, tmp_path: Path) -> None:
    books.team(limits={})
    books.key("default", at=TOKEN)
    told = seen(books, tmp_path)
    assert [(entry["limit"], entry["spent"], entry["left"]) for entry in told["money"]] == [(None, "0", None)] * 3
    assert (told["rates"], told["soft_limit"]) == ([], None)


def test_looking_counts_and_takes_nothing(books: Books, tmp_path: Path) -> None:
    """Two requests count; ten looks at the usage do not."""

    async def test() -> None:
        books.history(datetime.now(UTC).date(), days=1)
        async with serving(books, tmp_path) as gateway:
            for _ in range(2):
                assert (await gateway.ask()).status == 200
            await gateway.ended(2)
            for _ in range(10):
                told = (await look(gateway)).json
            rates = {(rate["what"], rate["window"]): rate for rate in told["rates"]}
            assert rates["requests", "hour"] == {
                "what": "requests",
                "window": "hour",
                "scope": "tenant",
                "limit": 1000,
                "used": 2,
                "left": 998,
                "resets_at": rates["requests", "hour"]["resets_at"],
            }
            assert rates["tokens", "minute"]["used"] == 24
            assert (rates["at_once", None]["used"], rates["at_once", None]["resets_at"]) == (0, None)
            day = told["money"][0]
            # The ledger was asked for the budget's spend (1 USD); two calls of 32 millionths came since.
            assert day["counted"] == "1.000064"
            assert Decimal(day["left"]) == 5 - Decimal("1.000064")

    run(test)


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [("sk-nobody-0123456789", 401, "key_unknown"), (MASTER, 403, "tenant_only"), ("", 401, "key_missing")],
)
def test_who_is_no_tenant_sees_nothing(books: Books, tmp_path: Path, key: str, status: int, code: str) -> None:
    async def test() -> None:
        books.history(datetime.now(UTC).date(), days=1)
        async with serving(books, tmp_path) as gateway:
            reply = await look(gateway, key)
            assert (reply.status, reply.json["error"]["code"]) == (status, code)
            assert not gateway.litellm.asked

    run(test)


def test_an_expired_key_is_refused_as_everywhere(books: Books, tmp_path: Path) -> None:
    async def test() -> None:
        books.history(datetime.now(UTC).date(), days=1)
        async with serving(books, tmp_path, expires=datetime(2025, 11, 3)) as gateway:
            reply = await look(gateway)
            assert (reply.status, reply.json["error"]["code"]) == (401, "key_expired")

    run(test)


def test_both_credential_headers_work_and_nothing_is_stored(books: Books, tmp_path: Path) -> None:
    async def test() -> None:
        books.history(datetime.now(UTC).date(), days=1)
        async with serving(books, tmp_path) as gateway:
            for headers in ({"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}):
                async with gateway.session.get(f"{gateway.url}/gateway/usage", headers=headers) as answer:
                    assert answer.status == 200
                    assert answer.headers["cache-control"] == "no-store" and "request-id" in answer.headers
            async with gateway.session.post(f"{gateway.url}/gateway/usage", headers=headers) as answer:
                assert answer.status == 403

    run(test)


def test_a_tenant_that_asks_too_often_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polls, "MOST", 3)

    async def test() -> None:
        async with process(tmp_path, catalogue()) as gateway:
            replies = [await look(gateway) for _ in range(4)]
            assert [reply.status for reply in replies[:3]] == [503] * 3, "no ledger is there"
            assert replies[0].json["error"]["code"] == "ledger_away" and replies[0].headers["retry-after"] == "5"
            assert (replies[3].status, replies[3].json["error"]["code"]) == (429, "usage_too_often")
            assert 1 <= int(replies[3].headers["retry-after"]) <= polls.WINDOW_S

    run(test)


def test_each_tenant_has_its_own_count_and_each_window_begins_at_zero() -> None:
    now = [100.0]
    counted = polls.Polls(lambda: now[0])
    assert [counted.wait("acme") for _ in range(polls.MOST)] == [0] * polls.MOST
    assert counted.wait("acme") == polls.WINDOW_S and counted.wait("beta") == 0
    now[0] += polls.WINDOW_S
    assert counted.wait("acme") == 0


def test_a_tenant_with_a_thousand_keys_is_answered(books: Books, tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    books.team(show_keys=True)
    books.key("default", at=TOKEN)
    books.run(
        'INSERT INTO "LiteLLM_VerificationToken" (token, team_id, metadata)'
        " SELECT 'hash-' || n, 'acme', jsonb_build_object('name', 'key-' || n) FROM generate_series(1, 1000) n"
    )
    books.run(
        'INSERT INTO "LiteLLM_DailyTeamSpend" (id, team_id, date, api_key, model_group, model, spend, api_requests,'
        " updated_at) SELECT n || '-' || d, 'acme', (%s::date - d)::text, 'hash-' || n, 'sonnet', 'sonnet', 0.001, 1,"
        " now() FROM generate_series(1, 1000) n, generate_series(0, 30) d",
        today,
    )
    told = seen(books, tmp_path)
    assert len(told["keys"]) == 1001
    assert told["days"][0]["spent"] == "1" and told["days"][0]["day"] == f"{today - timedelta(days=30)}"
