"""Tells the gateway processes about changed keys and teams: a trigger that sends a notice, in a schema of our own.

LiteLLM writes the spend of a key after each request, so the trigger compares only the columns that decide about access
and limits. A notice holds the hash of the key or the id of the team, never more.
"""

from __future__ import annotations

from collections.abc import Iterator

from tollgate.migrate.database import Connection

CHANNEL = "tollgate_keys"
# LiteLLM changes these by itself while requests are served.
_ITS_OWN = (
    "spend",
    "total_spend",
    "model_spend",
    "last_active",
    "updated_at",
    "updated_by",
    "settings_updated_at",
    "soft_budget_cooldown",
    "budget_reset_at",
)
_TABLES = (("key", "LiteLLM_VerificationToken", "token"), ("team", "LiteLLM_TeamTable", "team_id"))


def ensure(connection: Connection) -> None:
    """Create the functions and triggers, or replace them. Running it again changes nothing.

    A table that this release does not have yet gets its trigger from the run that creates it.
    """
    connection.execute("CREATE SCHEMA IF NOT EXISTS tollgate")
    for kind, table, column in _TABLES:
        row = connection.execute("SELECT to_regclass(%s)", (f'"{table}"',)).fetchone()
        if row is not None and row[0] is not None:
            for statement in _statements(kind, table, column):
                connection.execute(statement)


def _statements(kind: str, table: str, column: str) -> Iterator[str]:
    ignored = ", ".join(f"'{name}'" for name in _ITS_OWN)
    yield f"""CREATE OR REPLACE FUNCTION tollgate.{kind}_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND to_jsonb(OLD) - ARRAY[{ignored}] = to_jsonb(NEW) - ARRAY[{ignored}] THEN
    RETURN NULL;
  END IF;
  PERFORM pg_notify('{CHANNEL}', '{kind}:' || CASE WHEN TG_OP = 'DELETE' THEN OLD.{column} ELSE NEW.{column} END);
  RETURN NULL;
END $$"""
    yield f"""CREATE OR REPLACE TRIGGER tollgate_{kind}_changed AFTER INSERT OR UPDATE OR DELETE ON "{table}"
FOR EACH ROW EXECUTE FUNCTION tollgate.{kind}_changed()"""
