"""The SQL that books a batch: the rows LiteLLM 1.108.10 writes in this kit, and sums of those rows that were new.

Money is added as numeric: Postgres reads 15 exact digits of a float column, adds exact nano-dollars and stores the
float next to the sum. So a column is exact below a million dollars, however many calls it has.
"""

from __future__ import annotations

from textwrap import indent

# The columns of rows.row().
BATCH = """
    SELECT *, nano * 0.000000001 AS usd FROM jsonb_to_recordset(%(batch)s::jsonb) AS one(
        request_id text, call_type text, endpoint text, api_key text, team_id text, user_id text, organization_id text,
        tags jsonb, nano numeric, prompt int, completion int, cache_read int, cache_write int,
        started timestamp, ended timestamp, first_byte timestamp, duration int, day text,
        model text, model_id text, model_group text, provider text, api_base text, session_id text, address text,
        status text, error_code int, metadata jsonb)
"""

# One gateway books at a time. Two are right as well, but they would wait for each other's rows in any order.
ALONE = "SELECT pg_advisory_xact_lock(72707370)"

# LiteLLM takes the rows of one table in this order. A writer that uses the same order never causes a deadlock.
IN_ORDER = (
    """SELECT 1 FROM "LiteLLM_TeamTable" WHERE team_id = ANY(%(teams)s) ORDER BY team_id COLLATE "C"
       FOR NO KEY UPDATE""",
    """SELECT 1 FROM "LiteLLM_VerificationToken" WHERE token = ANY(%(keys)s) ORDER BY token COLLATE "C"
       FOR NO KEY UPDATE""",
)

_LOGGED = """
    INSERT INTO "LiteLLM_SpendLogs" (
        request_id, call_type, api_key, spend, total_tokens, prompt_tokens, completion_tokens, "startTime", "endTime",
        "completionStartTime", request_duration_ms, model, model_id, model_group, custom_llm_provider, api_base,
        "user", metadata, cache_hit, cache_key, request_tags, team_id, organization_id, end_user,
        requester_ip_address, messages, response, proxy_server_request, session_id, status, litellm_call_id)
    SELECT request_id, call_type, api_key, usd::float8, least(prompt::bigint + completion, 2147483647),
           prompt, completion, started, ended, first_byte, duration, model, model_id, model_group, provider, api_base,
           coalesce(user_id, ''), metadata, 'False', 'Cache OFF', tags, coalesce(team_id, ''),
           coalesce(organization_id, ''), '', address, '{}', '{}', '{}', session_id, status, request_id
      FROM batch ORDER BY request_id
    ON CONFLICT (request_id) DO NOTHING RETURNING request_id
"""

_COUNTERS = {
    "prompt_tokens": "prompt",
    "completion_tokens": "completion",
    "cache_read_input_tokens": "cache_read",
    "cache_creation_input_tokens": "cache_write",
    "api_requests": "1",
    "successful_requests": "(status = 'success')::int",
    "failed_requests": "(status <> 'success')::int",
    "total_response_time_ms": "CASE WHEN status = 'success' THEN duration ELSE 0 END",
    "timed_requests": "(status = 'success')::int",
}
_NOW = "now() AT TIME ZONE 'UTC'"


def _daily(table: str, entity: str, rows: str, *, request_id: bool = False) -> str:
    """One row for each entity, day, key, target model, provider and endpoint, as LiteLLM's constraint has it."""
    unique = f"{entity}, date, api_key, model, custom_llm_provider, mcp_namespaced_tool_name, endpoint"
    adds = "".join(f", {name} = total.{name} + excluded.{name}" for name in _COUNTERS)
    last = ("request_id, ", "max(request_id), ") if request_id else ("", "")
    return f"""
    INSERT INTO "{table}" AS total (
        id, {unique}, model_group, {last[0]}{", ".join(_COUNTERS)}, spend, updated_at)
    SELECT gen_random_uuid()::text, entity, day, api_key, model, provider, '', endpoint,
           (array_agg(model_group ORDER BY started, request_id))[1], {last[1]}
           {", ".join(f"sum({value})" for value in _COUNTERS.values())}, sum(usd)::float8, {_NOW}
      FROM ({rows}) AS one GROUP BY entity, day, api_key, model, provider, endpoint
     ORDER BY day COLLATE "C", entity COLLATE "C", api_key COLLATE "C", model COLLATE "C", provider COLLATE "C"
    ON CONFLICT ({unique}) DO UPDATE SET
        spend = (total.spend::numeric + excluded.spend::numeric)::float8, updated_at = excluded.updated_at{adds}
    """  # noqa: S608  names of our own


def _spent(table: str, column: str, rows: str, *more: str) -> str:
    sets = ", ".join((_plus("spend"), *more))
    return f"""
    UPDATE "{table}" AS total SET {sets}
      FROM (SELECT entity, sum(usd) AS usd FROM ({rows}) AS one GROUP BY entity) AS new
     WHERE total.{column} = new.entity
    """  # noqa: S608  names of our own


