"""What a member of a team pastes to use the gateway with Claude Code: shell lines, settings files, a key helper.

Pure: who connects, with which models and from where the key comes, in; text out. What each variable does for Claude
Code is in docs/guides/tenants.md.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tollgate.config.catalogue import Catalogue

FAMILIES = ("opus", "sonnet", "haiku")
# The helper is asked again after this long. Claude Code goes on with the old key while it asks, so a rotation's grace
# has to be longer.
HELPER_TTL_MS = 300_000
HELPER_PATH = "/usr/local/bin/tollgate-key"


@dataclass(frozen=True)
class Choice:
    """A model a tenant may ask for; `model` is what an alias stands for, the name itself otherwise."""

    name: str
    model: str
    context_tokens: int | None
    max_output_tokens: int | None

    def is_of(self, family: str) -> bool:
        return "claude" in self.model and family in self.model


@dataclass(frozen=True)
class Connection:
    """`key` is the secret itself, only where it may be shown; `key_file` is where it is kept on this machine."""

    tenant: str
    key_name: str
    base_url: str
    key_file: str
    models: Sequence[Choice]
    key: str | None = field(default=None, repr=False)
    helper: str = HELPER_PATH


def choices(catalogue: Catalogue, allowed: Sequence[str] | None) -> list[Choice]:
    """The chat models of the gateway among `allowed` (None is all), in the order the tenant's file has them."""
    names = [*catalogue.models, *catalogue.aliases] if allowed is None else list(allowed)
    found = []
    for name in names:
        target = catalogue.aliases.get(name, name)
        model = catalogue.models.get(target)
        if model is not None and model.mode == "chat":
            found.append(Choice(name, target, model.context_tokens, model.max_output_tokens))
    return found


def variables(connection: Connection) -> dict[str, str]:
    """Which models Claude Code asks for: every name it resolves by itself leads to one the tenant may use."""
    if not connection.models:
        return {}
    main = _main(connection.models)
    chosen = {"ANTHROPIC_MODEL": main.name}
    for family in FAMILIES:
        first = next((choice for choice in connection.models if choice.is_of(family)), main)
        chosen[f"ANTHROPIC_DEFAULT_{family.upper()}_MODEL"] = first.name
    if not main.name.startswith("claude-"):
        # Of a name it does not know Claude Code believes a context of a million tokens and 32000 of output.
        if main.context_tokens is not None:
            chosen["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] = str(main.context_tokens)
        if main.max_output_tokens is not None:
            chosen["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(main.max_output_tokens)
    return chosen


def _main(models: Sequence[Choice]) -> Choice:
    """The everyday model: a Sonnet, else an Opus, else whatever the tenant's file names first."""
    for family in ("sonnet", "opus"):
        for choice in models:
            if choice.is_of(family):
                return choice
    return models[0]


def env(connection: Connection) -> str:
    """Lines for a shell; without `key` they read it from its file, which works on this machine."""
    if connection.key is None:
        comment = "# Reads the key from its file on this machine; elsewhere put the key itself in its place."
        token = f'"$(cat {shlex.quote(connection.key_file)})"'
    else:
        comment = "# This holds the key: do not commit it, and mind your shell's history."
        token = shlex.quote(connection.key)
    lines = [
        f"# Claude Code through Tollgate: tenant {connection.tenant}, key {connection.key_name}",
        comment,
        f"export ANTHROPIC_BASE_URL={shlex.quote(connection.base_url)}",
        f"export ANTHROPIC_AUTH_TOKEN={token}",
        *(f"export {name}={shlex.quote(value)}" for name, value in variables(connection).items()),
    ]
    return "\n".join(lines) + "\n"


def settings(connection: Connection) -> str:
    """~/.claude/settings.json of one person, or .claude/settings.json of a project (without `key` there)."""
    values: dict[str, object] = {"env": {"ANTHROPIC_BASE_URL": connection.base_url, **variables(connection)}}
    if connection.key is None:
        values["apiKeyHelper"] = f"cat {shlex.quote(connection.key_file)}"
        return _json(_with_ttl(values))
    values["env"] = {
        "ANTHROPIC_BASE_URL": connection.base_url,
        "ANTHROPIC_AUTH_TOKEN": connection.key,
        **variables(connection),
    }
    return _json(values)


def managed(connection: Connection) -> str:
    """managed-settings.json for machines that a company manages: its users cannot set anything else.

    Claude Code keeps to `availableModels` only with `enforceAvailableModels`; the gateway refuses other models anyway.
    """
    values = {
        "env": {"ANTHROPIC_BASE_URL": connection.base_url, **variables(connection)},
        "apiKeyHelper": connection.helper,
        "availableModels": [choice.name for choice in connection.models],
        "enforceAvailableModels": True,
    }
    return _json(_with_ttl(values))


def helper(connection: Connection) -> str:
    """The script that managed settings name: it prints the key and nothing else."""
    if connection.key is not None:
        how = f"printf '%s\\n' {shlex.quote(connection.key)}"
        comment = "# It holds the key: install it with mode 0700, owned by the one person who uses it."
    else:
        how = f'file=${{TOLLGATE_KEY_FILE:-{shlex.quote(connection.key_file)}}}\nexec cat "$file"'
        comment = "# Elsewhere than on the gateway's machine: TOLLGATE_KEY_FILE names a file (mode 0600) with the key."
    return "\n".join(
        [
            "#!/bin/sh",
            f"# Prints the key of tenant {connection.tenant} ({connection.key_name}) for Claude Code's apiKeyHelper.",
            f"# Install it as {connection.helper}, mode 0755. It is asked every {HELPER_TTL_MS // 60_000} minutes.",
            comment,
            how,
            "",
        ]
    )


FORMATS = {"env": env, "settings": settings, "managed": managed, "helper": helper}


def _with_ttl(values: Mapping[str, object]) -> dict[str, object]:
    environment = values["env"]
    assert isinstance(environment, dict)  # noqa: S101  each caller has just made it
    return {**values, "env": {**environment, "CLAUDE_CODE_API_KEY_HELPER_TTL_MS": str(HELPER_TTL_MS)}}


def _json(values: Mapping[str, object]) -> str:
    return json.dumps(values, indent=2) + "\n"
