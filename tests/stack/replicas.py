"""Asking one replica in particular, past nginx: which one saw a tenant's first calls is what these tests are about."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support import plain
from tests.support.clock import until_the_hour_has_left
from tests.support.stack import Stack

REPLICAS = ("litellm-1", "litellm-2", "litellm-3")

ASK = """
import json, urllib.request, urllib.error
answers = []
for _ in range({count}):
    request = urllib.request.Request('http://127.0.0.1:4000{path}', data={data!r}, headers={headers!r})
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    answers.append((answer.status, answer.read().decode()))
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Answer:
    status: int
    text: str

    @property
    def message(self) -> str:
        return str(json.loads(self.text)["error"]["message"])


def ask(
    stack: Stack,
    replica: str,
    key: str,
    count: int = 1,
    *,
    path: str = "/v1/messages",
    body: dict[str, Any] | None = None,
) -> list[Answer]:
    """`count` requests one after another at `replica`; with no body a GET."""
    headers = {"x-api-key": key, "content-type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    answers = json.loads(stack.python(replica, ASK.format(count=count, path=path, data=data, headers=headers)))
    return [Answer(*answer) for answer in answers]


@contextmanager
def handmade(
    admin: httpx.Client, team: dict[str, Any], limits: dict[str, Any] | None = None
) -> Iterator[tuple[str, str]]:
    """A tenant with one limit, as no file has it: its id and key. Without our mark, so that no plan touches it.

    No hour ends, and with it no day, between the call that a test has counted and the one it wants refused.
    """
    until_the_hour_has_left(60)
    name, key = f"t{uuid.uuid4().hex[:8]}", f"sk-{uuid.uuid4().hex}"
    fields = {"team_id": name, "models": ["test-model"], "metadata": {"limits": limits or {}}, **team}
    admin.post("/team/new", json=fields).raise_for_status()
    try:
        fields = {"key": key, "team_id": name, "models": ["all-team-models"], "metadata": {"name": "default"}}
        admin.post("/key/generate", json=fields).raise_for_status()
        yield name, key
    finally:
        admin.post("/team/delete", json={"team_ids": [name]}).raise_for_status()


def replicas_up(stack: Stack) -> int:
    """At Prometheus, as its targets: for five minutes `sum(up)` still finds a replica that scaling took away."""
    answer = plain.get(f"{stack.prometheus_url}/api/v1/targets", timeout=30, trust_env=False).json()
    targets = answer["data"]["activeTargets"]
    return sum(1 for target in targets if target["labels"]["job"] == "litellm" and target["health"] == "up")
