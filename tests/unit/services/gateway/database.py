"""LiteLLM's tables of keys, teams and spend, as far as the gateway process reads them, in a real PostgreSQL."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.support.postgres_server import Server
from tests.unit.services.gateway.process import KEY
from tollgate.migrate import notices

TOKEN = hashlib.sha256(KEY.encode()).hexdigest()
NAMES = (
    *("LiteLLM_VerificationToken", "LiteLLM_DeletedVerificationToken", "LiteLLM_TeamTable"),
    *("LiteLLM_DailyTeamSpend", "LiteLLM_SpendLogs"),
)
TABLES = """
CREATE TABLE "LiteLLM_VerificationToken" (token text PRIMARY KEY, team_id text, key_alias text, user_id text,
  blocked boolean, expires timestamp, models text[], allowed_routes text[], metadata jsonb, spend float8 DEFAULT 0);
CREATE TABLE "LiteLLM_DeletedVerificationToken" (token text, team_id text, metadata jsonb);
CREATE TABLE "LiteLLM_TeamTable" (team_id text PRIMARY KEY, blocked boolean, models text[], metadata jsonb,
  spend float8 DEFAULT 0, created_at timestamp DEFAULT now());
CREATE TABLE "LiteLLM_DailyTeamSpend" (team_id text, api_key text, model_group text, date text, spend float8);
CREATE TABLE "LiteLLM_SpendLogs" (team_id text, api_key text, model_group text, "startTime" timestamp, spend float8);
"""
OURS = json.dumps({"managed_by": "tollgate"})


@dataclass
class Database:
    server: Server

    def sql(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self.server.address, autocommit=True) as connection:
            connection.execute(statement, values or None)  # type: ignore[call-overload]

    def block(self, blocked: bool = True) -> None:
        self.sql('UPDATE "LiteLLM_VerificationToken" SET blocked = %s', blocked)

    def fresh(self) -> None:
        """Empty tables, with one key of one tenant."""
        for name in NAMES:
            self.sql(f'DROP TABLE IF EXISTS "{name}"')
        self.sql(TABLES)
        with psycopg.connect(self.server.address, autocommit=True) as connection:
            notices.ensure(connection)
        self.sql('INSERT INTO "LiteLLM_TeamTable" (team_id, metadata) VALUES (%s, %s)', "acme", OURS)
        insert = 'INSERT INTO "LiteLLM_VerificationToken" (token, team_id, metadata) VALUES (%s, %s, %s)'
        self.sql(insert, TOKEN, "acme", OURS)
