"""Names that a tenant's key source may not use: the gateway's own files and variables, and the providers' variables.

Names are compared in lower case, because some file systems do not distinguish capitals.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# The kit's own files and folders at the top of a checkout. A tenant's key file is not below one of them.
KIT = frozenset(
    {"backups", "client", "compose", "config", "docs", "grafana", "images", "nginx", "scripts", "src", "tenants"}
    | {"tests", "var", "changelog.md", "contributing.md", "license", "makefile", "pyproject.toml", "readme.md"}
    | {"requirements-dev.lock", "requirements.lock"}
)
# Below secrets/: every secret that the kit makes or reads. The patterns cover families, so also the kit's next secret.
_SECRET = re.compile(
    r"(age|alertmanager|backup|grafana|handover|litellm|loki|nginx|postgres|prometheus|redis|replica|rotation|tls|tollgate"
    r"|vertex)([_.-].*)?|basic_key"
)
# Providers' keys, settings of .env, and what containers and tools of the stack take from an environment.
_VARIABLE = re.compile(
    r".*_api_key"
    r"|(admin|alert|alertmanager|anthropic|aws|azure|backup|compose|database|docker|egress|gateway|gcp|gemini|gf|google"
    r"|grafana|image|litellm|openai|openrouter|pg|postgres|prometheus|redis|tls|tollgate|vertex)(_.*)?"
    r"|acme_(email|directory|ca_bundle)|bypass_litellm_enabled|ca_bundle|debian_mirror|gateways|master_key|replicas|salt_key"
)


def is_own_variable(name: str) -> bool:
    """Whether a variable belongs to the gateway or to a provider, and so never to a tenant."""
    return _VARIABLE.fullmatch(name.lower()) is not None


def owner_of(parts: Sequence[str]) -> str:
    """Whose the file is, as words, where it is not a tenant's; `parts` is its path below the checkout."""
    first, *rest = (part.lower() for part in parts)
    if first in KIT:
        return "one of the kit's"
    if first == "secrets" and not rest:
        return "a directory"
    if first == "secrets" and rest[0] == "tenants":
        return "a generated key, which its tenant has without naming it"
    if first == "secrets" and _SECRET.fullmatch(rest[0]):
        return "a secret of the gateway"
    return ""
