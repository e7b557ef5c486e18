"""The address of an HTTP server in a setting: no credentials and no query, because settings are no place for keys."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from tollgate.errors import Mistake


def _endpoint(value: str) -> str:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  reading it checks it
    except ValueError:
        raise ValueError(f"expected an address such as http://host:8000/v1, found {value[:60]!r}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected an address such as http://host:8000/v1, found {value[:60]!r}")
    if parts.username or parts.password or parts.query:
        raise Mistake(
            "expected an address without credentials or query", "put keys into .env and name them with api_key"
        )
    return value.rstrip("/")


Endpoint = Annotated[str, AfterValidator(_endpoint)]
