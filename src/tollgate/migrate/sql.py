"""Splits a script into statements and recognizes their kind, with the few lexical rules that this needs."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Comments, strings and bodies, in which a `;` does not end a statement. Block comments can be nested, which a regular
# expression cannot match, so only their start is here.
_TOKEN = re.compile(
    r"""
      (?P<comment>--[^\n]*)
    | (?P<block>/\*)
    | (?P<escaped>\b[eE]'(?:[^'\\]|''|\\.)*')
    | (?P<quoted>'(?:[^']|'')*' | "(?:[^"]|"")*")
    | (?P<dollar>\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$)
    | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)
_OUTSIDE_A_TRANSACTION = re.compile(
    r"""^(?:
      (?:CREATE\s+(?:UNIQUE\s+)?|DROP\s+)INDEX\s+CONCURRENTLY\b
    | REINDEX\b.*\bCONCURRENTLY\b
    | ALTER\s+TABLE\b.*\bDETACH\s+PARTITION\b.*\bCONCURRENTLY\b
    | VACUUM\b
    | ALTER\s+SYSTEM\b
    | (?:CREATE|DROP)\s+(?:DATABASE|TABLESPACE)\b
    )""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_CONCURRENT_INDEX = re.compile(
    r'^CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<bare>\w+))\s+ON\b',
    re.IGNORECASE,
)


def statements(script: str) -> list[str]:
    """Split at the `;` that end statements. Comments are removed; strings and bodies stay unchanged."""
    return [text for text in (piece.strip() for piece in _pieces(script)) if text]


def outside_a_transaction(statement: str) -> bool:
    """Whether PostgreSQL refuses this statement inside a transaction."""
    return bool(_OUTSIDE_A_TRANSACTION.match(statement))


def concurrent_index(statement: str) -> str | None:
    """The name of the index that a `CREATE INDEX CONCURRENTLY` builds, as PostgreSQL stores it; else None."""
    match = _CONCURRENT_INDEX.match(statement)
    if not match:
        return None
    quoted = match["quoted"]
    return quoted.replace('""', '"') if quoted else match["bare"].lower()


def _pieces(script: str) -> Iterator[str]:
    piece: list[str] = []
    position = 0
    while token := _TOKEN.search(script, position):
        piece.append(script[position : token.start()])
        position = token.end()
        if token["end"]:
            yield "".join(piece)
            piece = []
        elif token["block"]:
            position = _end_of_block_comment(script, position)
            piece.append(" ")
        elif token["comment"]:
            piece.append(" ")
        else:
            piece.append(token[0])
    yield "".join([*piece, script[position:]])


def _end_of_block_comment(script: str, position: int) -> int:
    depth = 1
    for mark in re.compile(r"/\*|\*/").finditer(script, position):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(script)
