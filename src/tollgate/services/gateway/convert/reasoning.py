"""How a request asks for thinking, in the upstream's own words, and what of it the client wants to see."""

from __future__ import annotations

from typing import Any, Literal

from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.convert.refusal import CannotConvertError, Json, as_object, is_count, malformed

# Weakest first. Anthropic's are low to max; the others are OpenAI's.
LADDER = ("minimal", "low", "medium", "high", "xhigh", "max")
# The largest budgets, in tokens, that still are low and medium effort.
LOW_BUDGET = 4096
MEDIUM_BUDGET = 16384

Display = Literal["off", "omitted", "shown"]


def fields(body: Json, options: Options) -> Json:
    """`reasoning_effort`, or OpenRouter's `reasoning`; {} where the client leaves it to the model.

    `output_config.effort` counts more than a budget. Disabled thinking asks for nothing: models that always reason
    answer 400 to "none".
    """
    thinking = body.get("thinking")
    thinking = {} if thinking is None else as_object(thinking, "thinking")
    kind = thinking.get("type", "disabled")
    if kind not in ("enabled", "adaptive", "disabled"):
        raise malformed("thinking.type", "'enabled', 'adaptive' or 'disabled'")
    budget = _budget(thinking) if kind == "enabled" else 0
    effort = _effort(body)
    if options.reasoning == "none":
        return {}
    if effort is None and kind == "enabled" and options.reasoning == "reasoning_effort":
        effort = "low" if budget <= LOW_BUDGET else "medium" if budget <= MEDIUM_BUDGET else "high"
    if effort is not None:
        word = _nearest(effort, options.efforts)
        return (
            {"reasoning_effort": word} if options.reasoning == "reasoning_effort" else {"reasoning": {"effort": word}}
        )
    if options.reasoning == "reasoning_effort" or kind == "disabled":
        return {}
    return {"reasoning": {"max_tokens": budget} if kind == "enabled" else {"enabled": True}}


def display(request: Json) -> Display:
    """Whether the client gets thinking blocks, and with words in them.

    A client that has not asked for thinking reads `content[0].text`, so it gets none, whatever the upstream sends.
    """
    thinking = request.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") not in ("enabled", "adaptive"):
        return "off"
    return "omitted" if thinking.get("display") == "omitted" else "shown"


def _budget(thinking: Json) -> int:
    budget = thinking.get("budget_tokens")
    if not is_count(budget):
        raise malformed("thinking.budget_tokens", "a whole number from 1")
    return budget


def _effort(body: Json) -> str | None:
    config = body.get("output_config")
    config = {} if config is None else as_object(config, "output_config")
    effort: Any = config.get("effort")
    if effort is None:
        return None
    if not isinstance(effort, str):
        raise malformed("output_config.effort", "text")
    if effort not in LADDER:
        words = "output_config.effort: this effort is unknown here"
        raise CannotConvertError("unknown_value", "output_config.effort", words, final=False)
    return effort


def _nearest(effort: str, known: tuple[str, ...]) -> str:
    """The strongest known effort that is not above `effort`, else the weakest."""
    below = [word for word in known if LADDER.index(word) <= LADDER.index(effort)]
    return below[-1] if below else known[0]
