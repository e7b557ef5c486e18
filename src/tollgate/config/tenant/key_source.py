"""The source of a tenant's key: the key itself, a variable, or a file. This module reads neither variable nor file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from tollgate.config.secret import Secret
from tollgate.config.tenant import own_names
from tollgate.errors import Mistake

# One part of a path: ASCII, so that no letter looks like another one, and not hidden.
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*")
_MOST_LETTERS = 200
# LiteLLM accepts these keys and can block them: sk-, 16 to 100 safe characters.
_KEY = re.compile(r"sk-[A-Za-z0-9_-]{13,97}")


@dataclass(frozen=True)
class KeyOrigin:
    """`value` is the key itself (`literal`), a variable's name (`env`) or a path (`file`)."""

    kind: Literal["literal", "env", "file"]
    value: Secret


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise Mistake("expected env:NAME with the name of a variable", "as in env:ENGINEERING_KEY")
    if own_names.is_own_variable(name):
        raise Mistake(
            "expected a variable of the tenant's own, found one of the gateway's or of a provider's",
            "give the tenant's key a name of its own, as in env:ENGINEERING_KEY",
        )
    return name


def file_path(text: str) -> str:
    """The path behind `file:`, in one spelling: then a file that two keys name is found. Raises Mistake."""
    parts = PurePosixPath(text).parts
    if not parts or ".." in parts or text[0] in "/~" or not text.isprintable():
        raise Mistake("expected file:PATH below the checkout, without ..", "as in file:secrets/engineering.key")
    if len(text) > _MOST_LETTERS or not all(map(_PART.fullmatch, parts)):
        raise Mistake(
            f"expected file:PATH of at most {_MOST_LETTERS} letters, digits and . _ @ + - /, found others or more",
            "no part of it begins with a dot or a dash, as in file:secrets/engineering.key",
        )
    if whose := own_names.owner_of(parts):
        raise Mistake(f"expected a file of the tenant's own, found {whose}", "as in file:secrets/engineering.key")
    return "/".join(parts)


def _parse(value: Any) -> Any:
    """Messages never repeat the value, because it can be a key."""
    if not isinstance(value, str):
        raise Mistake("expected text, found ***", "env:NAME, file:PATH or a key that starts with sk-")
    scheme, colon, rest = value.partition(":")
    if colon and scheme == "env":
        return KeyOrigin("env", Secret(_variable(rest)))
    if colon and scheme == "file":
        return KeyOrigin("file", Secret(file_path(rest)))
    return KeyOrigin("literal", check_key(value))


KeySource = Annotated[
    KeyOrigin,
    BeforeValidator(_parse),
    WithJsonSchema({"type": "string", "pattern": r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|sk-[A-Za-z0-9_-]{13,97})$"}),
]


def check_key(value: str) -> Secret:
    """A key that LiteLLM accepts; otherwise Mistake. Also for keys from files and variables."""
    if not value.startswith("sk-"):
        raise Mistake(
            "a key must start with sk-; this one does not", "LiteLLM refuses other keys; or use env:NAME, file:PATH"
        )
    if len(value) < 16:
        raise Mistake(
            f"a key must have at least 16 characters, this one has {len(value)}", "without api_key a key is generated"
        )
    if not _KEY.fullmatch(value):
        raise Mistake("a key must have only letters, digits, - and _, at most 100", "LiteLLM cannot block other keys")
    return Secret(value)
