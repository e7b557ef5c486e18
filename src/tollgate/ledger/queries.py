"""The queries to LiteLLM's database. Values are psql variables (:'tenant'), the answer is one JSON text.

psql runs them for the command line. The gateway processes run SUMMARY through a driver, which `for_driver` is for.

Spend comes from LiteLLM_DailyTeamSpend: one row for each team, UTC day, key and model. Each flush adds to it, and it is
kept forever, also after the team or the key is deleted. LiteLLM_SpendLogs is deleted after its retention; it only says
why requests failed. Limits come from the team's own row. docs/facts.md 13 has the sources.
"""

from __future__ import annotations

import re

# Read-only, with a timeout. All figures of one answer are of the same moment.
_IN_ONE_MOMENT = """
BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL statement_timeout = '60s';
{query};
COMMIT;
"""

# If a team was deleted and created again, the living one counts; otherwise the last deleted one. LiteLLM's own limits
# are those of teams that were made by hand.
_LIVING = """
    SELECT team_id AS id, team_alias AS name, CASE WHEN blocked THEN 'suspended' ELSE 'active' END AS state,
           max_budget, budget_duration, budget_limits, rpm_limit, tpm_limit, max_parallel_requests, metadata
      FROM "LiteLLM_TeamTable"
"""
_TEAMS = f"""
{_LIVING}
     UNION ALL
    (SELECT DISTINCT ON (team_id) team_id, team_alias, 'deleted', NULL, NULL, NULL, NULL, NULL, NULL,
            metadata
       FROM "LiteLLM_DeletedTeamTable" gone
      WHERE NOT EXISTS (SELECT FROM "LiteLLM_TeamTable" team WHERE team.team_id = gone.team_id)
      ORDER BY team_id, deleted_at DESC)
"""  # noqa: S608  no value in it

_KEYS = """
    SELECT token, key_alias AS alias, metadata->>'name' AS name, metadata->>'owner' AS owner, created_at AS made,
           CASE WHEN blocked THEN 'suspended'
                WHEN expires < now() AT TIME ZONE 'UTC' THEN 'expired'
                WHEN metadata->>'retiring' = 'true' THEN 'retiring'
                ELSE 'active' END AS state
      FROM "LiteLLM_VerificationToken" WHERE team_id = :'tenant'
     UNION ALL
    (SELECT DISTINCT ON (token) token, key_alias, metadata->>'name', metadata->>'owner', created_at, 'deleted'
       FROM "LiteLLM_DeletedVerificationToken" gone
      WHERE team_id = :'tenant'
        AND NOT EXISTS (SELECT FROM "LiteLLM_VerificationToken" key WHERE key.token = gone.token)
      ORDER BY token, deleted_at DESC)
"""

# The cast from float to numeric keeps the 15 exact digits and drops the rest. Each row is cast before it is added, so
# that every query finds the same sum however it groups the rows.
_SUMS = """
           coalesce(sum(spend::numeric), 0) AS spend,
           coalesce(sum(api_requests), 0) AS requests, coalesce(sum(failed_requests), 0) AS failed,
           coalesce(sum(prompt_tokens), 0) AS tokens_in, coalesce(sum(completion_tokens), 0) AS tokens_out,
           coalesce(sum(cache_read_input_tokens), 0) AS cache_read,
           coalesce(sum(cache_creation_input_tokens), 0) AS cache_written
"""

_ENTRIES = f"""
    SELECT date AS day, api_key AS key, coalesce(nullif(model_group, ''), nullif(model, ''), 'unknown') AS model,
{_SUMS}
      FROM "LiteLLM_DailyTeamSpend"
     WHERE team_id = :'tenant' AND date >= :'since' AND date < :'until'
     GROUP BY 1, 2, 3
"""  # noqa: S608  no value in it


