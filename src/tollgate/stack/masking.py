"""Takes credentials out of text that a person will see: container logs in errors, build output, HTTP messages."""

from __future__ import annotations

import re

# Tried on lines as the services write them (docs/facts.md 11); what Loki gets is masked in config/alloy.
_TOKENS = re.compile(
    # Short keys only where a word begins (ask-me-anything is none), long ones anywhere: \nsk-... in escaped JSON.
    r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{8,}|sk-[A-Za-z0-9_-]{20,}"
    r"|AIza[0-9A-Za-z_-]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+"
)
_NAMED = re.compile(
    r"(?i)((?:authorization|x-api-key|api[_-]?key|password|master_key)[\"']?\s*[:=]\s*[\"']?(?:(?:Bearer|Basic)\s+)?+)"
    r"[^\s\"',}]{6,}"
)
_BEARER = re.compile(r"(?i)(\bBearer\s+)[A-Za-z0-9._~+/=-]{16,}")
# Redis has no user name in front of the colon.
_URL_PASSWORD = re.compile(r"(\w+://[^\s:/@]*:)[^\s@]+(@)")


def mask(text: str) -> str:
    """`text` with everything that looks like a credential replaced by ***."""
    text = _URL_PASSWORD.sub(r"\1***\2", text)
    return _BEARER.sub(r"\1***", _NAMED.sub(r"\1***", _TOKENS.sub("***", text)))
