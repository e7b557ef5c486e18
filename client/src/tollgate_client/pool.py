"""Opens a pool of connections. The environment can name certificates and proxies that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from tollgate_client.errors import ConfigurationError

C = TypeVar("C", httpx.Client, httpx.AsyncClient)
_NAMES = "SSL_CERT_FILE, SSL_CERT_DIR, HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"


def opened(kind: Callable[..., C], **settings: Any) -> C:
    """ConfigurationError without the values, because the address of a proxy can hold a password."""
    try:
        return kind(**settings)
    except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
        problem = type(error).__name__
    hint = "hint: SOCKS proxies need httpx[socks]" if problem == "ImportError" else f"hint: check {_NAMES}"
    raise ConfigurationError(f"a proxy or certificate of the environment cannot be used ({problem}). {hint}")
