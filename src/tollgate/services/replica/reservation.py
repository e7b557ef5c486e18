"""Makes LiteLLM reserve money for the largest output that a request asks for.

LiteLLM itself uses the first of three fields that has a number. With a second field, a client could ask for much more
than LiteLLM reserved, and many requests at once could exceed a budget.
"""

from __future__ import annotations

from tollgate.services.requests.fields import largest_output


def reserve_the_largest() -> None:
    """Patch LiteLLM. If its function is missing, the replica does not start."""
    from litellm.proxy.spend_tracking import budget_reservation

    if not callable(budget_reservation._requested_output_tokens):
        raise TypeError(
            "LiteLLM reserves in another way: budget_reservation._requested_output_tokens is not a function"
        )
    budget_reservation._requested_output_tokens = largest_output
