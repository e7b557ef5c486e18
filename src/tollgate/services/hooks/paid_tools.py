"""The callback that refuses what would cost more than the model's prices in config/gateway.yaml.

That is a tool which the provider runs and for which the model has no price, and a field with a surcharge. The callback
runs after the `cheapest` choice and before the limits. Before a fallback, LiteLLM asks `Ongoing.has_prices`
(replica/fallback_money.py). A gateway process asks the same code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import ProxyException

from tollgate.services.hooks import ledger
from tollgate.services.hooks.ongoing import CURRENT
from tollgate.services.refusals.door import malformed
from tollgate.services.requests import paid_tools, rules, surcharges

# LiteLLM's words for a call of /v1/messages.
_MESSAGES = ("anthropic_messages", "aanthropic_messages")


class PaidTools(CustomLogger):  # type: ignore[misc]  # LiteLLM is not installed when types are checked
    """`prices` are those of each model's tools. A model that is not there has free tools, or LiteLLM's list has its
    prices. `translated` are the models whose servers never get a Messages request as it came."""

    def __init__(self, prices: Mapping[str, paid_tools.Prices], translated: Collection[str]) -> None:
        super().__init__()
        self._prices = prices
        self._translated = translated

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        ongoing, asked = CURRENT.get(None), dict(data)
        if problem := self._problem(asked, str(data.get("model", "")), call_type):
            refusal = malformed(problem)
            if ongoing is not None:
                ongoing.refusal = refusal
            field = problem.partition(":")[0].partition(".")[0]
            raise ProxyException(message=refusal.message, type=refusal.kind, param=field, code=refusal.status)
        if ongoing is not None:
            ongoing.has_prices = lambda name: not self._problem(asked, name, call_type)
        return data

    def _problem(self, data: Mapping[str, Any], name: str, call_type: str) -> str:
        model = ledger.model_of(name)
        # upstream_shape.py takes such fields out of a request that is translated.
        if not (call_type in _MESSAGES and model in self._translated) and (problem := surcharges.problem(data)):
            return problem
        prices = self._prices.get(model)
        return "" if prices is None else paid_tools.problem(data, prices)

    def most(self, data: Mapping[str, Any], model: str) -> int:
        """The most that the tools of a request cost, in nano-dollars."""
        return paid_tools.most(data, self._prices.get(model, {}))


def _configured() -> PaidTools:
    """From the file in the directory of LiteLLM's own configuration."""
    values = json.loads(Path(os.environ["CONFIG_FILE_PATH"]).with_name(rules.FILE).read_text())
    prices = {model: paid_tools.nano_each(priced) for model, priced in values["tool_prices"].items()}
    return PaidTools(prices, frozenset(values["translated"]))


handler = _configured()