def _plus(column: str) -> str:
    return f"{column} = (coalesce(total.{column}, 0)::numeric + new.usd)::float8"


def _of(column: str) -> str:
    return f"SELECT {column} AS entity, * FROM fresh WHERE {column} IS NOT NULL"  # noqa: S608  names of our own


_TAGGED = "SELECT tag AS entity, fresh.* FROM fresh, jsonb_array_elements_text(tags) AS tag"
_UPDATED = f"updated_at = {_NOW}"

_MODELS = f"""
    INSERT INTO "LiteLLM_DailyModelUsage" AS total (
        date, model_group, model, custom_llm_provider, task_type, spend, prompt_tokens, completion_tokens,
        request_count, successful_requests, failed_requests, updated_at)
    SELECT day, coalesce(nullif(model_group, ''), nullif(model, ''), 'unknown'), coalesce(nullif(model, ''), 'unknown'),
           coalesce(nullif(provider, ''), 'unknown'), 'uncategorized', sum(usd)::float8, sum(prompt), sum(completion),
           count(*), count(*) FILTER (WHERE status = 'success'), count(*) FILTER (WHERE status <> 'success'), {_NOW}
      FROM fresh GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (date, model_group, model, custom_llm_provider, task_type) DO UPDATE SET
        spend = (total.spend::numeric + excluded.spend::numeric)::float8, updated_at = excluded.updated_at,
        prompt_tokens = total.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = total.completion_tokens + excluded.completion_tokens,
        request_count = total.request_count + excluded.request_count,
        successful_requests = total.successful_requests + excluded.successful_requests,
        failed_requests = total.failed_requests + excluded.failed_requests
"""  # noqa: S608  no value in it

_ERRORS = f"""
    INSERT INTO "LiteLLM_DailyRequestErrors" AS total (
        date, api_key, team_id, user_id, model_group, status_code, failed_requests, updated_at)
    SELECT day, api_key, coalesce(team_id, ''), coalesce(user_id, ''), coalesce(nullif(model_group, ''), model),
           error_code, count(*), {_NOW}
      FROM fresh WHERE status <> 'success' GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (date, api_key, team_id, user_id, model_group, status_code) DO UPDATE SET
        failed_requests = total.failed_requests + excluded.failed_requests, updated_at = excluded.updated_at
"""  # noqa: S608  no value in it

# The members of teams and organizations that LiteLLM counts for: those that have a row.
_MEMBERS = """
    UPDATE "{table}" AS total SET {sets}
      FROM (SELECT user_id, {group}, sum(usd) AS usd FROM fresh
             WHERE user_id IS NOT NULL AND {group} IS NOT NULL GROUP BY 1, 2) AS new
     WHERE total.user_id = new.user_id AND total.{group} = new.{group}
"""

