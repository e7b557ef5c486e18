"""Restores the fields that LiteLLM leaves out of a Messages request to Anthropic.

Pure. LiteLLM builds the upstream's request from a list of known fields, so it loses new fields of a new Claude Code. It
also removes thinking for models that it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

# Never restored: the gateway chooses the model, and LiteLLM chooses how to stream.
OURS = frozenset({"model", "messages", "stream"})
# LiteLLM removes or changes these for a model that it does not know.
GUESSED = ("thinking", "output_config")
HEADERS = ("anthropic-version", "anthropic-beta")


def missing(sent: Mapping[str, Any], kept: Collection[str], *, dropped: Collection[str], trust: bool) -> dict[str, Any]:
    """The fields of `sent` to put back: those that LiteLLM does not know. With `trust`, also those it could leave out.

    `kept` has the names that LiteLLM knows. `dropped` has the names that LiteLLM uses itself or the operator drops.
    """
    return {
        name: value
        for name, value in sent.items()
        if name not in OURS and name not in dropped and value is not None and (trust or name not in kept)
    }


def restored(built: bytes | str, back: Mapping[str, Any]) -> bytes | str:
    """The body that LiteLLM `built`, with the fields of `back`. A field in both stays as built, except GUESSED ones."""
    body = json.loads(built)
    changes = {name: value for name, value in back.items() if name in GUESSED or name not in body}
    if all(body.get(name) == value for name, value in changes.items()):
        return built
    return json.dumps({**body, **changes})


def headers(sent: Mapping[str, str]) -> dict[str, str]:
    """Anthropic's own headers among the client's."""
    lower = {name.lower(): value for name, value in sent.items()}
    return {name: lower[name] for name in HEADERS if lower.get(name)}
