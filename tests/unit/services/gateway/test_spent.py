"""The spend in the ledger, for budgets whose counter Redis does not have."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from tests.unit.services.gateway.database import TOKEN, Database
from tests.unit.services.gateway.process import catalogue, run
from tollgate.services.gateway.spent import LedgerQuestions
from tollgate.services.limits.rule import KEY, NANO, TENANT, Holder
from tollgate.services.limits.spent import Question

DAY = datetime(2026, 11, 21, tzinfo=UTC)
NEXT = datetime(2026, 11, 22, tzinfo=UTC)
MONTH = datetime(2026, 12, 1, tzinfo=UTC)
ACME = Holder(TENANT, "acme", "acme")
ITS_KEY = Holder(KEY, "acme", "default", token=TOKEN)
NAMED = Holder(KEY, "acme", "ci", token="rotated", named=True)


def day(date: str, spend: float, team: str = "acme", key: str = TOKEN, model: str = "sonnet") -> tuple[Any, ...]:
    return (team, key, model, date, spend)


@pytest.mark.parametrize(
    ("question", "usd"),
    [
        (Question(ACME, "", DAY, NEXT), 7),
        (Question(ACME, "", DAY, MONTH), 15),
        (Question(ACME, "sonnet", DAY, NEXT), 3),
        (Question(ACME, "nobody", DAY, NEXT), 0),
        (Question(ITS_KEY, "", DAY, NEXT), 3),
        (Question(NAMED, "", DAY, NEXT), 4),
        (Question(Holder(TENANT, "nobody", "nobody"), "", DAY, NEXT), 0),
    ],
)
def test_spend_is_summed_by_holder_model_and_window(database: Database, question: Question, usd: int) -> None:
    for row in (
        day("2026-11-20", 100),
        day("2026-11-21", 1),
        day("2026-11-21", 2, model="fast"),
        day("2026-11-21", 4, key="old", model="opus"),
        day("2026-11-22", 8, key="other"),
        day("2026-12-01", 100),
        day("2026-11-21", 100, team="beta"),
    ):
        database.sql('INSERT INTO "LiteLLM_DailyTeamSpend" VALUES (%s, %s, %s, %s, %s)', *row)
    # A key that was rotated keeps its name and its spend.
    insert = 'INSERT INTO "LiteLLM_VerificationToken" (token, team_id, metadata) VALUES (%s, %s, %s)'
    database.sql(insert, "old", "acme", '{"name": "ci"}')
    assert answers(database, question) == [usd * NANO]


@pytest.mark.parametrize(
    ("deleted", "usd"),
    [
        ([("old", "acme", "ci")], 7),
        ([("old", "acme", "ci"), ("old", "acme", "ci"), ("older", "acme", "ci")], 15),
        ([("old", "acme", "other")], 3),
        ([("old", "beta", "ci")], 3),
        ([], 3),
    ],
    ids=["rotated", "rotated twice", "twin: another name", "twin: another tenant", "twin: never a key"],
)
def test_a_key_keeps_what_its_deleted_predecessors_spent(
    database: Database, deleted: list[tuple[str, str, str]], usd: int
) -> None:
    insert = 'INSERT INTO "LiteLLM_DailyTeamSpend" VALUES (%s, %s, %s, %s, %s)'
    for key, spend in (("rotated", 1), ("retiring", 2), ("old", 4), ("older", 8)):
        database.sql(insert, *day("2026-11-21", spend, key=key))
    database.sql(insert, *day("2026-11-21", 100, team="beta", key="old"))
    insert = 'INSERT INTO "LiteLLM_VerificationToken" (token, team_id, metadata) VALUES (%s, %s, %s)'
    database.sql(insert, "retiring", "acme", '{"name": "ci"}')
    for token, team, name in deleted:
        insert = 'INSERT INTO "LiteLLM_DeletedVerificationToken" VALUES (%s, %s, %s)'
        database.sql(insert, token, team, json.dumps({"name": name}))
    assert answers(database, Question(NAMED, "", DAY, NEXT)) == [usd * NANO]


def test_a_tenant_that_was_created_today_starts_at_its_creation(database: Database) -> None:
    """The row of the day may have its predecessor's spend; the calls have their time."""
    database.sql('INSERT INTO "LiteLLM_DailyTeamSpend" VALUES (%s, %s, %s, %s, %s)', *day("2026-11-21", 100))
    database.sql('INSERT INTO "LiteLLM_DailyTeamSpend" VALUES (%s, %s, %s, %s, %s)', *day("2026-11-22", 5))
    insert = 'INSERT INTO "LiteLLM_SpendLogs" VALUES (%s, %s, %s, %s, %s)'
    for hour, spend in ((9, 50), (13, 2), (23, 1)):
        when = datetime(2026, 11, 21, hour)
        database.sql(insert, "acme", TOKEN, "sonnet", when, spend)
    created = DAY.replace(hour=12)
    assert answers(database, Question(ACME, "", created, NEXT), Question(ACME, "", created, MONTH)) == [
        3 * NANO,
        8 * NANO,
    ]


def test_a_cost_is_exact_to_the_nano_dollar(database: Database) -> None:
    for _ in range(10):
        database.sql('INSERT INTO "LiteLLM_DailyTeamSpend" VALUES (%s, %s, %s, %s, %s)', *day("2026-11-21", 0.1))
    assert answers(database, Question(ACME, "", DAY, NEXT)) == [NANO]


def answers(database: Database, *questions: Question) -> list[int | None]:
    found: list[int | None] = []

    async def test() -> None:
        async with AsyncConnectionPool(database.server.address, min_size=1, open=False) as pool:
            found.extend(await LedgerQuestions(pool, catalogue(aliases={"fast": "sonnet"}))(questions))

    run(test)
    return found
