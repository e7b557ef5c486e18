"""Which gateway processes and replicas nginx sends requests to, from the list that nginx uses (nginx/entrypoint.sh)."""

from __future__ import annotations

import re
from typing import Any

from tollgate.services.gateway.console.inner import Inner, NoAnswerError

MOST = 200
_SERVER = re.compile(
    r"^server [0-9.]{7,15}:\d{1,5} ([a-z0-9_= ]{0,100}); # ((?:litellm|gateway)-\d{1,4})$", re.MULTILINE
)


async def servers(inner: Inner, base: str) -> list[dict[str, Any]]:
    """`takes` is false for one that is drained or silent: it gets no new request. Raises NoAnswerError."""
    if not base:
        raise NoAnswerError("This gateway process does not know where nginx is. `make deploy` tells it.")
    text = (await inner.text("nginx", f"{base}/in-use")).decode(errors="replace")
    return parsed(text)


def parsed(text: str) -> list[dict[str, Any]]:
    servers = ((match[2], "down" not in match[1].split()) for match in _SERVER.finditer(text))
    return [{"name": name, "takes": takes} for name, takes in sorted(dict(servers).items(), key=_order)][:MOST]


def _order(server: tuple[str, bool]) -> tuple[str, int]:
    kind, _, number = server[0].rpartition("-")
    return kind, int(number)
