"""Carries an upstream's own data in fields of a Messages answer. The client returns it with the next request.

Messages has no field for an upstream's encrypted reasoning, nor for tool call ids such as Kimi's `functions.Bash:0`:
Anthropic's API takes only letters, digits, `_` and `-` in ids. Both are packed into a field that clients return
unchanged: the signature of a thinking block, the data of a redacted one, the id of a tool call.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from tollgate.services.gateway.convert.refusal import Json

# Clients refuse an empty signature (CLIProxyAPI issue 3817). Anthropic refuses one that is not its own, so the route to
# Anthropic must leave out thinking blocks that begin with this mark.
MARK = "tollgate."
PACKED_ID = "tgid_"
# A detail of our own: `extra_content` of a tool call, where Gemini's server puts its signatures.
EXTRA = "reasoning.extra_content"
MOST_PACKED = 4 * 1024 * 1024
# OpenAI's bound for the name of a function. Names of MCP tools are longer.
NAME_LETTERS = 64
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")


def pack(details: Iterable[Json]) -> str:
    """The signature of a thinking block that carries `details`, OpenRouter's `reasoning_details`, maybe none."""
    kept = list(details)
    return MARK + (base64.b64encode(json.dumps(kept, separators=(",", ":")).encode()).decode() if kept else "")


def unpack(signature: Any) -> list[Json]:
    """The details in a signature; [] where it is not ours, or where a client has changed it."""
    if not is_ours(signature) or len(signature) > MOST_PACKED:
        return []
    try:
        details = json.loads(base64.b64decode(signature[len(MARK) :], validate=True) or b"[]")
    except (ValueError, binascii.Error, RecursionError):
        return []
    if not isinstance(details, list):
        return []
    return [detail for detail in details if is_detail(detail)]


def is_ours(signature: Any) -> bool:
    return isinstance(signature, str) and signature.startswith(MARK)


def is_detail(detail: Any) -> bool:
    """Whether it is one of OpenRouter's: an object whose type begins with `reasoning.`."""
    kind = detail.get("type") if isinstance(detail, dict) else None
    return isinstance(kind, str) and kind.startswith("reasoning.")


def is_extra(detail: Json) -> bool:
    """Whether it is the `extra_content` of a call, whose id it holds."""
    return detail["type"] == EXTRA and isinstance(detail.get("id"), str)


def is_opaque(detail: Json) -> bool:
    """Whether it holds more than its text: a signature, or encrypted reasoning."""
    return bool(detail.get("signature") or detail.get("data"))


def detail_text(detail: Json) -> str:
    """The words of a detail: reasoning, or a summary of it."""
    text = detail.get("text") or detail.get("summary")
    return text if isinstance(text, str) else ""


def signature(pieces: Iterable[Json], hidden: str) -> str:
    """The signature of a thinking block. `pieces` are the details in it, `hidden` the words that it does not show.

    Details without a secret add nothing to the words of the block, so they are not carried.
    """
    details = joined(pieces)
    if any(map(is_opaque, details)):
        return pack(details)
    return pack([{"type": "reasoning.text", "text": hidden}] if hidden else [])


def joined(pieces: Iterable[Json]) -> list[Json]:
    """The details of a stream, where each comes in pieces, as whole details."""
    details: list[Json] = []
    for piece in pieces:
        last = details[-1] if details else None
        if last is None or not _is_of_one(last, piece):
            details.append(dict(piece))
            continue
        for name, value in piece.items():
            if name in ("text", "summary", "data") and isinstance(value, str) and isinstance(last.get(name), str):
                last[name] += value
            elif value is not None:
                last[name] = value
    return details


def _is_of_one(last: Json, piece: Json) -> bool:
    ids = (last.get("id"), piece.get("id"))
    same = (last["type"], last.get("index")) == (piece["type"], piece.get("index"))
    return same and (None in ids or ids[0] == ids[1])


def outward_id(upstream: str) -> str:
    """A tool call's id in the form that every Messages client and server takes."""
    if _PLAIN_ID.fullmatch(upstream) and not upstream.startswith(PACKED_ID):
        return upstream
    return PACKED_ID + base64.urlsafe_b64encode(upstream.encode("utf-8", "replace")).decode().rstrip("=")


def inward_id(client: str) -> str:
    """The upstream's own id of a tool call, from the id that the client returns."""
    if not client.startswith(PACKED_ID):
        return client
    packed = client[len(PACKED_ID) :]
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), b"-_", validate=True).decode() or client
    except (ValueError, binascii.Error):
        return client


def short_name(name: str) -> str:
    """The name of a tool within OpenAI's bound. A digest keeps long names apart."""
    if len(name) <= NAME_LETTERS:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{name[: NAME_LETTERS - 9]}_{digest}"


def long_names(request: Json) -> dict[str, str]:
    """The names that `short_name` made for this request's tools, each with the client's own name."""
    tools = request.get("tools")
    names = [tool.get("name") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    return {short_name(name): name for name in names if isinstance(name, str) and len(name) > NAME_LETTERS}
