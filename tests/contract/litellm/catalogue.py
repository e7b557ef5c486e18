"""A gateway with the catalogue of models.yaml, its tenants, and the requests that its embedded provider got."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.contract.litellm.gateway import Gateway
from tests.support import plain
from tests.support.eventually import eventually
from tollgate.config.secret import Secret
from tollgate.reconcile.desired import key_hash

MODELS = (Path(__file__).parent / "models.yaml").read_text()


@dataclass
class Asker:
    """A tenant with one key, and the targets of its requests."""

    gateway: Gateway
    team: str
    key: Secret = field(repr=False)

    def ask(
        self, model: str, text: str = "hello", path: str = "/v1/messages", *, again: bool = False, **more: Any
    ) -> httpx.Response:
        # The catalogue has its cache on: without a number of its own a request might never reach a target.
        text = text if again else f"{text} ({secrets.token_hex(4)})"
        body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": text}], **more}
        headers = more.pop("headers", {})
        body.pop("headers", None)
        headers = {"authorization": f"Bearer {self.key.reveal()}", "anthropic-version": "2023-06-01", **headers}
        return plain.post(self.gateway.url + path, json=body, headers=headers, timeout=60, trust_env=False)

    def reached(self, model: str, **more: Any) -> tuple[httpx.Response, list[str]]:
        """The answer, and the upstream models that were asked for it, in order."""
        forget(self.gateway)
        answer = self.ask(model, **more)
        return answer, upstreams(self.gateway)

    def spend(self) -> float:
        """The spend that the ledger has booked to the key."""
        rows = self.gateway.sql('SELECT spend FROM "LiteLLM_SpendLogs" WHERE api_key = %s', key_hash(self.key))
        return sum(float(row[0]) for row in rows)

    def booked(self, requests: int) -> float:
        """`spend`, once that many successful requests are in the ledger."""
        query = "SELECT count(*) FROM \"LiteLLM_SpendLogs\" WHERE api_key = %s AND status = 'success'"
        eventually(lambda: self.gateway.sql(query, key_hash(self.key))[0][0] >= requests, within=60)
        return self.spend()


def asker(gateway: Gateway, models: list[str]) -> Asker:
    """A new tenant that may use `models` ([] means all)."""
    team = f"team-{secrets.token_hex(4)}"
    key = Secret(f"sk-{secrets.token_urlsafe(32)}")
    gateway.client.create_team({"team_id": team, "models": models})
    gateway.client.create_key(key, {"team_id": team, "models": ["all-team-models"]})
    return Asker(gateway, team, key)


def forget(gateway: Gateway) -> None:
    plain.delete(f"{_provider(gateway)}/_recorded", timeout=10, trust_env=False).raise_for_status()


def recorded(gateway: Gateway) -> list[dict[str, Any]]:
    answer = plain.get(f"{_provider(gateway)}/_recorded", params={"limit": 1000}, timeout=10, trust_env=False).json()
    requests = answer["requests"] if isinstance(answer, dict) else answer
    return [one for one in requests if one["method"] == "POST"]


def upstreams(gateway: Gateway) -> list[str]:
    """The upstream models of the recorded requests, without the dials in their names."""
    return [str(one["body"]["model"]).partition("+")[0] for one in recorded(gateway)]


def _provider(gateway: Gateway) -> str:
    return f"http://127.0.0.1:{gateway.containers['provider'].get_exposed_port(8080)}"
