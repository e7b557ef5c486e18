"""Every setting we render exists in the pinned LiteLLM: it would ignore a misspelt one in silence.

Needs a Python with LiteLLM: this one, or the one named by LITELLM_PYTHON (as in `docker run ... python`, where
tests/golden/litellm/known_settings.py runs as it is).
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "litellm"
PYTHON = os.environ.get("LITELLM_PYTHON", sys.executable if importlib.util.find_spec("litellm") else "")

pytestmark = pytest.mark.skipif(not PYTHON, reason="LiteLLM is not installed here; set LITELLM_PYTHON")


def _unknown(config: Path) -> list[str]:
    command = [PYTHON, str(GOLDEN / "known_settings.py"), str(config)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode in (0, 1), result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize("name", ["all-keys", "basic"])
def test_litellm_knows_every_setting(name: str) -> None:
    assert _unknown(GOLDEN / f"{name}.yaml") == []


@pytest.mark.parametrize(
    ("ours", "misspelt"),
    [
        ("use_redis_transaction_buffer", "use_redis_transaction_bufer"),
        ("drop_params", "drop_unknown_parameters"),
        ("enable_pre_call_checks", "enable_precall_checks"),
        ("RateLimitErrorRetries", "RateLimitedRetries"),
        ("input_cost_per_token", "cost_per_token_in"),
        ("disable_background_health_check", "no_health_check"),
    ],
)
def test_a_misspelt_setting_would_be_noticed(tmp_path: Path, ours: str, misspelt: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text((GOLDEN / "all-keys.yaml").read_text().replace(f"{ours}:", f"{misspelt}:"))
    assert any(misspelt in line for line in _unknown(config))
