"""Removes credentials from text that a person will see: container logs in errors, build output, HTTP messages."""

from __future__ import annotations

import re

# Tested with lines that the services write (docs/facts.md 11). config/alloy masks the lines for Loki.
_TOKENS = re.compile(
    # A short key only at the beginning of a word (not in ask-me-anything), a long key anywhere (\nsk-... in JSON).
    r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{8,}|sk-[A-Za-z0-9_-]{20,}"
    r"|(?:gsk_|hf_|xai-)[A-Za-z0-9]{20,}|AIza[0-9A-Za-z_-]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+"
)
_NAMED = re.compile(
    r"(?i)((?:authorization|x-api-key|api[_-]?key|password|master_key|secret_access_key)[\"']?\s*[:=]\s*[\"']?(?:(?:Bearer|Basic)\s+)?+)"
    r"[^\s\"',}]{6,}"
)
_BEARER = re.compile(r"(?i)(\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{16,}")
_SLACK = re.compile(r"(hooks\.slack\.com/services/)[A-Za-z0-9/]+")
# A Redis URL has no user name before the colon.
_URL_PASSWORD = re.compile(r"(\w+://[^\s:/@]*:)[^\s@]+(@)")


def mask(text: str) -> str:
    """`text` with everything that looks like a credential replaced by ***."""
    text = _SLACK.sub(r"\1***", _URL_PASSWORD.sub(r"\1***\2", text))
    return _BEARER.sub(r"\1***", _NAMED.sub(r"\1***", _TOKENS.sub("***", text)))
