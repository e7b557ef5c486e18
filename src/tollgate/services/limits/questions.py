"""The questions to the ledger as SQL: what a tenant or a key has spent in a window.

Both routes write these rows, so a budget holds for them together. Parameters are `$1`, `$2` …, as Postgres itself
numbers them: psycopg sends them for gateway processes, and LiteLLM's client for replicas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from tollgate.services.limits.rule import KEY
from tollgate.services.limits.spent import Question

# One row a day, team, key and model, by the day on which a request began.
_DAILY, _CALLS = '"LiteLLM_DailyTeamSpend"', '"LiteLLM_SpendLogs"'
# As text, because neither client then rounds it.
_NANO = "COALESCE(round(SUM(spend)::numeric * 1000000000), 0)::bigint::text AS nano"
# A rotation deletes the old key in the end. This name keeps the spend of the old key.
_SAME_NAME = (
    '(api_key = {token} OR api_key IN (SELECT token FROM "LiteLLM_VerificationToken"'
    " WHERE team_id = {team} AND metadata->>'name' = {name}"
    ' UNION ALL SELECT token FROM "LiteLLM_DeletedVerificationToken"'
    " WHERE team_id = {team} AND metadata->>'name' = {name}))"
)


class Statement(NamedTuple):
    """Answers one row with one column, `nano`: an amount in nano-dollars."""

    sql: str
    values: tuple[str, ...]


def statements(question: Question, aliases: Mapping[str, str]) -> Iterator[Statement]:
    """The answer to the question is the sum of what they answer. `aliases` are other names of models, each with its
    model: a call is booked under the name that the client used."""
    start, end = question.start.astimezone(UTC), question.end.astimezone(UTC)
    whole = start.time() == time.min
    first_day = start.date() if whole else start.date() + timedelta(days=1)
    yield _statement(_DAILY, question, aliases, f"{first_day}", f"{end:%Y-%m-%d}")
    if not whole:
        # A tenant that was created during the day: the row of that day may have its predecessor's spend.
        midnight = datetime.combine(first_day, time.min)
        yield _statement(_CALLS, question, aliases, f"{start.replace(tzinfo=None)}", f"{midnight}")


def _statement(table: str, question: Question, aliases: Mapping[str, str], start: str, end: str) -> Statement:
    holder, values = question.holder, [question.holder.tenant, start, end]

    def place(value: str) -> str:
        values.append(value)
        return f"${len(values)}"

    if table == _DAILY:
        conditions = ["team_id = $1", "date >= $2", "date < $3"]
    else:
        conditions = ["team_id = $1", '"startTime" >= $2::text::timestamp', '"startTime" < $3::text::timestamp']
    if question.model:
        names = [question.model, *(name for name, meant in aliases.items() if meant == question.model)]
        conditions.append(f"model_group IN ({', '.join(map(place, names))})")
    if holder.kind == KEY and holder.named:
        token, name = place(holder.token), place(holder.name)
        conditions.append(_SAME_NAME.format(token=token, team="$1", name=name))
    elif holder.kind == KEY:
        conditions.append(f"api_key = {place(holder.token)}")
    sql = f"SELECT {_NANO} FROM {table} WHERE {' AND '.join(conditions)}"  # noqa: S608  no value in it
    return Statement(sql, tuple(values))
