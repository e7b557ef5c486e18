"""The models that a provider knows: the gateway's list, for a while, and the program's own. No I/O."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tollgate_client.errors import (
    ConfigurationError,
    TollgateError,
    UnknownModelError,
    UnknownPriceError,
    is_away,
)
from tollgate_client.model_info import CustomModel, ModelEntry, ModelInfo, of_entry
from tollgate_client.prices import Price

_log = logging.getLogger("tollgate_client")
# After a failed fetch the known models are used for this many seconds. Then the list is fetched again.
_RETRY_SECONDS = 30.0
_NO_USES: Mapping[str, int] = {}


class Catalogue:
    """`ttl` in seconds: how old the gateway's list may be. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        custom: Mapping[str, Mapping[str, Any]],
        ttl: float,
        *,
        online: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not isinstance(custom, Mapping):
            raise ConfigurationError(f"expected custom_models as a mapping of names, found {type(custom).__name__}")
        self._custom = {name: CustomModel.of_mapping(name, stated) for name, stated in custom.items()}
        self._ttl = ttl
        self._online = online
        self._clock = clock
        self._lock = threading.Lock()
        # Held by the thread that fetches the list for all.
        self.turn = threading.Lock()
        self._listed: Mapping[str, ModelInfo] = {}
        self._fresh_until = float("-inf")
        self._was_listed = False
        self._failed: tuple[float, TollgateError] | None = None

    def add(self, model: CustomModel) -> None:
        with self._lock:
            self._custom = {**self._custom, model.name: model}

    @property
    def stale(self) -> bool:
        """Whether the gateway's list must be fetched before it is used."""
        return self._online and self._clock() >= self._fresh_until

    @property
    def now(self) -> float:
        """For `wanted`: when somebody began to wait for the list."""
        return self._clock()

    def wanted(self, since: float) -> bool:
        """Whether a caller that has waited since `since` must fetch the list. If the fetch of another caller failed
        meanwhile, raise its error, so that waiting callers do not try one after another."""
        failed = self._failed
        if failed is not None and failed[0] >= since and self.stale:
            raise copy.copy(failed[1])
        return self.stale

    def listed(self, entries: Iterable[ModelEntry]) -> None:
        """Take the gateway's list."""
        models = {entry.id: of_entry(entry) for entry in entries}
        with self._lock:
            self._listed, self._was_listed = models, True
            self._fresh_until = self._clock() + self._ttl

    def not_listed(self, error: TollgateError) -> None:
        """The fetch failed. If the gateway is away, the known models stay in use. Every other error is raised."""
        if not is_away(error) or not (self._was_listed or self._custom):
            self._failed = (self._clock(), copy.copy(error))
            raise error
        _log.warning("the list of models was not fetched (%s); the known models serve meanwhile", error)
        with self._lock:
            self._fresh_until = self._clock() + min(self._ttl, _RETRY_SECONDS)

    def names(self) -> list[str]:
        return sorted({*self._listed, *self._custom})

    def find(self, name: str) -> ModelInfo | None:
        custom, listed = self._custom.get(name), self._listed.get(name)
        return _over(custom, listed)

    def all(self) -> list[ModelInfo]:
        """At one moment, sorted by name."""
        with self._lock:
            listed, custom = self._listed, self._custom
        models = [_over(custom.get(name), listed.get(name)) for name in sorted({*listed, *custom})]
        return [model for model in models if model is not None]

    def get(self, name: str) -> ModelInfo:
        model = self.find(name)
        if model is None:
            known = ", ".join(self.names()[:20]) or "none"
            raise UnknownModelError(f"expected one of the models {known}; found {name!r}")
        return model

    def price(self, name: str, uses: Mapping[str, int] = _NO_USES) -> Price:
        """With the prices of the tools in `uses`, which the provider runs."""
        price = self.get(name).price
        if price is None:
            raise UnknownPriceError(f"{name} has no known price. hint: pass pricing in custom_models")
        if unknown := price.unpriced(uses):
            tools = ", ".join(unknown)
            raise UnknownPriceError(f"{name} has no known price for {tools}. hint: pass server_tools in its pricing")
        return price

    def custom_price(self, name: str, uses: Mapping[str, int] = _NO_USES) -> Price | None:
        """The price that the program gave, if it suffices: it needs no list."""
        custom = self._custom.get(name)
        return custom.price if custom and custom.price and not custom.price.unpriced(uses) else None


def _over(custom: CustomModel | None, listed: ModelInfo | None) -> ModelInfo | None:
    return listed if custom is None else custom.over(listed)
