"""Where a tenant's key comes from: written out, in a variable, or in a file. Nothing here reads the latter two."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from tollgate.config.secret import Secret

# What LiteLLM takes as a caller-chosen key and still lets itself be blocked by: sk-, 16 to 100 safe characters.
_KEY = re.compile(r"sk-[A-Za-z0-9_-]{13,97}")


@dataclass(frozen=True)
class KeyOrigin:
    """`value` is the key itself (`literal`), a variable's name (`env`) or a path (`file`)."""

    kind: Literal["literal", "env", "file"]
    value: Secret


def _parse(value: Any) -> Any:
    """Messages never repeat the value: it may be a key."""
    if not isinstance(value, str):
        raise ValueError("expected text, found ***\nenv:NAME, file:PATH or a key that starts with sk-")
    scheme, colon, rest = value.partition(":")
    if colon and scheme == "env":
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest):
            raise ValueError("expected env:NAME with the name of a variable\nas in env:ENGINEERING_KEY")
        return KeyOrigin("env", Secret(rest))
    if colon and scheme == "file":
        parts = PurePosixPath(rest).parts
        if not parts or ".." in parts or rest[0] in "/~" or not rest.isprintable():
            raise ValueError("expected file:PATH below the checkout, without ..\nas in file:secrets/engineering.key")
        return KeyOrigin("file", Secret("/".join(parts)))  # one spelling, so that one file is seen to be one key
    return KeyOrigin("literal", check_key(value))


KeySource = Annotated[
    KeyOrigin,
    BeforeValidator(_parse),
    WithJsonSchema({"type": "string", "pattern": r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|sk-[A-Za-z0-9_-]{13,97})$"}),
]


def check_key(value: str) -> Secret:
    """A key as LiteLLM takes it; ValueError("what\\nhint") otherwise. For keys from files and variables too."""
    if not value.startswith("sk-"):
        raise ValueError(
            "a key starts with sk-; this one does not\nLiteLLM refuses it otherwise; or use env:NAME, file:PATH"
        )
    if len(value) < 16:
        raise ValueError(f"a key has at least 16 characters, this one {len(value)}\nleave it out and one is generated")
    if not _KEY.fullmatch(value):
        raise ValueError("a key holds letters, digits, - and _, at most 100\nLiteLLM cannot block any other")
    return Secret(value)