def _select(**parts: str) -> str:
    fields = ",\n".join(
        f"'{name}', (SELECT coalesce(json_agg(part), '[]') FROM ({query}) part)"  # noqa: S608  psql binds
        for name, query in parts.items()
    )
    return f"SELECT json_build_object({fields})"


def _question(**parts: str) -> str:
    return _IN_ONE_MOMENT.format(query=_select(**parts))


def for_driver(query: str) -> str:
    """The query with psycopg's placeholders: `:'tenant'` becomes `%(tenant)s`, and the answer is text."""
    text = re.sub(r":'([a-z_]+)'", r"%(\1)s", query.replace("%", "%%"))
    return f"SELECT ({text})::text"


def _one(teams: str, column: str) -> str:
    return f"SELECT * FROM ({teams}) every WHERE {column} = :'tenant'"  # noqa: S608  psql binds the variable


TENANT = _question(teams=_one(_TEAMS, "id"), keys=_KEYS, entries=_ENTRIES)
"""tenant, since, until: the team, its keys, and its entries of those days."""

# A tenant may have thousands of keys, and a gateway process must not spend its time on their rows.
_BY_DAY = f"""
    SELECT date AS day, coalesce(nullif(model_group, ''), nullif(model, ''), 'unknown') AS model,
{_SUMS}
      FROM "LiteLLM_DailyTeamSpend"
     WHERE team_id = :'tenant' AND date >= :'since' AND date < :'until'
     GROUP BY 1, 2
"""  # noqa: S608  no value in it

_OF_THE_KEYS = """
      FROM "LiteLLM_DailyTeamSpend"
     WHERE team_id = :'tenant' AND date >= least(:'week', :'month') AND date < :'until'
"""
_BY_KEY = f"""
    SELECT api_key AS key, coalesce(sum(spend::numeric) FILTER (WHERE date >= :'today'), 0) AS today,
           coalesce(sum(spend::numeric) FILTER (WHERE date >= :'week'), 0) AS week,
           coalesce(sum(spend::numeric) FILTER (WHERE date >= :'month'), 0) AS month,
           coalesce(sum(api_requests) FILTER (WHERE date >= :'month'), 0) AS requests
{_OF_THE_KEYS}
     GROUP BY 1
"""
_KEYS_IN_USE = f"""
    SELECT * FROM ({_KEYS}) key WHERE state <> 'deleted' OR token IN (SELECT api_key {_OF_THE_KEYS})
"""  # noqa: S608  no value in it

SUMMARY = _select(days=_BY_DAY, spent=_BY_KEY, keys=_KEYS_IN_USE)
"""tenant, since, until, today, week, month: sums by day and model from `since` on, and what each key spent."""


_WITH_SOFT_LIMIT = f"""
    {_LIVING} WHERE metadata->>'managed_by' = 'tollgate' AND jsonb_typeof(metadata->'limits'->'soft_limit') = 'number'
"""
_SPENT_BY_TEAM = f"""
    SELECT team_id AS team, coalesce(sum(spend::numeric) FILTER (WHERE date >= :'today'), 0) AS today,
           coalesce(sum(spend::numeric), 0) AS month
      FROM "LiteLLM_DailyTeamSpend"
     WHERE date >= :'month' AND date < :'until' AND team_id IN (SELECT id FROM ({_WITH_SOFT_LIMIT}) team)
     GROUP BY 1
"""  # noqa: S608  no value in it

SOFT_LIMITS = _select(teams=_WITH_SOFT_LIMIT, spent=_SPENT_BY_TEAM)
"""today, month, until: the tenants with a soft limit, and what each spent since the start of the day and the month."""


def _each(window: str, since: str, until: str) -> str:
    return f"""
    SELECT '{window}' AS "window", team_id AS team, {_SUMS}
      FROM "LiteLLM_DailyTeamSpend" WHERE date >= :'{since}' AND date < :'{until}' GROUP BY team_id
    """  # noqa: S608  names of our own


