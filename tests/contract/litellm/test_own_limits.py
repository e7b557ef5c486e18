"""Models of one upstream in LiteLLM's own router, with and without our layer. It needs only the image's Python."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.contract.litellm.gateway import configure
from tests.support.images import image

pytestmark = pytest.mark.docker

GATEWAY = """
models:
  open: {targets: [{model: embedded/twin}], price: {input_per_million: 3, output_per_million: 3}}
  vector: {targets: [{model: embedded/twin}], price: free, mode: embedding, context_tokens: 300}
  long:
    targets: [{model: embedded/twin}]
    price: {input_per_million: 2, output_per_million: 2}
    context_tokens: 400
    max_output_tokens: 40
  short:
    targets: [{model: embedded/twin}]
    price: {input_per_million: 1, output_per_million: 1}
    context_tokens: 100
    max_output_tokens: 20
  claude: {targets: [{model: anthropic/claude-sonnet-4-5, api_key: none}], price: litellm}
  small-claude:
    targets: [{model: anthropic/claude-sonnet-4-5, api_key: none}]
    price: {input_per_million: 1, output_per_million: 1}
    context_tokens: 100
    max_output_tokens: 20
"""
ASK = """
import json, sys, yaml
from litellm import Router
if sys.argv[1] == "ours":
    from tollgate.services.replica.own_limits import keep_limits_apart
    keep_limits_apart()
router = Router(model_list=yaml.safe_load(open("/etc/litellm/config.yaml"))["model_list"])
found = {}
for deployment in router.model_list:
    name = deployment["model_name"]
    info = router.get_router_model_info(deployment, name)
    refuses_at = router._deployment_max_input_tokens(name, deployment)
    found[name] = [refuses_at, info["max_output_tokens"], router.get_model_group_info(name).input_cost_per_token]
print(json.dumps(found))
"""


def limits(directory: Path, whose: str) -> dict[str, list[Any]]:
    """Context, output and price (USD per token) of each model, according to the router."""
    configure(directory, GATEWAY)
    mounts = {"litellm": "/etc/litellm", "code": "/opt/tollgate"}
    options = [f"--mount=type=bind,source={directory / name},target={at},readonly" for name, at in mounts.items()]
    options += ["--network=none", "--tmpfs=/tmp", "--env=LITELLM_LOCAL_MODEL_COST_MAP=True", "--entrypoint=python"]
    options += ["--env=PYTHONPATH=/opt/tollgate"]
    command = ["docker", "run", "--rm", *options, image("LITELLM_IMAGE"), "-c", ASK, whose]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_each_model_has_its_own_limits_and_price(tmp_path: Path) -> None:
    found = limits(tmp_path, "ours")
    assert found["open"] == [None, None, 3e-06]
    assert found["vector"][0] == 300
    assert found["long"] == [400, 40, 2e-06]
    assert found["short"] == [100, 20, 1e-06]
    assert found["small-claude"] == [100, 20, 1e-06]
    listed = found["claude"]
    assert listed[0] >= 200_000 and listed[1] >= 32_000, "a model without limits has those of LiteLLM's own list"
    assert listed[2] not in (1e-06, None)


def test_twin_without_our_layer_the_smallest_limit_reaches_others(tmp_path: Path) -> None:
    """When LiteLLM fixes this, the test fails, and own_limits.py can be removed."""
    found = limits(tmp_path, "theirs")
    assert found["open"][:2] == [100, 20]
    assert found["claude"][:2] == [100, 20]
