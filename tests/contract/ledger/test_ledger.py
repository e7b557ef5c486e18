"""The direct route's shipper against the real tables: exact sums, in the rows that LiteLLM would have written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.contract.ledger.database import Database
from tests.contract.ledger.shipping import LIMITS, answer, ship, shipper, spent
from tests.support.gateway_ledger import KEY, STARTED, begun, outcome, request_id, used
from tollgate.ledger import queries
from tollgate.ledger.usage import usage
from tollgate.services.gateway.ledger.journal import Journal
from tollgate.services.gateway.ledger.price import usd
from tollgate.services.gateway.ledger.usage import Usage

pytestmark = pytest.mark.docker

NOW = datetime.fromtimestamp(STARTED / 1000, UTC)


def test_every_table_has_the_same_exact_sum(database: Database, journal: Journal, tmp_path: Path) -> None:
    total = usd(answer(journal, *range(1, 1201)))
    one = shipper(database, tmp_path, journal)
    assert ship(one) and (one.shipped, one.repeated, one.set_aside) == (1200, 0, 0)
    assert (one.waiting_calls, one.waiting_bytes, one.lag_seconds, one.failing) == (0, 0, 0, "")
    for table in ("SpendLogs", "DailyTeamSpend", "DailyUserSpend", "DailyModelUsage", "TeamTable", "VerificationToken"):
        assert spent(database, table) == total, table
    assert spent(database, "BudgetWindowSpend", "entity_type = 'team'") == total
    assert spent(database, "BudgetWindowSpend", "entity_type = 'key'") == total
    assert database.sql('SELECT total_spend::numeric, last_active IS NOT NULL FROM "LiteLLM_VerificationToken"') == [
        (total, True)
    ]
    assert database.sql('SELECT count(*) FROM "LiteLLM_SpendLogs"') == [(1200,)]
    assert database.sql('SELECT count(*), sum(api_requests) FROM "LiteLLM_DailyTeamSpend"') == [(1, 1200)]


def test_tollgate_reads_them_as_it_reads_litellms(database: Database, journal: Journal, tmp_path: Path) -> None:
    total = usd(answer(journal, 1, 2))
    journal.begin(begun(3, model="dead-model"))
    journal.end(request_id(3), outcome(3, status=529, error="OverloadedError", usage=Usage()))
    assert ship(shipper(database, tmp_path, journal))
    found = usage(database.tenant("payer"), "payer", NOW)
    assert found is not None
    totals = found.month.totals
    assert (totals.spend, totals.requests, totals.failed) == (total, 3, 1)
    assert totals.tokens_in == used(1).prompt + used(2).prompt and totals.tokens_out == used(1).output + used(2).output
    assert (totals.cache_read, totals.cache_written) == (40, 140)
    assert [(key.name, key.totals) for key in found.keys] == [("default", totals)]
    reasons = database.ask(queries.FAILURES, tenant="payer", since="2026-11-01", until="2026-12-01")
    assert reasons["failures"] == [{"status": "529", "kind": "OverloadedError", "requests": 1}]


def test_a_row_of_the_log_has_what_litellm_writes(database: Database, journal: Journal, tmp_path: Path) -> None:
    answer(journal, 1, session="a session", address="192.0.2.7")
    assert ship(shipper(database, tmp_path, journal))
    row = database.sql('SELECT to_jsonb(one) FROM "LiteLLM_SpendLogs" AS one')[0][0]
    metadata = row.pop("metadata")
    for name in ("created_at", "updated_at"):
        assert row.pop(name)
    assert row == {
        "request_id": request_id(1),
        "litellm_call_id": request_id(1),
        "call_type": "anthropic_messages",
        "api_key": KEY,
        "spend": 0.0002755,
        "prompt_tokens": 191,
        "completion_tokens": 11,
        "total_tokens": 202,
        "startTime": "2026-11-21T13:40:00",
        "completionStartTime": "2026-11-21T13:40:00.7",
        "endTime": "2026-11-21T13:40:02.5",
        "request_duration_ms": 2500,
        "model": "anthropic/claude-sonnet-5-5",
        "model_id": "target-1",
        "model_group": "sonnet",
        "custom_llm_provider": "anthropic",
        "api_base": "https://api.anthropic.com",
        "user": "",
        "cache_hit": "False",
        "cache_key": "Cache OFF",
        "request_tags": [],
        "team_id": "payer",
        "organization_id": "",
        "end_user": "",
        "requester_ip_address": "192.0.2.7",
        "messages": {},
        "response": {},
        "proxy_server_request": {},
        "session_id": "a session",
        "status": "success",
        "mcp_namespaced_tool_name": None,
        "agent_id": None,
        "billing_agent_id": None,
    }
    assert metadata["tollgate"] == {"route": "direct", "nano_usd": 275_500, "estimated": False}


def test_a_day_is_the_one_on_which_the_request_began(database: Database, journal: Journal, tmp_path: Path) -> None:
    last = STARTED + (10 * 3600 + 20 * 60) * 1000 - 1  # a millisecond before midnight
    journal.begin(begun(1, started=last))
    late = journal.end(request_id(1), outcome(1, ended=last + 60_000)).cost
    early = answer(journal, 2, started=last + 1)
    assert ship(shipper(database, tmp_path, journal))
    found = database.sql('SELECT date, spend::numeric FROM "LiteLLM_DailyTeamSpend" ORDER BY date')
    assert found == [("2026-11-21", usd(late)), ("2026-11-22", usd(early))]
    # The window has rolled on with the second call, although LiteLLM has not moved `reset_at` yet.
    window = database.sql(
        'SELECT window_start, spend::numeric FROM "LiteLLM_BudgetWindowSpend" WHERE entity_type = %s', "team"
    )
    assert window == [(datetime(2026, 11, 22), usd(early))]


def test_a_call_of_a_window_that_is_over_counts_in_no_other(
    database: Database, journal: Journal, tmp_path: Path
) -> None:
    answer(journal, 1, started=STARTED - 86_400_000)
    assert ship(shipper(database, tmp_path, journal))
    assert spent(database, "BudgetWindowSpend") == 0 and spent(database, "DailyTeamSpend") > 0


def test_a_budget_that_is_new_today_counts_the_whole_day(database: Database, journal: Journal, tmp_path: Path) -> None:
    database.sql('UPDATE "LiteLLM_TeamTable" SET budget_limits = NULL')
    before = answer(journal, 1)
    assert ship(shipper(database, tmp_path, journal))
    assert spent(database, "BudgetWindowSpend", "entity_type = 'team'") == 0
    database.sql('UPDATE "LiteLLM_TeamTable" SET budget_limits = %s::jsonb', json.dumps(LIMITS))
    after = answer(journal, 2)
    assert ship(shipper(database, tmp_path, journal))
    assert spent(database, "BudgetWindowSpend", "entity_type = 'team'") == usd(before + after)


def test_a_window_of_an_hour_begins_with_its_own_calls(database: Database, journal: Journal, tmp_path: Path) -> None:
    database.sql('UPDATE "LiteLLM_TeamTable" SET budget_limits = NULL')
    answer(journal, 1, started=STARTED - 3_600_000)
    within = answer(journal, 2)
    assert ship(shipper(database, tmp_path, journal))
    hour = [{"budget_duration": "1h", "max_budget": 5.0, "reset_at": "2026-11-21T14:00:00+00:00"}]
    database.sql('UPDATE "LiteLLM_TeamTable" SET budget_limits = %s::jsonb', json.dumps(hour))
    within += answer(journal, 3)
    assert ship(shipper(database, tmp_path, journal))
    assert spent(database, "BudgetWindowSpend", "window_duration = '1h'") == usd(within)


def test_users_organizations_and_tags_are_counted_as_litellm_does(
    database: Database, journal: Journal, tmp_path: Path
) -> None:
    database.sql("INSERT INTO \"LiteLLM_UserTable\" (user_id) VALUES ('alice')")
    database.sql(
        "INSERT INTO \"LiteLLM_BudgetTable\" (budget_id, created_by, updated_by) VALUES ('b', 't', 't')"
        " ON CONFLICT DO NOTHING"
    )
    database.sql(
        'INSERT INTO "LiteLLM_OrganizationTable" (organization_id, organization_alias, budget_id, created_by,'
        " updated_by) VALUES ('org', 'Org', 'b', 't', 't')"
    )
    database.sql("INSERT INTO \"LiteLLM_TeamMembership\" (user_id, team_id) VALUES ('alice', 'payer')")
    database.sql("INSERT INTO \"LiteLLM_TagTable\" (tag_name) VALUES ('prod')")
    total = usd(answer(journal, 1, 2, user="alice", organization="org", tags=("prod", "prod", "night")))
    assert ship(shipper(database, tmp_path, journal))
    for table in ("UserTable", "OrganizationTable", "TeamMembership", "TagTable", "DailyUserSpend"):
        assert spent(database, table) == total, table
    for table in ("DailyOrganizationSpend",):
        assert spent(database, table) == total, table
    found = database.sql('SELECT tag, spend::numeric, api_requests FROM "LiteLLM_DailyTagSpend" ORDER BY tag')
    assert found == [("night", total, 2), ("prod", total, 2)]
