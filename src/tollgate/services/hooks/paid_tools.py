"""The callback that refuses a tool which the provider runs, if the model has no price for it in config/gateway.yaml.

It runs after the `cheapest` choice and before the limits. A gateway process asks the same code. Fallbacks that LiteLLM
chooses later are not asked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import ProxyException

from tollgate.services.hooks import ledger
from tollgate.services.hooks.ongoing import CURRENT
from tollgate.services.refusals.door import malformed
from tollgate.services.requests import paid_tools, rules


class PaidTools(CustomLogger):  # type: ignore[misc]  # LiteLLM is not installed when types are checked
    """`prices` are those of each model. A model that is not there has free tools, or LiteLLM's list has its prices."""

    def __init__(self, prices: Mapping[str, paid_tools.Prices]) -> None:
        super().__init__()
        self._prices = prices

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        prices = self._prices.get(ledger.model_of(str(data.get("model", ""))))
        if prices is not None and (problem := paid_tools.problem(data, prices)):
            refusal = malformed(problem)
            if (ongoing := CURRENT.get(None)) is not None:
                ongoing.refusal = refusal
            raise ProxyException(message=refusal.message, type=refusal.kind, param="tools", code=refusal.status)
        return data

    def most(self, data: Mapping[str, Any], model: str) -> int:
        """The most that the tools of a request cost, in nano-dollars."""
        return paid_tools.most(data, self._prices.get(model, {}))


def _configured() -> dict[str, paid_tools.Prices]:
    """From the file in the directory of LiteLLM's own configuration."""
    text = Path(os.environ["CONFIG_FILE_PATH"]).with_name(rules.FILE).read_text()
    return {model: paid_tools.nano_each(priced) for model, priced in json.loads(text)["tool_prices"].items()}


handler = PaidTools(_configured())
