"""Which settings of a LiteLLM configuration the installed LiteLLM does not know: it ignores those without a word.

    python known_settings.py CONFIG.yaml      one line for each unknown setting; exit 1 if there are any

Runs anywhere LiteLLM is installed (its image included): it needs PyYAML, which LiteLLM brings, and reads LiteLLM's
source as text, because importing it takes ten seconds. A setting counts as known where that source declares a field,
parameter or module variable of this name, or looks it up by this name.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml


def package() -> Path:
    spec = importlib.util.find_spec("litellm")
    if spec is None or spec.origin is None:
        raise SystemExit("error: no LiteLLM installed for this Python")
    return Path(spec.origin).parent


def unknown(config: dict[str, Any], root: Path) -> Iterator[str]:
    """Dotted names of the settings that no source below `root` knows."""
    general = _text(root, "proxy/**/*.py")
    module = _text(root, "__init__.py")
    server = _text(root, "proxy/proxy_server.py")
    router = _text(root, "router.py")
    types = _text(root, "types/router.py", "types/utils.py", "types/**/*.py")
    retries = _text(root, "types/router.py")
    priced = json.loads((root / "model_prices_and_context_window_backup.json").read_text())
    looked_up = _text(root, "proxy/**/*.py", "llms/anthropic/**/*.py", "router_utils/**/*.py")

    yield from _missing(config, "general_settings", lambda key: _field(key, general) or f'"{key}"' in general)
    yield from _missing(
        config,
        "litellm_settings",
        lambda key: _variable(key, module) or f'"{key}"' in server or f'getattr(litellm, "{key}"' in general,
    )
    yield from _missing(config, "router_settings", lambda key: _parameter(key, router))
    policy = config.get("router_settings", {}).get("retry_policy", {})
    yield from (f"router_settings.retry_policy.{key}" for key in policy if not _field(key, retries))
    for model in config.get("model_list", []):
        yield from _missing(model, "litellm_params", lambda key: _field(key, types))
        yield from _missing(model, "model_info", lambda key: _field(key, types) or f'"{key}"' in looked_up)
        yield from _provider_and_price(model["litellm_params"], types, priced)


def _provider_and_price(params: dict[str, Any], types: str, priced: dict[str, Any]) -> Iterator[str]:
    """A prefix that is no provider of LiteLLM's; a target without a price of ours that its list has none for either."""
    provider, _, name = params["model"].partition("/")
    if not re.search(rf'^    [A-Z_]+ = "{provider}"', types, re.MULTILINE):
        yield f"provider {provider}"
    listed = next((priced[key] for key in (params["model"], name) if key in priced), {})
    if "input_cost_per_token" not in params and listed.get("input_cost_per_token") is None:
        yield f"price of {params['model']}"


def _missing(config: dict[str, Any], section: str, known: Callable[[str], object]) -> Iterator[str]:
    return (f"{section}.{key}" for key in config.get(section, {}) if not known(key))


def _text(root: Path, *patterns: str) -> str:
    return "\n".join(path.read_text() for pattern in patterns for path in sorted(root.glob(pattern)))


def _field(key: str, source: str) -> bool:
    return re.search(rf"^    {re.escape(key)}:", source, re.MULTILINE) is not None


def _variable(key: str, source: str) -> bool:
    return re.search(rf"^{re.escape(key)}\s*[:=]", source, re.MULTILINE) is not None


def _parameter(key: str, source: str) -> bool:
    return re.search(rf"^        {re.escape(key)}:", source, re.MULTILINE) is not None


def main() -> int:
    found = sorted(set(unknown(yaml.safe_load(Path(sys.argv[1]).read_text()), package())))
    for name in found:
        print(f"unknown to this LiteLLM: {name}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
