"""Single values of gateway.yaml that several of its parts have: names, money, times."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from tollgate.config.gateway.model_names import GROUP
from tollgate.errors import Mistake

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,99}")
_GROUP_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_KEY_REFERENCE = re.compile(r"env:[A-Z][A-Z0-9_]*_API_KEY")


def model_name(value: str) -> str:
    if value.startswith(GROUP):
        raise Mistake("group: begins a group in tenant files, not a model", "list groups under groups:")
    if not _NAME.fullmatch(value):
        raise Mistake(f"not a model name: {value[:60]!r}", "letters, digits and . _ : @ / -, at most 100")
    return value


def group_name(value: str) -> str:
    if not _GROUP_NAME.fullmatch(value):
        raise Mistake(f"not a group name: {value[:60]!a}", "lower-case letters, digits, - and _, at most 63")
    return value


def key_reference(value: str) -> str:
    """Never echo the value: people paste keys here."""
    if value != "none" and not _KEY_REFERENCE.fullmatch(value):
        raise Mistake("expected env:NAME_API_KEY or none, found ***", "a key belongs in .env; this file is committed")
    return value


Usd = Annotated[float, Field(ge=0, le=10_000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
