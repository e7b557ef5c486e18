"""How a request for a model ended, in one word: what the panels show and what the availability objective counts."""

from __future__ import annotations

from tollgate.services.gateway.record import LITELLM

# The converter failed in a stream that the client already had a part of.
STREAM = "converter_stream"

ANSWERED, LEFT, REFUSED = "answered", "left", "refused"
# A provider failed, or LiteLLM said that one did.
UPSTREAM_FAILED = "upstream_failed"
# We failed. Only these count against the objective.
GATEWAY_FAILED = "gateway_failed"
OUTCOMES = (ANSWERED, LEFT, REFUSED, UPSTREAM_FAILED, GATEWAY_FAILED)

_OURS = frozenset({"gateway_failed", "gateway_unavailable", "gateway_full", "ledger_away", "replica_lost"})
_LEFT = 499
# A provider refuses the gateway's own key, or does not have the model. A replica says this with a 502: its 424 is a 403
# that Claude Code gets (envelopes.py).
_NOT_OF_THE_CLIENT = 424


def outcome_of(status: int, code: str = "", error: str = "", route: str = "") -> str:
    """`status` is a Record's `meant`; `code`, `error` and `route` as it has them. A replica's 500 is our own failure
    (wording.py).
    """
    if status == _LEFT:
        return LEFT
    if status == 200:
        return ANSWERED if not error else GATEWAY_FAILED if error == STREAM else UPSTREAM_FAILED
    if code in _OURS or (status == 500 and (route == LITELLM or not code)):
        return GATEWAY_FAILED
    if not_of_the_client(status, route) or code.startswith("provider_"):
        return UPSTREAM_FAILED
    return REFUSED if status >= 400 else ANSWERED


def not_of_the_client(status: int, route: str) -> bool:
    """Whether this status says that a provider or the gateway failed. `status` is a Record's `meant`."""
    return status >= 500 or (status == _NOT_OF_THE_CLIENT and route != LITELLM)
