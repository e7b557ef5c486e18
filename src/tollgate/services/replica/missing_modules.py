"""Remembers which optional modules LiteLLM cannot import in this image.

LiteLLM tries these imports in every request, and continues without the module. Python remembers no failed import: it
reads the module's file and runs it again up to the import that fails. That was 5 % of a replica's processor time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module

OPTIONAL = (
    # Needs OpenTelemetry's SDK. Only an export of traces uses it.
    "litellm.integrations.otel.logger",
    # Needs a name that this release of LiteLLM does not have.
    "litellm_enterprise.proxy.auth.route_checks",
)


def remember_missing_modules(names: Iterable[str] = OPTIONAL) -> None:
    """Import each module once. If that fails, later imports fail at once, with a ModuleNotFoundError."""
    for name in names:
        try:
            import_module(name)
        except ImportError:
            sys.modules[name] = None  # type: ignore[assignment]  # Python's own sign for it
