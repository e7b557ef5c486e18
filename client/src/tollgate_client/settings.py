"""Where the gateway is, with which key, and how long to wait. The only place that reads the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import httpx

from tollgate_client.errors import ConfigurationError
from tollgate_client.retries import Retries
from tollgate_client.version import VERSION

BASE_URL, API_KEY = "LITELLM_BASE_URL", "LITELLM_API_KEY"
# Seconds until a connection stands. The timeout of a provider is for the answer.
CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Settings:
    """`base_url` is empty for a provider that has custom models only."""

    base_url: str
    api_key: str = field(repr=False)
    timeout: float = 600.0
    retries: Retries = field(default_factory=Retries)

    @classmethod
    def of(cls, base_url: str | None, api_key: str | None, timeout: float, max_retries: int) -> Settings:
        """Explicit values before LITELLM_BASE_URL and LITELLM_API_KEY."""
        address = (os.environ.get(BASE_URL, "") if base_url is None else base_url).strip().rstrip("/")
        key = (os.environ.get(API_KEY, "") if api_key is None else api_key).strip()
        if address and not address.startswith(("http://", "https://")):
            raise ConfigurationError(f"expected base_url with http:// or https://, found {address[:200]!r}")
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            raise ConfigurationError("expected an api_key of printable ASCII without spaces")
        if not timeout > 0:
            raise ConfigurationError(f"expected a timeout above 0 seconds, found {timeout!r}")
        if max_retries < 0:
            raise ConfigurationError(f"expected max_retries of 0 or more, found {max_retries!r}")
        return cls(address.removesuffix("/v1"), key, timeout, Retries(most=max_retries))

    @property
    def online(self) -> bool:
        return bool(self.base_url)

    def url(self, path: str) -> str:
        if not self.online:
            raise ConfigurationError(f"no gateway address: pass base_url, or set {BASE_URL}")
        return self.base_url + path

    def headers(self) -> dict[str, str]:
        common = {"user-agent": f"tollgate-client/{VERSION}", "accept": "application/json"}
        return {**common, **({"authorization": f"Bearer {self.api_key}"} if self.api_key else {})}

    def timeouts(self) -> httpx.Timeout:
        return httpx.Timeout(self.timeout, connect=min(CONNECT_SECONDS, self.timeout))
