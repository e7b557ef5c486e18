"""Keeps the token limits of one model off every other model that has the same upstream name.

LiteLLM stores what a deployment declares twice: under the deployment's own id, and under `provider/upstream`, which all
deployments of that upstream share. A model without `context_tokens` reads its limit from the shared entry. It would
refuse a prompt for the limit of another model. LiteLLM keeps prices off the shared entry by itself.
"""

from __future__ import annotations

from typing import Any

LIMITS = frozenset({"max_tokens", "max_input_tokens", "max_output_tokens"})


def keep_limits_apart() -> None:
    """Patch LiteLLM; limits from its own model list stay. If its function is missing, the replica does not start."""
    from litellm import router

    shared = router.shared_backend_model_info

    def without_limits(model_info: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in shared(model_info).items() if name not in LIMITS}

    router.shared_backend_model_info = without_limits
