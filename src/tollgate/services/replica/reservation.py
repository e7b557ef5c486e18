"""Makes LiteLLM reserve money for the longest answer that a request allows, by the rule of the gateway processes.

LiteLLM itself uses the first of four fields that has a number, for one prompt. With a second field, with a field that
the upstream ignores, or with many prompts, a client could get much more than LiteLLM reserved. Many requests at once
could then exceed a budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tollgate.services.requests.longest_answer import answers, longest_answer
from tollgate.services.requests.routes import api_of

_PATCHED = ("_estimate_output_tokens", "_get_output_multiplier")


def reserve_the_longest() -> None:
    """Patch LiteLLM. If one of its functions is missing, the replica does not start."""
    from litellm.proxy.spend_tracking import budget_reservation

    for name in _PATCHED:
        if not callable(getattr(budget_reservation, name, None)):
            raise TypeError(f"LiteLLM reserves in another way: budget_reservation.{name} is not a function")
    only_reads = budget_reservation._is_input_only_route
    number = budget_reservation._to_int
    usual = budget_reservation.DEFAULT_MAX_OUTPUT_TOKENS_FALLBACK

    def tokens(request_body: Mapping[str, Any], route: str, model_info: Mapping[str, Any]) -> int:
        if only_reads(route=route):
            return 0
        most = number(model_info.get("max_output_tokens"))
        return longest_answer(request_body, api_of(route)).one(most, usual)

    def multiplier(request_body: Mapping[str, Any]) -> int:
        return answers(request_body)

    budget_reservation._estimate_output_tokens = tokens
    budget_reservation._get_output_multiplier = multiplier
