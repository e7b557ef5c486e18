"""A hook of the replicas without LiteLLM: the parts of it that the hook imports are fakes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


class ProxyException(Exception):  # noqa: N818  LiteLLM's name
    """LiteLLM's."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(fields["message"])


@contextmanager
def hook(name: str, directory: Path, parts: Mapping[str, Mapping[str, Any]]) -> Iterator[Any]:
    """The module services/hooks/`name`. Its configuration is in `directory`; `parts` are more modules of LiteLLM."""
    usual: dict[str, Mapping[str, Any]] = {
        "litellm.integrations.custom_logger": {"CustomLogger": object},
        "litellm.proxy._types": {"ProxyException": ProxyException},
    }
    module = f"tollgate.services.hooks.{name}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIG_FILE_PATH", str(directory / "config.yaml"))
        for part, values in {**usual, **parts}.items():
            words = part.split(".")
            for length in range(1, len(words) + 1):
                fake = ".".join(words[:length])
                if fake not in sys.modules:
                    patch.setitem(sys.modules, fake, ModuleType(fake))
            vars(sys.modules[part]).update(values)
        sys.modules.pop(module, None)
        try:
            yield importlib.import_module(module)
        finally:
            sys.modules.pop(module, None)
