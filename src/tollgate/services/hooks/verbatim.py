"""What LiteLLM leaves out of a Messages request on its way to Anthropic, put back as the client sent it.

Pure. LiteLLM builds the upstream's request from a list of fields it knows, so a field that came with last week's Claude
Code is lost; and of models it does not know it thinks that they cannot think.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

# The gateway's own business: which model a name stands for, and which stream LiteLLM asks for.
OURS = frozenset({"model", "messages", "stream"})
# What LiteLLM takes away from a model it has never heard of.
GUESSED = ("thinking", "output_config")
HEADERS = ("anthropic-version", "anthropic-beta")


def missing(sent: Mapping[str, Any], kept: Collection[str], *, dropped: Collection[str], trust: bool) -> dict[str, Any]:
    """The fields of `sent` to put back: those LiteLLM does not know, or with `trust` all that it may leave out.

    `kept` are the names LiteLLM knows. `dropped` are those it uses itself or the operator wants dropped.
    """
    return {
        name: value
        for name, value in sent.items()
        if name not in OURS and name not in dropped and value is not None and (trust or name not in kept)
    }


def restored(built: bytes | str, back: Mapping[str, Any]) -> bytes | str:
    """The body LiteLLM `built`, with `back` in it. What both have stays as built, but for what LiteLLM guesses."""
    body = json.loads(built)
    changes = {name: value for name, value in back.items() if name in GUESSED or name not in body}
    if all(body.get(name) == value for name, value in changes.items()):
        return built
    return json.dumps({**body, **changes})


def headers(sent: Mapping[str, str]) -> dict[str, str]:
    """Anthropic's own among the client's headers."""
    lower = {name.lower(): value for name, value in sent.items()}
    return {name: lower[name] for name in HEADERS if lower.get(name)}
