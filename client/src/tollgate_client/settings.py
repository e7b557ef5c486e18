"""Where the gateway is, with which key, and how long to wait. The only place that reads the environment."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field

import httpx

from tollgate_client.errors import ConfigurationError
from tollgate_client.retries import Retries
from tollgate_client.version import VERSION

BASE_URL, API_KEY = "LITELLM_BASE_URL", "LITELLM_API_KEY"
# Seconds until a connection stands. The timeout of a provider is for the answer.
CONNECT_SECONDS = 10.0
# Sockets need a finite timeout: about eleven days.
_LONGEST_SECONDS = 1e6


@dataclass(frozen=True)
class Settings:
    """`base_url` is empty for a provider that has custom models only."""

    base_url: str
    api_key: str = field(repr=False)
    timeout: float = 600.0
    models_ttl: float = 300.0
    retries: Retries = field(default_factory=Retries)

    @classmethod
    def of(
        cls, base_url: str | None, api_key: str | None, timeout: float, max_retries: int, models_ttl: float = 300.0
    ) -> Settings:
        """Explicit values before LITELLM_BASE_URL and LITELLM_API_KEY."""
        address = _text("base_url", os.environ.get(BASE_URL, "") if base_url is None else base_url).rstrip("/")
        key = _text("api_key", os.environ.get(API_KEY, "") if api_key is None else api_key)
        if address:
            _check_address(address)
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            raise ConfigurationError("expected an api_key of printable ASCII without spaces")
        if not _number(timeout) or not 0 < timeout <= _LONGEST_SECONDS:
            raise ConfigurationError(f"expected a timeout above 0 and up to 1,000,000 seconds, found {timeout!r}")
        if not isinstance(max_retries, int) or isinstance(max_retries, bool) or max_retries < 0:
            raise ConfigurationError(f"expected max_retries as a whole number of 0 or more, found {max_retries!r}")
        if not _number(models_ttl) or models_ttl < 0:
            raise ConfigurationError(f"expected models_ttl of 0 or more seconds, found {models_ttl!r}")
        return cls(address.removesuffix("/v1"), key, timeout, models_ttl, Retries(most=max_retries))

    @property
    def online(self) -> bool:
        return bool(self.base_url)

    def url(self, path: str) -> str:
        if not self.online:
            raise ConfigurationError(f"no gateway address: pass base_url, or set {BASE_URL}")
        return self.base_url + path

    def headers(self) -> httpx.Headers:
        """As httpx's own kind, whose repr hides the key: tools that print local variables show it."""
        common = {"user-agent": f"tollgate-client/{VERSION}", "accept": "application/json"}
        return httpx.Headers({**common, **({"authorization": f"Bearer {self.api_key}"} if self.api_key else {})})

    def seconds(self, own: float | None) -> float:
        """The timeout of a call; `own` is that of its kind."""
        return self.timeout if own is None else min(own, self.timeout)

    def timeouts(self, own: float | None = None) -> httpx.Timeout:
        seconds = self.seconds(own)
        return httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"expected {name} as text, found {type(value).__name__}")
    return value.strip()


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _check_address(address: str) -> None:
    """The error does not repeat the address: it may be the key, given in the wrong place, or hold a password."""
    try:
        url = httpx.URL(address)
        usable = url.scheme in ("http", "https") and bool(url.host) and (url.port or 1) < 2**16 and " " not in address
    except (httpx.InvalidURL, ValueError):
        usable = False
    if not usable:
        raise ConfigurationError("expected base_url as http://HOST:PORT or https://HOST; this value is neither")
    if url.userinfo or url.query or url.fragment:
        raise ConfigurationError("expected base_url without a user, password, ? or #. hint: the key is api_key")
