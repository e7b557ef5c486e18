"""Lists the models that the files describe, with their state in the running stack, and tests one target."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tollgate.config.gateway.catalogue import Catalogue
from tollgate.config.gateway.model import Model, Price, price_of
from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.litellm.client import TRUSTS_NOBODY
from tollgate.render.litellm import identified
from tollgate.stack.configuration import Configuration
from tollgate.stack.deployment import PROMETHEUS, Deployment
from tollgate.stack.host.masking import mask

TIMEOUT = httpx.Timeout(120.0, connect=3.0)
# The values of LiteLLM's metric litellm_deployment_state: how a replica's last request to a target ended.
STATES = {0: "healthy", 1: "failing", 2: "down"}
NOT_CALLED, NOT_DEPLOYED, NOT_RUNNING = "not called yet", "not deployed yet", "not running"
QUESTION = "Call the tool `ls` once, with path set to a single dot."
TOOL = {
    "name": "ls",
    "description": "Lists a directory.",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}


@dataclass(frozen=True)
class TargetRow:
    """`id` is the target's name in LiteLLM and its metrics. `price` is USD per million tokens, prompt and answer."""

    id: str
    model: str
    order: int
    weight: int
    price: str
    state: str


@dataclass(frozen=True)
class ModelRow:
    """One name that a client can request. `left_out` says why it is not served."""

    name: str
    aliases: tuple[str, ...] = ()
    description: str = ""
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    targets: tuple[TargetRow, ...] = ()
    fallbacks: tuple[str, ...] = ()
    cheapest_of: tuple[str, ...] = ()
    left_out: str = ""


@dataclass(frozen=True)
class Answer:
    """The result of one request to one target. `said` is the text of the answer, or the error."""

    id: str
    model: str
    ok: bool
    milliseconds: int
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    tool_call: bool | None = None
    said: str = ""


@dataclass(frozen=True)
class Running:
    """LiteLLM's deployments by id, and Prometheus's state of each target that was called. `there`: the stack runs."""

    deployed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    there: bool = False


def look(deployment: Deployment) -> Running:
    """Ask LiteLLM and Prometheus. The answer is empty if the stack does not run."""
    compose = deployment.compose
    if not compose.rendered or "nginx" not in (running := compose.running()):
        return Running()
    rows = _get(deployment.admin_url, "/model/info", key=deployment.master_key)["data"]
    deployed = {str(row["model_info"]["id"]): row for row in rows}
    states: dict[str, str] = {}
    if "prometheus" in running:
        query = {"query": "litellm_deployment_state"}
        series = _get(deployment.url(PROMETHEUS), "/api/v1/query", query)["data"]["result"]
        states = _states(series)
    return Running(deployed, states, there=True)


