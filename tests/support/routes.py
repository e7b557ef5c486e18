"""The route of the stack under test: direct, or LiteLLM's, switched as an operator switches it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from tests.support import plain
from tests.support.eventually import eventually
from tests.support.stack import Stack
from tests.support.traffic import Traffic
from tollgate.stack.configuration import change_env

DIRECT, LITELLM = "direct", "litellm"
# Without gateway processes there is only one.
ROUTES = (LITELLM,) if os.environ.get("TOLLGATE_TEST_GATEWAYS") == "0" else (DIRECT, LITELLM)


@dataclass(frozen=True)
class Switched:
    """A change of the route, as clients and operators saw it."""

    changes: list[str]
    traffic: Traffic


def route_of(stack: Stack) -> str:
    answer = plain.get(f"{stack.url}/gateway/health", timeout=30, trust_env=False)
    return str(answer.raise_for_status().json()["route"])


def take(stack: Stack, route: str) -> Switched | None:
    """One line of .env and a deploy, under traffic; None if the stack has the route already."""
    if route_of(stack) == route:
        return None
    traffic = Traffic(stack.url, stack.key("contractor"), clients=8, shortest=2, longest=5)
    with traffic.running():
        eventually(lambda: traffic.flowing and traffic.answers, within=60)
        change_env(stack.site, "BYPASS_LITELLM_ENABLED", "true" if route == DIRECT else "false")
        changes = json.loads(stack.cli("deploy", "--json").stdout)["changes"]
    return Switched(changes, traffic)
