"""A Postgres for all tests of this folder, empty before each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.ledger.database import Database, running_database
from tests.contract.ledger.shipping import LIMITS
from tests.support.gateway_ledger import KEY
from tollgate.services.gateway.ledger.journal import Journal

TABLES = (
    "SpendLogs DailyTeamSpend DailyUserSpend DailyTagSpend DailyOrganizationSpend DailyModelUsage DailyRequestErrors"
    " BudgetWindowSpend TeamTable VerificationToken UserTable OrganizationTable TagTable TeamMembership"
)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with running_database(tmp_path_factory.mktemp("postgres")) as database:
        yield database


@pytest.fixture
def database(running: Database) -> Database:
    """Empty, with a tenant of a daily budget and one key, as `tollgate apply` makes them."""
    running.sql("TRUNCATE " + ", ".join(f'"LiteLLM_{table}"' for table in TABLES.split()) + " CASCADE")
    running.sql(
        'INSERT INTO "LiteLLM_TeamTable" (team_id, team_alias, budget_limits, metadata)'
        " VALUES ('payer', 'Payer', %s::jsonb, '{}')",
        json.dumps(LIMITS),
    )
    running.sql(
        'INSERT INTO "LiteLLM_VerificationToken" (token, team_id, key_alias, metadata, budget_limits)'
        " VALUES (%s, 'payer', 'payer/default/1', '{\"name\": \"default\"}', to_jsonb(%s::text))",
        KEY,
        json.dumps(LIMITS),
    )
    return running


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal(tmp_path / "volume", "gateway-1")
    yield found
    found.close()


@pytest.fixture(autouse=True)
def _volume(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
