"""`GET /v1/models`: the names that a tenant may ask for, with prices, sizes and abilities.

The entries have OpenAI's fields and Anthropic's together, so that clients of both read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tollgate.services.gateway.caller import Caller
from tollgate.services.gateway.catalogue import Catalogue
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.requests.fields import packed, shown, unpacked

# The gateway does not know when a model was made. This is the constant that LiteLLM answers.
CREATED = 1677610602
CREATED_AT = f"{datetime.fromtimestamp(CREATED, UTC):%Y-%m-%dT%H:%M:%SZ}"

Entry = dict[str, Any]


def names(catalogue: Catalogue, caller: Caller) -> list[str]:
    """Exactly the names of the tenant's file; without a list in it, every name of the gateway."""
    return [name for name in catalogue.listed if caller.models is None or name in caller.models]


def entry(name: str, details: Mapping[str, Any]) -> Entry:
    both = {"id": name, "object": "model", "type": "model", "created": CREATED, "created_at": CREATED_AT}
    return {**both, "owned_by": "tollgate", **details}


def entries(catalogue: Catalogue, caller: Caller) -> list[Entry]:
    return [entry(name, _told(catalogue, caller, name)) for name in names(catalogue, caller)]


def listing(catalogue: Catalogue, caller: Caller, *, claude_code: bool = False) -> Entry:
    """The whole list is one page. `claude_code`: with the names that Claude Code shows in /model."""
    listed = entries(catalogue, caller)
    if claude_code:
        listed = [{**entry, "id": packed(entry["id"], entry["tollgate"]["context_tokens"])} for entry in listed]
    first, last = (listed[0]["id"], listed[-1]["id"]) if listed else (None, None)
    return {"object": "list", "data": listed, "has_more": False, "first_id": first, "last_id": last}


def one(catalogue: Catalogue, caller: Caller, name: str) -> Entry | None:
    """None for a model that does not exist, or that this tenant may not use. A client may send Claude Code's form."""
    for asked in (name, unpacked(name)):
        if asked in catalogue.listed and caller.may_use(*catalogue.names_of(asked)):
            return entry(asked, _told(catalogue, caller, asked))
    return None


def _told(catalogue: Catalogue, caller: Caller, name: str) -> Mapping[str, Any]:
    """Without the fallbacks that this tenant may not use: they never answer it, and it must not learn their names."""
    details = catalogue.listed[name]
    if "fallbacks" not in details["tollgate"]:
        return details
    left = [other for other in details["tollgate"]["fallbacks"] if caller.may_use(*catalogue.names_of(other))]
    return {**details, "tollgate": {**details["tollgate"], "fallbacks": left}}


def unknown(name: str) -> Refusal:
    message = f'This gateway has no model "{shown(name)}" for this key. GET /v1/models lists those it may use.'
    return Refusal(404, "not_found_error", "model_not_found", message)
