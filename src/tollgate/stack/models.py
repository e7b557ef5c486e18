"""What the gateway serves, as the files say and as the running stack answers; and one real request to a target."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tollgate.config.catalogue import Catalogue
from tollgate.config.models import Model, Price, price_of
from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.render.litellm import identified
from tollgate.site import Site
from tollgate.stack import secrets
from tollgate.stack.compose import Compose
from tollgate.stack.configuration import Configuration
from tollgate.stack.masking import mask

TIMEOUT = httpx.Timeout(120.0, connect=3.0)
# litellm_deployment_state, by LiteLLM's own numbers: how the last request of a replica to a target ended.
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
    """`id` is the name LiteLLM and its metrics have for it; `price` USD per million tokens, prompt and answer."""

    id: str
    model: str
    order: int
    weight: int
    price: str
    state: str


@dataclass(frozen=True)
class ModelRow:
    """One name a client may ask for. `left_out` says why it is not served."""

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
    """What one target made of one request."""

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
    """The running stack's word: LiteLLM's deployments by id, and the state Prometheus has for each that was called."""

    deployed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    there: bool = False


def look(site: Site, compose: Compose) -> Running:
    """Ask LiteLLM and Prometheus; nothing where the stack does not run."""
    if not compose.rendered or "nginx" not in (running := compose.running()):
        return Running()
    rows = _get(_admin(compose), "/model/info", key=_master(site))["data"]
    deployed = {str(row["model_info"]["id"]): row for row in rows}
    states: dict[str, str] = {}
    if "prometheus" in running:
        host, port = compose.address("prometheus", 9090)
        query = {"query": "litellm_deployment_state"}
        found = _get(f"http://{host}:{port}", "/api/v1/query", query)["data"]["result"]
        states = _states(found)
    return Running(deployed, states, there=True)


def _states(found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """One word for all replicas; a replica that has not asked since a failure still has that failure."""
    numbers: dict[str, list[int]] = {}
    for row in found:
        numbers.setdefault(row["metric"].get("model_id", ""), []).append(int(float(row["value"][1])))
    return {
        identity: STATES.get(min(of), "unknown")
        if len(set(of)) == 1 or min(of) > 0
        else f"healthy on {of.count(0)} of {len(of)} replicas"
        for identity, of in numbers.items()
    }


def rows(configuration: Configuration, running: Running) -> list[ModelRow]:
    """Every name of gateway.yaml: what is served first, then what is left out and why."""
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
    """(id, model, its entry) of each target behind a name; TollgateError where it is not served."""
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


def ask(site: Site, compose: Compose, identity: str, target: str, model: Model) -> Answer:
    """One real request to one target, as the operator: no other target, no retry, no fallback."""
    path, body = "/v1/messages", _chat(identity)
    if model.mode == "embedding":
        path, body = "/v1/embeddings", {"model": identity, "input": "hello"}
    url = _admin(compose) + path  # first: where nothing is deployed it says so
    headers = {"Authorization": f"Bearer {_master(site).reveal()}", "anthropic-version": "2023-06-01"}
    began = time.monotonic()
    try:
        # A proxy for the outside must not see the master key.
        answer = httpx.post(url, json=body, headers=headers, timeout=TIMEOUT, trust_env=False)
    except httpx.TimeoutException:
        return Answer(identity, target, False, _since(began), said=f"no answer within {TIMEOUT.read:g} s")
    except httpx.HTTPError as error:
        return Answer(identity, target, False, _since(began), said=f"{type(error).__name__}: {error}")
    if answer.status_code != httpx.codes.OK:
        return Answer(identity, target, False, _since(began), said=f"HTTP {answer.status_code}: {_message(answer)}")
    return _understood(identity, target, answer.json(), _since(began), embedding=model.mode == "embedding")


def _chat(identity: str) -> dict[str, Any]:
    return {
        "model": identity,
        "max_tokens": 512,
        "messages": [{"role": "user", "content": QUESTION}],
        "tools": [TOOL],
        "num_retries": 0,
    }


def _understood(identity: str, target: str, body: Any, milliseconds: int, *, embedding: bool) -> Answer:
    usage = body.get("usage") or {}
    if embedding:
        ok, tokens = bool(body.get("data")), usage.get("prompt_tokens")
        return Answer(identity, target, ok, milliseconds, tokens, said="" if ok else "an answer without a vector")
    blocks = body.get("content") or []
    called = any(block.get("type") == "tool_use" and block.get("name") == TOOL["name"] for block in blocks)
    said = " ".join(str(block["text"]) for block in blocks if block.get("type") == "text")
    counts = (usage.get("input_tokens"), usage.get("output_tokens"))
    return Answer(identity, target, bool(blocks), milliseconds, *counts, tool_call=called, said=said[:200])


def _message(answer: httpx.Response) -> str:
    """The provider's own words where the body has them."""
    try:
        text = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        text = answer.text
    return mask(" ".join(text.split())[:500])


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _admin(compose: Compose) -> str:
    host, port = compose.address("nginx", 4001)
    return f"http://{host}:{port}"


def _master(site: Site) -> Secret:
    return secrets.read(site, "litellm_master_key")


def _get(base: str, path: str, query: Mapping[str, str] | None = None, key: Secret | None = None) -> Any:
    headers = {"Authorization": f"Bearer {key.reveal()}"} if key is not None else {}
    try:
        answer = httpx.get(base + path, params=query, headers=headers, timeout=30, trust_env=False)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise TollgateError(f"GET {base}{path}: {error}", "`make doctor` looks at each part") from None
    return answer.json()