# The running windows of teams and keys with `budget_limits`. LiteLLM's window begins a duration before `reset_at`.
# A key has its limits as a JSON text in JSON. A call before the running window belongs to one that is over.
_LIMITS = """
    SELECT entity_type, entity_id, one ->> 'budget_duration' AS period,
           (one ->> 'reset_at')::timestamptz AT TIME ZONE 'UTC' AS reset_at,
           (substring(one ->> 'budget_duration' FROM '^[0-9]+') || ' ' || unit)::interval AS long
      FROM (SELECT 'team' AS entity_type, team_id AS entity_id, budget_limits AS limits FROM "LiteLLM_TeamTable"
             WHERE team_id = ANY(%(teams)s)
             UNION ALL
            SELECT 'key', token, budget_limits FROM "LiteLLM_VerificationToken" WHERE token = ANY(%(keys)s)) AS holder
      CROSS JOIN LATERAL (
            SELECT CASE WHEN jsonb_typeof(limits) = 'string' AND pg_input_is_valid(limits #>> '{}', 'jsonb')
                        THEN (limits #>> '{}')::jsonb ELSE limits END AS found) AS text
      CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(found) WHEN 'array' THEN found ELSE '[]' END) AS one
      JOIN (VALUES ('s', 'seconds'), ('m', 'minutes'), ('h', 'hours'), ('d', 'days'), ('w', 'weeks'), ('mo', 'months'))
           AS units(letters, unit) ON one ->> 'budget_duration' ~ ('^[0-9]{1,4}' || letters || '$')
     WHERE pg_input_is_valid(one ->> 'reset_at', 'timestamptz')
"""
# `reset_at` may be in the past for a minute: LiteLLM moves it in a job. The call then is of the window after it.
_WINDOWED = """
    SELECT entity_type, entity_id, period, sum(usd) AS usd,
           CASE WHEN started < reset_at THEN reset_at - long
                ELSE reset_at + floor(extract(epoch FROM started - reset_at) / extract(epoch FROM long)) * long
                END AS since
      FROM limits JOIN fresh ON entity_id = CASE entity_type WHEN 'team' THEN team_id ELSE api_key END
     WHERE started >= reset_at - long AND nano > 0 GROUP BY 1, 2, 3, 5
"""
# A window without a row gets one with what the ledger has of it, before this batch: a budget that is new today counts
# the whole day. The sums by day have a window that opened at midnight, the log of single calls has a shorter one.
SEEDED = f"""
WITH limits AS ({_LIMITS}), missing AS (
    SELECT entity_type, entity_id, period, reset_at - long AS since FROM limits
     WHERE NOT EXISTS (SELECT FROM "LiteLLM_BudgetWindowSpend" AS known
                        WHERE (known.entity_type, known.entity_id, known.window_duration)
                            = (limits.entity_type, limits.entity_id, limits.period)))
INSERT INTO "LiteLLM_BudgetWindowSpend" (entity_type, entity_id, window_duration, window_start, spend, updated_at)
SELECT entity_type, entity_id, period, since, coalesce(
           CASE WHEN since = date_trunc('day', since) THEN
                (SELECT sum(spend::numeric) FROM "LiteLLM_DailyTeamSpend" AS day
                  WHERE (CASE entity_type WHEN 'team' THEN day.team_id ELSE day.api_key END) = entity_id
                    AND day.date >= to_char(since, 'YYYY-MM-DD'))
           ELSE (SELECT sum(spend::numeric) FROM "LiteLLM_SpendLogs" AS one
                  WHERE (CASE entity_type WHEN 'team' THEN one.team_id ELSE one.api_key END) = entity_id
                    AND one."startTime" >= since)
           END, 0)::float8, {_NOW}
  FROM missing ORDER BY entity_type, entity_id COLLATE "C", period COLLATE "C"
ON CONFLICT DO NOTHING
"""  # noqa: S608  no value in it
_WINDOWS = f"""
    INSERT INTO "LiteLLM_BudgetWindowSpend" AS total (
        entity_type, entity_id, window_duration, window_start, spend, updated_at)
    SELECT DISTINCT ON (entity_type, entity_id COLLATE "C", period COLLATE "C")
           entity_type, entity_id, period, since, usd::float8, {_NOW}
      FROM windowed ORDER BY entity_type, entity_id COLLATE "C", period COLLATE "C", since DESC
    ON CONFLICT (entity_type, entity_id, window_duration) DO UPDATE SET
        spend = CASE WHEN total.window_start < excluded.window_start THEN excluded.spend
                     WHEN total.window_start = excluded.window_start
                     THEN (total.spend::numeric + excluded.spend::numeric)::float8 ELSE total.spend END,
        window_start = greatest(total.window_start, excluded.window_start), updated_at = excluded.updated_at
"""  # noqa: S608  no value in it

_PARTS = {
    "batch": BATCH,
    "logged": _LOGGED,
    "fresh": "SELECT batch.* FROM batch JOIN logged USING (request_id)",
    "limits": _LIMITS,
    "windowed": _WINDOWED,
    "daily_team": _daily("LiteLLM_DailyTeamSpend", "team_id", _of("team_id")),
    "daily_user": _daily("LiteLLM_DailyUserSpend", "user_id", "SELECT coalesce(user_id, '') AS entity, * FROM fresh"),
    "daily_organization": _daily("LiteLLM_DailyOrganizationSpend", "organization_id", _of("organization_id")),
    "daily_tag": _daily("LiteLLM_DailyTagSpend", "tag", _TAGGED, request_id=True),
    "models": _MODELS,
    "errors": _ERRORS,
    "team": _spent("LiteLLM_TeamTable", "team_id", _of("team_id"), _UPDATED),
    "key": _spent(
        "LiteLLM_VerificationToken",
        "token",
        _of("api_key"),
        _plus("total_spend"),
        f"last_active = {_NOW}",
        _UPDATED,
    ),
    "person": _spent("LiteLLM_UserTable", "user_id", _of("user_id"), _UPDATED),
    "organization": _spent("LiteLLM_OrganizationTable", "organization_id", _of("organization_id"), _UPDATED),
    "tag": _spent("LiteLLM_TagTable", "tag_name", _TAGGED, _UPDATED),
    "team_member": _MEMBERS.format(
        table="LiteLLM_TeamMembership", group="team_id", sets=f"{_plus('spend')}, {_plus('total_spend')}"
    ),
    "organization_member": _MEMBERS.format(
        table="LiteLLM_OrganizationMembership", group="organization_id", sets=f"{_plus('spend')}, {_UPDATED}"
    ),
    "windows": _WINDOWS,
}

BOOK = (
    "WITH "
    + ",\n".join(f"{name} AS (\n{indent(query.strip(), '    ')})" for name, query in _PARTS.items())
    + "\nSELECT count(*) FROM logged"
)
"""batch, teams, keys: books what is new, and says how many calls that were."""
