"""Writes docs/models.md: providers and fields of config/gateway.yaml, from the descriptions in the code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tollgate.config.gateway.providers import EMBEDDED, PROVIDERS, VERTEX_CREDENTIALS, Provider
from tollgate.config.gateway.schema import schema
from tollgate.render.model_words import AFTER, BEFORE

# Title and definition of each table. `backends` has its own page.
SECTIONS = (
    ("The file", ""),
    ("`models.NAME`", "Model"),
    ("`models.NAME.targets[]`", "Target"),
    ("`price`", "Price"),
    ("`cheapest.NAME`", "Cheapest"),
    ("`routing`", "Routing"),
    ("`cache`", "Cache"),
    ("`edge`", "Edge"),
)


def reference() -> str:
    whole = schema()
    tables = (line for title, name in SECTIONS for line in _section(title, _definition(whole, name)))
    return "\n".join([BEFORE, *_providers(), "", AFTER, *tables])


def _definition(whole: dict[str, Any], name: str) -> dict[str, Any]:
    definition: dict[str, Any] = whole["definitions"][name] if name else whole
    return definition


def _providers() -> Iterator[str]:
    yield "| provider | set in `.env` | write in the target |"
    yield "|---|---|---|"
    for provider in PROVIDERS.values():
        yield f"| `{provider.name}/` | {_set(provider)} | {_say(provider)} |"


def _set(provider: Provider) -> str:
    if provider.credentials == (VERTEX_CREDENTIALS,):
        return "`secrets/vertex_credentials.json`"
    if provider.name == EMBEDDED:
        return "nothing: the provider is part of the kit"
    return (
        ", ".join(f"`{name}`" for name in provider.credentials)
        or "`NAME_API_KEY`, if the server asks for a key; then write `api_key: env:NAME_API_KEY`"
    )


def _say(provider: Provider) -> str:
    needs = (*provider.needs, *(("api_base",) if provider.needs_base and "api_base" not in provider.needs else ()))
    return ", ".join(f"`{name}`" for name in needs)


def _section(title: str, node: dict[str, Any]) -> Iterator[str]:
    yield f"### {title}"
    yield from ("", "| field | default | meaning |", "|---|---|---|")
    for name, field in node["properties"].items():
        yield f"| `{name}` | {_default(name, field, node)} | {field['description']} |"
    yield ""


def _default(name: str, field: dict[str, Any], node: dict[str, Any]) -> str:
    if name in node.get("required", ()):
        return "required"
    default = field.get("default")
    if default is None or default in ("", {}) or isinstance(default, dict):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
