"""Whether a migration only adds: then the release before serves on the schema it leaves behind.

It reads and writes the columns it knows and never sees the others. Anything that is not plainly an addition counts as a
change: a wrong "no" costs an operator a question, a wrong "yes" costs requests.
"""

from __future__ import annotations

import re

from tollgate.litellm.migrate import sql

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
    """The statements that do more than add, the first line of each; none where the release before can go on."""
    new: set[str] = set()
    return [_first_line(statement) for statement in sql.statements(script) if not _adds(statement, new)]


def _adds(statement: str, new: set[str]) -> bool:
    """Also keeps in `new` the tables that this migration makes: what it then does to them concerns nobody else."""
    if _HARMLESS.match(statement):
        return True
    if found := _TABLE.match(statement):
        new.add(found["table"])
        return True
    if found := _INDEX.match(statement):
        return not found["unique"] or found["table"] in new
    if found := _ALTER.match(statement):
        return found["table"] in new or all(map(_adds_column, _actions(found["rest"])))
    return False


def _adds_column(action: str) -> bool:
    found = _COLUMN.match(action.strip())
    if found is None or _MORE.search(found["rest"]):
        return False
    upper = found["rest"].upper()
    return "NOT NULL" not in upper or "DEFAULT" in upper


def _actions(rest: str) -> list[str]:
    """The comma-separated actions of one ALTER TABLE; commas inside brackets or quotes separate none."""
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


def _first_line(statement: str) -> str:
    return " ".join(statement.split())[:120]
