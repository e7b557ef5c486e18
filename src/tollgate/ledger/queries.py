"""The questions to LiteLLM's database, for psql: values come as its variables (:'tenant'), the answer is one JSON text.

What is spent comes from LiteLLM_DailyTeamSpend: one row a team, UTC day, key and model, added to with every flush and
kept for good, also when the team or the key is deleted; LiteLLM_SpendLogs goes after its retention and is read only
for why requests failed. What a limit is and what the gateway counts against it come from the team's own row and
LiteLLM_BudgetWindowSpend. docs/facts.md 13 says how each is known.
"""

from __future__ import annotations

# A read that hangs or writes is neither worth waiting for nor allowed; both figures of one answer are of one moment.
_IN_ONE_MOMENT = """
BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL statement_timeout = '60s';
{query};
COMMIT;
"""

# A team that was deleted and made again is the living one; deleted twice, the last of them. The archive has no windows.
_TEAMS = """
    SELECT team_id AS id, team_alias AS name, CASE WHEN blocked THEN 'suspended' ELSE 'active' END AS state,
           max_budget, budget_duration, budget_reset_at, spend::numeric AS spend, budget_limits, rpm_limit, tpm_limit,
           max_parallel_requests, metadata
      FROM "LiteLLM_TeamTable"
     UNION ALL
    (SELECT DISTINCT ON (team_id) team_id, team_alias, 'deleted', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            metadata
       FROM "LiteLLM_DeletedTeamTable" gone
      WHERE NOT EXISTS (SELECT FROM "LiteLLM_TeamTable" team WHERE team.team_id = gone.team_id)
      ORDER BY team_id, deleted_at DESC)
"""

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

# Casting the float to numeric keeps its 15 certain digits and drops the noise behind them.
_SUMS = """
           coalesce(sum(spend), 0)::numeric AS spend,
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

_COUNTED = """
    SELECT entity_id AS team, window_duration AS duration, window_start AS since, spend::numeric AS spend
      FROM "LiteLLM_BudgetWindowSpend" WHERE entity_type = 'team'
"""


def _question(**parts: str) -> str:
    fields = ",\n".join(
        f"'{name}', (SELECT coalesce(json_agg(part), '[]') FROM ({query}) part)"  # noqa: S608  psql binds
        for name, query in parts.items()
    )
    return _IN_ONE_MOMENT.format(query=f"SELECT json_build_object({fields})")


def _one(teams: str, column: str) -> str:
    return f"SELECT * FROM ({teams}) every WHERE {column} = :'tenant'"  # noqa: S608  psql binds the variable


TENANT = _question(teams=_one(_TEAMS, "id"), keys=_KEYS, entries=_ENTRIES, counted=_one(_COUNTED, "team"))
"""tenant, since, until: the team, its keys, its entries of those days, and what is counted against its windows."""


def _each(window: str, since: str, until: str) -> str:
    return f"""
    SELECT '{window}' AS "window", team_id AS team, {_SUMS}
      FROM "LiteLLM_DailyTeamSpend" WHERE date >= :'{since}' AND date < :'{until}' GROUP BY team_id
    """  # noqa: S608  names of our own


EVERYBODY = _question(
    teams=_TEAMS,
    counted=_COUNTED,
    sums=" UNION ALL ".join(
        _each(window, since, until)
        for window, since, until in (
            ("today", "today", "tomorrow"),
            ("this week", "week", "week_end"),
            ("this month", "month", "month_end"),
        )
    ),
)
"""today, tomorrow, week, week_end, month, month_end: every team, and its sums of the three windows."""

# By key, because that is the index the log has; a tenant's requests are logged under the keys its entries name.
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
"""tenant, since, until: why requests failed, as far back as the log of single requests goes."""

SIZE = _question(
    size="""
    SELECT pg_database_size(current_database()) AS bytes,
           (SELECT greatest(reltuples, n_live_tup, 0)::bigint
              FROM pg_class, pg_stat_user_tables
             WHERE oid = relid AND oid = '"LiteLLM_SpendLogs"'::regclass) AS log_rows,
           (SELECT min("startTime") FROM "LiteLLM_SpendLogs") AS oldest
    """
)
"""How much room the ledger takes; the rows as the server estimates them: counting reads them all."""
