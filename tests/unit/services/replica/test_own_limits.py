"""A deployment's limits do not reach the entry that it shares with others. LiteLLM is a fake."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from tollgate.services.replica.own_limits import keep_limits_apart


def test_no_limit_reaches_the_entry_that_deployments_share(monkeypatch: pytest.MonkeyPatch) -> None:
    router: Any = ModuleType("litellm.router")
    router.shared_backend_model_info = lambda info: {name: value for name, value in info.items() if name != "price"}
    litellm: Any = ModuleType("litellm")
    litellm.router = router
    monkeypatch.setitem(sys.modules, "litellm", litellm)
    keep_limits_apart()
    declared = {"mode": "chat", "price": 1, "max_tokens": 1, "max_input_tokens": 2, "max_output_tokens": 3}
    assert router.shared_backend_model_info(declared) == {"mode": "chat"}


def test_another_litellm_without_the_function_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    litellm: Any = ModuleType("litellm")
    litellm.router = ModuleType("litellm.router")
    monkeypatch.setitem(sys.modules, "litellm", litellm)
    with pytest.raises(AttributeError):
        keep_limits_apart()
