"""The figures of `GET /gateway/usage` are those of `tollgate tenant usage --json`, to the last digit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from tests.unit.services.gateway.own.books import TOKEN, Books, token
from tollgate.ledger import output, queries, rows
from tollgate.ledger.summary import Summary, summary, values
from tollgate.ledger.usage import usage

# A Saturday in the middle of a month, the first of a month on a Sunday, and the first week of a year.
MOMENTS = [datetime(2026, 11, 21, 13, 40), datetime(2026, 11, 1, 0, 1), datetime(2027, 1, 2, 23, 59)]
ALIASES = {"fast": "sonnet"}


def summed(books: Books, now: datetime, team: str = "acme") -> Summary:
    with psycopg.connect(books.address) as connection:
        row = connection.execute(queries.for_driver(queries.SUMMARY).encode(), values(team, now)).fetchone()
    assert row is not None
    return summary(rows.loads(row[0]), now)


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_every_figure_is_that_of_tenant_usage(books: Books, moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC)
    books.history(now.date())
    used = usage(books.tenant(now), "acme", now, ALIASES)
    assert used is not None
    ours = summed(books, now)
    told = output.usage_json(used)

    spent = {unit: ours.spent(unit) for unit in ("day", "week", "month")}
    assert [window["spend_usd"] for window in told["windows"]] == [float(amount) for amount in spent.values()]
    assert list(spent.values()) == [window.totals.spend for window in used.windows]
    assert all(amount > 0 for amount in spent.values())
    of_model = [ours.spent(unit, frozenset({"sonnet", "fast"})) for unit in ("day", "month")]
    assert of_model == [cap.totals.spend for cap in used.caps]
    assert [(key.name, key.totals.spend, key.state) for key in ours.keys] == [
        (key.name, key.totals.spend, key.state) for key in used.keys
    ]
    assert {key.name for key in ours.keys} >= {"default", "ci", "idle"}


def test_the_days_are_the_last_31_and_add_up(books: Books) -> None:
    now = MOMENTS[0].replace(tzinfo=UTC)
    books.history(now.date())
    days = summed(books, now).days()
    assert list(days) == [now.date() - timedelta(days=back) for back in range(30, -1, -1)]
    assert set(days[now.date()]) == {"sonnet", "fast", "opus", "anthropic/test-model"}
    month = [day for day in days if day.month == 11]
    total = sum((totals.spend for day in month for totals in days[day].values()), Decimal(0))
    assert total == summed(books, now).spent("month")


def test_a_rotated_key_is_one_name_and_another_tenant_is_not_there(books: Books) -> None:
    now = MOMENTS[0].replace(tzinfo=UTC)
    books.history(now.date())
    ours = summed(books, now)
    assert ours.spent_by_key("day", "ci") == Decimal("0.3") + Decimal(str(0.1 / 3)).quantize(Decimal("1e-16"))
    assert ours.spent_by_key("month", "ci") > ours.by_hash[token("acme ci")]["month"]
    assert ours.spent("day") < 77 < summed(books, now, "beta").spent("day") + 1


def test_spend_is_added_as_decimals(books: Books) -> None:
    """As floats these rows are 0.30000000000000004."""
    now = MOMENTS[0].replace(tzinfo=UTC)
    books.team()
    books.key("default", at=TOKEN)
    for provider in "abc":
        books.spend(now.date(), TOKEN, "sonnet", 0.1, custom_llm_provider=provider)
    assert summed(books, now).spent("day") == Decimal("0.3")


def test_a_tenant_without_a_history_has_zeros(books: Books) -> None:
    now = MOMENTS[0].replace(tzinfo=UTC)
    books.team()
    books.key("default", at=TOKEN)
    ours = summed(books, now)
    assert (ours.spent("month"), [key.name for key in ours.keys], len(ours.days())) == (0, ["default"], 31)
