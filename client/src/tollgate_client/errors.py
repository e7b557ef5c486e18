"""Every error of this package.

    TollgateError
    ├── ConfigurationError            your program: no address, a price without a unit, an unknown strategy
    │   ├── UnknownModelError         neither the gateway nor custom_models have this model
    │   └── UnknownPriceError         the model has no price, so nothing can be promised or calculated
    ├── GatewayConnectionError        the gateway was not reached, or did not answer
    │   ├── GatewayTimeoutError       it took longer than `timeout`
    │   └── StreamInterruptedError    the answer ended in the middle; what had come stays valid, and is paid
    ├── AnswerError                   the gateway answered something that is not its API
    ├── StatusError                   the gateway refused: `status`, `kind`, `code`, `request_id`, its sentence
    │   ├── BadRequestError           400, 413, 415, 422: the request itself is wrong
    │   ├── RefusedKeyError           401: the key is missing, unknown, revoked or expired
    │   ├── NotAllowedError           403: this key may not use the model or the route
    │   ├── BudgetSpentError          429: `resets_at` says when the budget opens again
    │   ├── RateLimitedError          429: `retry_after` says how many seconds to wait
    │   ├── OverloadedError           503, 529: try again after `retry_after`
    │   ├── ProviderRefusedError      424, 502: the provider behind the gateway refused it
    │   └── GatewayFaultError         every other status
    └── RoutingError
        ├── NoModelError              no model can do what the request asks; `reasons` has one for each
        └── MaxCostError              no model fits into `max_cost`; it names the cheapest and its price

No error holds a key, a request or an answer's body.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any


class TollgateError(Exception):
    """The base of all. Each error can be pickled, so it also passes between processes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, vars(self))


def _again(kind: type[TollgateError], args: tuple[object, ...], state: Mapping[str, object]) -> TollgateError:
    error = kind.__new__(kind)
    error.args = args
    vars(error).update(state)
    return error


def _with_id(message: str, request_id: str) -> str:
    return f"{message} (request {request_id})" if request_id else message


class ConfigurationError(TollgateError, ValueError):
    """The program, or its environment, gave a value that cannot be used."""


class UnknownModelError(ConfigurationError):
    """Neither the gateway nor custom_models have this model."""


class UnknownPriceError(ConfigurationError):
    """The model has no price."""


class GatewayConnectionError(TollgateError):
    """No answer. `sent` is True if the gateway may have got the request, so it may have been paid."""

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class GatewayTimeoutError(GatewayConnectionError):
    """The gateway took longer than `timeout`."""


class StreamInterruptedError(GatewayConnectionError):
    """An answer ended before it was complete. `kind` is the gateway's name for the reason, or empty."""

    def __init__(self, message: str, *, kind: str = "", request_id: str = "") -> None:
        super().__init__(message, sent=True)
        self.kind = kind
        self.request_id = request_id

    def __str__(self) -> str:
        return _with_id(super().__str__(), self.request_id)


class AnswerError(TollgateError):
    """The gateway answered something that is not its API: often another server has this address."""

    def __init__(self, message: str, *, request_id: str = "") -> None:
        super().__init__(message)
        self.request_id = request_id

    def __str__(self) -> str:
        return _with_id(super().__str__(), self.request_id)


class StatusError(TollgateError):
    """The gateway refused. `sentence` is its own; `retry_after` is in seconds; `resets_at` has a time zone.

    `should_retry` is the gateway's word whether the same request can succeed later; None if it said nothing.
    """

    def __init__(
        self,
        sentence: str,
        *,
        status: int,
        kind: str = "",
        code: str = "",
        request_id: str = "",
        retry_after: float | None = None,
        resets_at: datetime | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status
        self.kind = kind
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.resets_at = resets_at
        self.should_retry = should_retry

    def __str__(self) -> str:
        return f"{self.sentence} (status {self.status}, request {self.request_id or 'without id'})"


class BadRequestError(StatusError):
    """The request itself is wrong."""


class RefusedKeyError(StatusError):
    """The key is missing, unknown, revoked or expired."""


class NotAllowedError(StatusError):
    """This key may not use the model or the route. Unknown models look the same."""


class BudgetSpentError(StatusError):
    """A budget of the tenant, the key or the model is spent."""

    @property
    def of_model(self) -> bool:
        """Whether it is the budget of this model only, so that another model can serve."""
        return self.code == "model_budget_exceeded"


class RateLimitedError(StatusError):
    """Too many requests or tokens."""


class OverloadedError(StatusError):
    """The provider or the gateway has no room now."""


class ProviderRefusedError(StatusError):
    """The provider behind the gateway refused the gateway itself. Its operator must act."""


class GatewayFaultError(StatusError):
    """Every other status."""


class RoutingError(TollgateError):
    """The router has no model for the request."""


class NoModelError(RoutingError):
    """`reasons` maps "provider/model" to why it was left out."""

    def __init__(self, message: str, reasons: Mapping[str, str]) -> None:
        super().__init__(message)
        self.reasons = dict(reasons)


class MaxCostError(RoutingError):
    """`cheapest` is the "provider/model" that needs the least money, `needed` how much (USD).

    `needed` is infinite where the prompt has parts whose tokens nobody could count.
    """

    def __init__(self, *, max_cost: Decimal, cheapest: str, needed: Decimal) -> None:
        price = f"for {needed:f} USD" if needed.is_finite() else "but the gateway could not count the prompt"
        super().__init__(f"no model can serve this request for {max_cost:f} USD; the cheapest is {cheapest}, {price}")
        self.max_cost = max_cost
        self.cheapest = cheapest
        self.needed = needed


def is_away(error: TollgateError) -> bool:
    """Whether the gateway cannot answer at the moment; such an error says nothing about the request or the key."""
    if isinstance(error, GatewayConnectionError | OverloadedError | RateLimitedError):
        return True
    return isinstance(error, StatusError) and error.status >= 500