def _states(series: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """One state for each target, over all replicas. After a failure a replica reports it until its next request."""
    numbers: dict[str, list[int]] = {}
    for row in series:
        numbers.setdefault(row["metric"].get("model_id", ""), []).append(int(float(row["value"][1])))
    return {
        identity: STATES.get(min(of), "unknown")
        if len(set(of)) == 1 or min(of) > 0
        else f"healthy on {of.count(0)} of {len(of)} replicas"
        for identity, of in numbers.items()
    }


def rows(configuration: Configuration, running: Running) -> list[ModelRow]:
    """Every name of gateway.yaml: first the served names, then the others with the reason."""
    catalogue = configuration.catalogue
    served = [_row(name, model, catalogue, running) for name, model in catalogue.models.items()]
    chosen = [
        ModelRow(name, description=choice.description, cheapest_of=choice.models)
        for name, choice in catalogue.cheapest.items()
    ]
    return [*served, *chosen, *(ModelRow(name, left_out=reason) for name, reason in catalogue.left_out)]


def _row(name: str, model: Model, catalogue: Catalogue, running: Running) -> ModelRow:
    targets = tuple(
        TargetRow(
            identity,
            target.model,
            target.order,
            target.weight,
            _price(price_of(target, model), running.deployed.get(identity)),
            _state(identity, running),
        )
        for identity, target in identified(name, model)
    )
    aliases = tuple(alias for alias, meant in catalogue.aliases.items() if meant == name)
    fallbacks = catalogue.fallbacks.get(name, ())
    return ModelRow(name, aliases, model.description, model.context_tokens, model.max_output_tokens, targets, fallbacks)


def _state(identity: str, running: Running) -> str:
    if not running.there:
        return NOT_RUNNING
    return running.states.get(identity, NOT_CALLED) if identity in running.deployed else NOT_DEPLOYED


def _price(price: object, deployed: Mapping[str, Any] | None) -> str:
    if isinstance(price, Price):
        return f"{price.input_per_million:g} / {price.output_per_million:g}"
    if price == "litellm" and deployed is not None:
        info = deployed["model_info"]
        if info.get("input_cost_per_token") is not None and info.get("output_cost_per_token") is not None:
            return f"{info['input_cost_per_token'] * 1e6:g} / {info['output_cost_per_token'] * 1e6:g}"
        return "unknown to LiteLLM: requests are refused"
    return "LiteLLM's list" if price == "litellm" else str(price)


def to_test(configuration: Configuration, name: str) -> list[tuple[str, str, Model]]:
    """(id, the target's model, its entry) of each target of `name`; TollgateError if `name` is not served."""
    catalogue = configuration.catalogue
    choice = catalogue.cheapest.get(name)
    names = choice.models if choice is not None else (catalogue.aliases.get(name, name),)
    for reason in (why for left, why in catalogue.left_out if left == name):
        raise TollgateError(f"{name} is not served", reason)
    if names[0] not in catalogue.models:
        raise TollgateError(f"no model or alias is named {name}", "`tollgate models` lists them")
    return [
        (identity, target.model, catalogue.models[model])
        for model in names
        for identity, target in identified(model, catalogue.models[model])
    ]


def ask(deployment: Deployment, identity: str, target: str, model: Model) -> Answer:
    """Send one real request to one target with the master key: no other target, no retry, no fallback."""
    path, body = "/v1/messages", _chat(identity)
    if model.mode == "embedding":
        path, body = "/v1/embeddings", {"model": identity, "input": "hello"}
    url = deployment.admin_url + path  # first, because it raises if nothing is deployed
    headers = {"Authorization": f"Bearer {deployment.master_key.reveal()}", "anthropic-version": "2023-06-01"}
    began = time.monotonic()
    try:
        # trust_env=False: a proxy must not see the master key.
        answer = httpx.post(url, json=body, headers=headers, timeout=TIMEOUT, trust_env=False, verify=TRUSTS_NOBODY)
    except httpx.TimeoutException:
        return Answer(identity, target, False, _since(began), said=f"no answer within {TIMEOUT.read:g} s")
    except httpx.HTTPError as error:
        return Answer(identity, target, False, _since(began), said=f"{type(error).__name__}: {error}")
    if answer.status_code != httpx.codes.OK:
        return Answer(identity, target, False, _since(began), said=f"HTTP {answer.status_code}: {_message(answer)}")
    return _parse_answer(identity, target, answer.json(), _since(began), embedding=model.mode == "embedding")


def _chat(identity: str) -> dict[str, Any]:
    return {
        "model": identity,
        "max_tokens": 512,
        "messages": [{"role": "user", "content": QUESTION}],
        "tools": [TOOL],
        "num_retries": 0,
    }


def _parse_answer(identity: str, target: str, body: Any, milliseconds: int, *, embedding: bool) -> Answer:
    usage = body.get("usage") or {}
    if embedding:
        ok, tokens = bool(body.get("data")), _count(usage.get("prompt_tokens"))
        return Answer(identity, target, ok, milliseconds, tokens, said="" if ok else "an answer without a vector")
    blocks = body.get("content") or []
    called = any(block.get("type") == "tool_use" and block.get("name") == TOOL["name"] for block in blocks)
    text = " ".join(str(block["text"]) for block in blocks if block.get("type") == "text")
    counts = (_count(usage.get("input_tokens")), _count(usage.get("output_tokens")))
    return Answer(identity, target, bool(blocks), milliseconds, *counts, tool_call=called, said=text[:200])


def _count(tokens: object) -> int | None:
    """An upstream's count of tokens; None if it is not a whole number."""
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None


def _message(answer: httpx.Response) -> str:
    """The provider's error message; the whole body if it has none. Secrets are masked."""
    try:
        text = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        text = answer.text
    return mask(" ".join(text.split())[:500])


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _get(base: str, path: str, query: Mapping[str, str] | None = None, key: Secret | None = None) -> Any:
    headers = {"Authorization": f"Bearer {key.reveal()}"} if key is not None else {}
    try:
        answer = httpx.get(
            base + path, params=query, headers=headers, timeout=30, trust_env=False, verify=TRUSTS_NOBODY
        )
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise TollgateError(f"GET {base}{path}: {error}", "`make doctor` checks each part") from None
    return answer.json()
