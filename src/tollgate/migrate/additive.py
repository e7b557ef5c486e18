"""Finds the statements of a migration that do more than add. Without them the older release still works.

The older release uses only the columns that it knows. A statement that is not clearly an addition counts as a change:
a false alarm costs the operator a question, a missed change costs requests.
"""

from __future__ import annotations

import re

from tollgate.migrate import sql

_NAME = r'(?:"[^"]+"|[\w.]+)'
_HARMLESS = re.compile(
    r"(?:SET|SELECT\s+1$|COMMENT\s+ON|ANALYZE|CREATE\s+(?:TYPE|SEQUENCE|EXTENSION))\b", re.IGNORECASE
)
_TABLE = re.compile(rf"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<table>{_NAME})\s*\(", re.IGNORECASE)
_INDEX = re.compile(
    rf"CREATE\s+(?P<unique>UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}\s+"
    rf"ON\s+(?P<table>{_NAME})",
    re.IGNORECASE,
)
_ALTER = re.compile(rf"ALTER\s+TABLE\s+(?:ONLY\s+)?(?P<table>{_NAME})\s+(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_COLUMN = re.compile(rf"ADD\s+COLUMN\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}\s+(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_MORE = re.compile(r"\b(?:UNIQUE|REFERENCES|CHECK|PRIMARY\s+KEY|GENERATED)\b", re.IGNORECASE)


def changes(script: str) -> list[str]:
    """The start of each statement that does more than add. An empty list: the older release can continue."""
    new_tables: set[str] = set()
    return [_beginning(statement) for statement in sql.statements(script) if not _adds(statement, new_tables)]


def _adds(statement: str, new_tables: set[str]) -> bool:
    """Whether it only adds. Created tables go into `new_tables`: the older release does not use them at all."""
    if _HARMLESS.match(statement):
        return True
    if match := _TABLE.match(statement):
        new_tables.add(match["table"])
        return True
    if match := _INDEX.match(statement):
        return not match["unique"] or match["table"] in new_tables
    if match := _ALTER.match(statement):
        return match["table"] in new_tables or all(map(_adds_column, _actions(match["rest"])))
    return False


def _adds_column(action: str) -> bool:
    match = _COLUMN.match(action.strip())
    if match is None or _MORE.search(match["rest"]):
        return False
    upper = match["rest"].upper()
    return "NOT NULL" not in upper or "DEFAULT" in upper


def _actions(rest: str) -> list[str]:
    """The actions of one ALTER TABLE, split at commas outside brackets and quotes."""
    actions, depth, quoted = [""], 0, False
    for letter in rest:
        quoted ^= letter == "'"
        if not quoted:
            depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth and not quoted:
            actions.append("")
        else:
            actions[-1] += letter
    return actions


def _beginning(statement: str) -> str:
    return " ".join(statement.split())[:120]