_SUMS_OF_ALL = " UNION ALL ".join(
    _each(window, since, until)
    for window, since, until in (
        ("today", "today", "tomorrow"),
        ("this week", "week", "week_end"),
        ("this month", "month", "month_end"),
    )
)
EVERYBODY = _question(teams=_TEAMS, sums=_SUMS_OF_ALL)
"""today, tomorrow, week, week_end, month, month_end: every team, and its sums of the three windows."""

_BY_MODEL = f"""
    SELECT coalesce(nullif(model_group, ''), nullif(model, ''), 'unknown') AS model,
           coalesce(sum(spend::numeric) FILTER (WHERE date >= :'today'), 0) AS today,
{_SUMS}
      FROM "LiteLLM_DailyTeamSpend" WHERE date >= :'month' AND date < :'month_end' GROUP BY 1
"""  # noqa: S608  no value in it
_SERVER = """
    SELECT current_setting('server_version') AS version, extract(epoch FROM pg_postmaster_start_time()) AS started,
           pg_database_size(current_database()) AS bytes
"""

OVERVIEW = _select(teams=_TEAMS, sums=_SUMS_OF_ALL, models=_BY_MODEL, server=_SERVER)
"""The values of EVERYBODY: its answer, the month's sums by model with today's spend, and the server itself."""

# By key, because the log has an index on it. A tenant's requests are logged under the keys of its entries.
FAILURES = _question(
    failures="""
    SELECT coalesce(metadata->'error_information'->>'error_code', '') AS status,
           coalesce(metadata->'error_information'->>'error_class', '') AS kind, count(*) AS requests
      FROM "LiteLLM_SpendLogs"
     WHERE team_id = :'tenant' AND status = 'failure'
       AND "startTime" >= :'since'::date AND "startTime" < :'until'::date
       AND api_key IN (SELECT api_key FROM "LiteLLM_DailyTeamSpend" WHERE team_id = :'tenant'
                          AND date >= :'since' AND date < :'until' AND failed_requests > 0)
     GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 20
    """
)
"""tenant, since, until: why requests failed, as far back as the log of single requests has them."""

_REQUEST = """
    SELECT request_id AS id, metadata->'tollgate'->>'request_id' AS request_id, metadata->'tollgate'->>'route' AS route,
           team_id AS tenant, metadata->>'user_api_key_alias' AS alias, model AS answered_by,
           coalesce(metadata->'tollgate'->>'asked', model_group) AS model,
           "startTime" AS started, "endTime" AS ended, "completionStartTime" AS first_byte, spend::numeric AS usd,
           prompt_tokens AS tokens_in, completion_tokens AS tokens_out, status,
           metadata->'error_information'->>'error_code' AS error_code,
           metadata->'error_information'->>'error_class' AS error_class
      FROM "LiteLLM_SpendLogs"
"""
# Two indexed questions: by the row's own id, and by other ids within a few minutes.
REQUEST = _question(
    requests=f"""
    {_REQUEST} WHERE request_id = ANY(string_to_array(:'ids', ','))
     UNION
    {_REQUEST} WHERE "startTime" >= :'since'::timestamp AND "startTime" < :'until'::timestamp
       AND (metadata->'tollgate'->>'request_id' = ANY(string_to_array(:'ids', ','))
            OR metadata->>'litellm_call_id' = ANY(string_to_array(:'ids', ',')))
     LIMIT 20
    """
)
"""ids (separated by commas), since, until (UTC): the single requests with one of these ids."""

SIZE = _question(
    size="""
    SELECT pg_database_size(current_database()) AS bytes,
           (SELECT greatest(reltuples, n_live_tup, 0)::bigint
              FROM pg_class, pg_stat_user_tables
             WHERE oid = relid AND oid = '"LiteLLM_SpendLogs"'::regclass) AS log_rows,
           (SELECT min("startTime") FROM "LiteLLM_SpendLogs") AS oldest
    """
)
"""The size of the ledger. The row count is the server's estimate, because counting would read all rows."""
