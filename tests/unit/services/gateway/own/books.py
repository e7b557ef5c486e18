"""LiteLLM's tables, as its release migrates them, in a PostgreSQL of the test's own; and a tenant with a history."""

from __future__ import annotations

import hashlib
import json
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import litellm_proxy_extras
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.support.postgres_server import PROGRAMS, Server
from tests.unit.services.gateway.process import KEY
from tollgate.ledger import queries, rows
from tollgate.stack.ledger import psql

NAME = "books"
TABLES = (
    *("TeamTable", "DeletedTeamTable", "VerificationToken", "DeletedVerificationToken"),
    *("DailyTeamSpend", "BudgetWindowSpend", "SpendLogs"),
)
TOKEN = hashlib.sha256(KEY.encode()).hexdigest()
LIMITS = {
    "daily_limit": 5,
    "weekly_limit": 20,
    "monthly_limit": 60,
    "requests_per_minute": 60,
    "requests_per_hour": 1000,
    "tokens_per_minute": 200_000,
    "max_parallel_requests": 10,
    "soft_limit": 8,
    "per_model": {"sonnet": {"1d": 2, "1mo": 40}},
}


def token(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def migrated(server: Server, name: str = NAME) -> None:
    with psycopg.connect(server.address, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrations = Path(litellm_proxy_extras.__file__).parent / "migrations"
    with psycopg.connect(make_conninfo(server.address, dbname=name), autocommit=True) as connection:
        for file in sorted(migrations.glob("*/migration.sql")):
            connection.execute(file.read_bytes())


@dataclass
class Books:
    """`name` is the database."""

    server: Server
    name: str = NAME

    @property
    def address(self) -> str:
        return str(make_conninfo(self.server.address, dbname=self.name))

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.address, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> None:
        names = ", ".join(f'"LiteLLM_{name}"' for name in TABLES)
        self.run(f"TRUNCATE {names} CASCADE")

    def team(self, name: str = "acme", limits: Mapping[str, Any] | None = None, **metadata: Any) -> None:
        """As `tollgate apply` writes it: 5 USD a day, 20 a week, 60 a month, unless `limits` says otherwise."""
        written = {"managed_by": "tollgate", "owner": "lead@example.org", **metadata}
        written["limits"] = LIMITS if limits is None else dict(limits)
        self.run(
            'INSERT INTO "LiteLLM_TeamTable" (team_id, team_alias, metadata, updated_at, created_at)'
            " VALUES (%s, %s, %s, now(), '2026-01-01')",
            *(name, f"{name.capitalize()} Ltd", json.dumps(written)),
        )

    def key(self, name: str, team: str = "acme", at: str = "", table: str = "VerificationToken", **more: Any) -> str:
        """`at` is the key's hash; default: that of its name. Returns the hash."""
        found = at or token(f"{team} {name}")
        routes = ["/v1/messages", "/v1/chat/completions", "/v1/models"]
        values = {
            "token": found,
            "team_id": team,
            "key_alias": f"{team}/{name}/{found[:8]}",
            "metadata": json.dumps({"managed_by": "tollgate", "name": name}),
            "allowed_routes": routes,
            **more,
        }
        if table != "VerificationToken":
            values["id"] = str(uuid.uuid4())
        self.insert(table, [values])
        return found

    def insert(self, table: str, found: Sequence[Mapping[str, Any]]) -> None:
        """Rows with the same columns."""
        columns = sql.SQL(", ").join(map(sql.Identifier, found[0]))
        places = sql.SQL(", ").join(sql.Placeholder() * len(found[0]))
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})")
        name = sql.Identifier(f"LiteLLM_{table}")
        with psycopg.connect(self.address, autocommit=True) as connection:
            cursor = connection.cursor()
            cursor.executemany(statement.format(name, columns, places), [tuple(row.values()) for row in found])

    def spend(self, day: date, key: str, model: str, usd: float, team: str = "acme", **more: Any) -> None:
        self.insert("DailyTeamSpend", [self.day(day, key, model, usd, team, **more)])

    def day(self, day: date, key: str, model: str, usd: float, team: str = "acme", **more: Any) -> dict[str, Any]:
        """A row of the ledger, with the columns of every other one."""
        return {
            "id": str(uuid.uuid4()),
            "team_id": team,
            "date": day.isoformat(),
            "api_key": key,
            "model": f"anthropic/{model}",
            "model_group": model,
            "custom_llm_provider": "anthropic",
            "spend": usd,
            "api_requests": 3,
            "successful_requests": 2,
            "failed_requests": 1,
            "prompt_tokens": 1000,
            "completion_tokens": 100,
            "cache_read_input_tokens": 0,
            "updated_at": datetime(2026, 1, 1),
            **more,
        }

    def psql(self, question: str, **values: str) -> rows.Json:
        """As src/tollgate/stack/ledger.py asks the ledger."""
        assert PROGRAMS is not None
        program, *rest = psql(values)
        where = ["-h", "127.0.0.1", "-p", str(self.server.port), "-U", "test", "-d", self.name]
        command = [str(PROGRAMS / program), *rest, *where]
        done = subprocess.run(command, input=question, capture_output=True, text=True, check=True)
        return rows.loads(done.stdout)

    def tenant(self, now: datetime, team: str = "acme") -> rows.Json:
        """The answer that `tollgate tenant usage` reads."""
        since = now.date() - timedelta(days=62)
        return self.psql(queries.TENANT, tenant=team, since=f"{since}", until="2099-01-01")

    def history(self, today: date, days: int = 40) -> None:
        """Key `default` with two models and an alias, `ci` rotated, `gone` deleted; one idle; and a neighbour."""
        self.team()
        default = self.key("default", at=TOKEN)
        new, old = self.key("ci"), self.key("ci", at=token("old ci"))
        gone = self.key("gone", table="DeletedVerificationToken")
        self.key("idle")
        self.team("beta")
        beta = self.key("default", "beta")
        found = []
        for back in range(days):
            day = today - timedelta(days=back)
            found += [
                self.day(day, default, "sonnet", 0.1 * (back % 7 + 1) + 0.000000001),
                self.day(day, default, "fast", 0.07),
                self.day(day, new if back < 5 else old, "opus", 0.3, cache_read_input_tokens=400),
                self.day(day, new, "opus", 0.1 / 3, custom_llm_provider="openrouter"),
                self.day(day, beta, "sonnet", 77.0, team="beta"),
            ]
            if back % 3 == 0:
                found.append(self.day(day, gone, "test-model", 1e-9, model_group=None))
        self.insert("DailyTeamSpend", found)
