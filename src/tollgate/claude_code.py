"""The models for Claude Code's variables, from the names that a tenant may use.

`tollgate tenant connect` prints these variables, and the gateway processes show them on the page /usage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FAMILIES = ("opus", "sonnet", "haiku")


@dataclass(frozen=True)
class OfferedModel:
    """A model that a tenant may ask for. `model` is the model behind an alias, otherwise the name itself."""

    name: str
    model: str
    context_tokens: int | None
    max_output_tokens: int | None

    def is_of(self, family: str) -> bool:
        return "claude" in self.model and family in self.model


def variables(models: Sequence[OfferedModel]) -> dict[str, str]:
    """The variables for Claude Code's models. Every name that it resolves by itself becomes a model of the tenant."""
    if not models:
        return {}
    main = _main(models)
    chosen = {"ANTHROPIC_MODEL": main.name}
    for family in FAMILIES:
        first = next((choice for choice in models if choice.is_of(family)), main)
        chosen[f"ANTHROPIC_DEFAULT_{family.upper()}_MODEL"] = first.name
    if not main.name.startswith("claude-"):
        # For an unknown name Claude Code assumes a million tokens of context and 32000 of output.
        if main.context_tokens is not None:
            chosen["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] = str(main.context_tokens)
        if main.max_output_tokens is not None:
            chosen["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(main.max_output_tokens)
    return chosen


def _main(models: Sequence[OfferedModel]) -> OfferedModel:
    """The main model: a Sonnet, otherwise an Opus, otherwise the first model in the tenant's file."""
    for family in ("sonnet", "opus"):
        for choice in models:
            if choice.is_of(family):
                return choice
    return models[0]
