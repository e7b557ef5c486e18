"""The text that a team member pastes to use Claude Code with the gateway: shell lines, settings, a key helper.

Pure: tenant, models and the source of the key in, text out. docs/guides/tenants.md explains the formats, and
docs/claude-code.md the variables.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tollgate.claude_code import OfferedModel, variables
from tollgate.config.env.settings import Settings
from tollgate.config.gateway.catalogue import Catalogue

# Claude Code asks the helper again after this time. It uses the old key until the helper answers, so the grace of a
# rotation must be longer.
HELPER_TTL_MS = 300_000
HELPER_PATH = "/usr/local/bin/tollgate-key"


@dataclass(frozen=True)
class Connection:
    """`key` is the secret itself, only if it may be shown. `key_file` is its file on this machine."""

    tenant: str
    key_name: str
    base_url: str
    key_file: str
    models: Sequence[OfferedModel]
    key: str | None = field(default=None, repr=False)
    helper: str = HELPER_PATH


def choices(catalogue: Catalogue, allowed: Sequence[str] | None) -> list[OfferedModel]:
    """The chat models of the gateway among `allowed` (None is all), in the order of the tenant's file."""
    names = [*catalogue.models, *catalogue.aliases] if allowed is None else list(allowed)
    offered = []
    for name in names:
        target = catalogue.aliases.get(name, name)
        model = catalogue.models.get(target)
        if model is not None and model.mode == "chat":
            offered.append(OfferedModel(name, target, model.context_tokens, model.max_output_tokens))
    return offered


def tls_address(settings: Settings) -> str:
    """Where clients reach the gateway by its first host name; empty without TLS."""
    if settings.tls == "off" or not settings.host_names:
        return ""
    return f"https://{settings.host_names[0]}" + ("" if settings.tls_port == 443 else f":{settings.tls_port}")


def env(connection: Connection) -> str:
    """Lines for a shell. Without `key` they read it from its file, which works only on this machine."""
    if connection.key is None:
        comment = "# This reads the key from its file on this machine. On other machines write the key itself here."
        token = f'"$(cat {shlex.quote(connection.key_file)})"'
    else:
        comment = "# This contains the key: do not commit it, and keep it out of your shell's history."
        token = shlex.quote(connection.key)
    lines = [
        f"# Claude Code through Tollgate: tenant {connection.tenant}, key {connection.key_name}",
        comment,
        f"export ANTHROPIC_BASE_URL={shlex.quote(connection.base_url)}",
        f"export ANTHROPIC_AUTH_TOKEN={token}",
        *(f"export {name}={shlex.quote(value)}" for name, value in variables(connection.models).items()),
    ]
    return "\n".join(lines) + "\n"


def settings(connection: Connection) -> str:
    """~/.claude/settings.json of one person, or .claude/settings.json of a project (without `key` there)."""
    values: dict[str, object] = {"env": {"ANTHROPIC_BASE_URL": connection.base_url, **variables(connection.models)}}
    if connection.key is None:
        values["apiKeyHelper"] = f"cat {shlex.quote(connection.key_file)}"
        return _json(_with_ttl(values))
    values["env"] = {
        "ANTHROPIC_BASE_URL": connection.base_url,
        "ANTHROPIC_AUTH_TOKEN": connection.key,
        **variables(connection.models),
    }
    return _json(values)


def managed(connection: Connection) -> str:
    """managed-settings.json for machines that a company manages: users cannot override it.

    Claude Code obeys `availableModels` only with `enforceAvailableModels`. The gateway also refuses other models.
    """
    values = {
        "env": {"ANTHROPIC_BASE_URL": connection.base_url, **variables(connection.models)},
        "apiKeyHelper": connection.helper,
        "availableModels": [choice.name for choice in connection.models],
        "enforceAvailableModels": True,
    }
    return _json(_with_ttl(values))


def helper(connection: Connection) -> str:
    """The script named in managed settings. It prints only the key."""
    if connection.key is not None:
        how = f"printf '%s\\n' {shlex.quote(connection.key)}"
        comment = "# It contains the key: install it with mode 0700, owned by the person who uses it."
    else:
        how = f'file=${{TOLLGATE_KEY_FILE:-{shlex.quote(connection.key_file)}}}\nexec cat "$file"'
        comment = "# On other machines set TOLLGATE_KEY_FILE to a file (mode 0600) with the key."
    return "\n".join(
        [
            "#!/bin/sh",
            f"# Prints the key of tenant {connection.tenant} ({connection.key_name}) for Claude Code's apiKeyHelper.",
            f"# Install it as {connection.helper}, mode 0755. Claude Code runs it every "
            f"{HELPER_TTL_MS // 60_000} minutes.",
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
