"""Rules of gateway.yaml that a type cannot express, about one target: prices, addresses, keys, headers, times.

Rules about names that refer to other names are in gateway/name_checks.py beside this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tollgate.config.gateway.file import Gateway
from tollgate.config.gateway.model import Model, Price, PriceOrWord, Target
from tollgate.config.gateway.providers import EMBEDDED, PROVIDERS, Provider
from tollgate.config.yaml.document import Document, Loc
from tollgate.errors import Problem

_BY_TIME = "code_execution"
_DATED = re.compile(r"(.+)_\d{8}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_CREDENTIAL_HEADER = re.compile(r"authorization|cookie|token|secret|password|(^|-)api-?key|(^|-)key$", re.IGNORECASE)
_CREDENTIAL_VALUE = re.compile(r"^(bearer|basic)\s|^(sk|pk|key|xai|gsk|ghp|AIza|AKIA)[-_A-Z0-9]", re.IGNORECASE)


def target_checks(gateway: Gateway, document: Document) -> Iterator[Problem]:
    for name, model in gateway.models.items():
        yield from _model(model, gateway, document, ("models", name))
        for index, target in enumerate(model.targets):
            loc = ("models", name, "targets", index)
            if target.price is None and model.price is None:
                yield document.problem(
                    loc,
                    "no price: LiteLLM charges nothing for a model without a price, so no budget would stop it",
                    "add price: {input_per_million: ..., output_per_million: ...}, or price: free, or price: litellm",
                )
            yield from _target(target, document, loc)
            yield from _tools(target.price, document, (*loc, "price"))
            yield from _patience(target.timeout_s, gateway, document, (*loc, "timeout_s"))
    patience, work = gateway.edge.read_timeout_s, gateway.routing.timeout_s
    if patience < work:
        yield document.problem(
            ("edge", "read_timeout_s"),
            f"expected at least routing.timeout_s ({work:g}), found {patience:g}",
            "otherwise nginx cuts a request while LiteLLM still works on it",
        )


def _model(model: Model, gateway: Gateway, document: Document, loc: Loc) -> Iterator[Problem]:
    yield from _patience(model.timeout_s, gateway, document, (*loc, "timeout_s"))
    yield from _by_cost(model, gateway, document, loc)
    yield from _tools(model.price, document, (*loc, "price"))
    if model.context_tokens and model.max_output_tokens and model.max_output_tokens > model.context_tokens:
        message = f"expected at most context_tokens ({model.context_tokens}), found {model.max_output_tokens}"
        yield document.problem((*loc, "max_output_tokens"), message, "the answer is part of the context window")


def _by_cost(model: Model, gateway: Gateway, document: Document, loc: Loc) -> Iterator[Problem]:
    if gateway.routing.strategy != "cost-based-routing":
        return
    orders = [target.order for target in model.targets]
    free = [target for target in model.targets if (target.price if target.price is not None else model.price) == "free"]
    if any(orders.count(target.order) > 1 for target in free):
        message = "cost-based-routing takes a price of zero for a missing price, and tries that target last"
        yield document.problem((*loc, "targets"), message, "give the free target an order of its own")


def _tools(price: PriceOrWord | None, document: Document, loc: Loc) -> Iterator[Problem]:
    """No request could pass: a name with a date matches none, and a price asks for `max_uses`, which providers do not
    accept for the tool that they bill by time."""
    if not isinstance(price, Price):
        return
    for name in price.server_tools:
        if plain := _DATED.match(name):
            message = "expected a tool without the date of its type; with the date, its price counts for no request"
            yield document.problem((*loc, "server_tools", name), message, f"write {plain[1]}")
    if price.server_tools.get(_BY_TIME):
        message = "cannot be billed: its provider bills the time of a container, and no answer says that time"
        yield document.problem((*loc, "server_tools", _BY_TIME), message, f"write {_BY_TIME}: 0; you pay for the time")


def _patience(timeout: float | None, gateway: Gateway, document: Document, loc: Loc) -> Iterator[Problem]:
    patience = gateway.edge.read_timeout_s
    if timeout is not None and timeout > patience:
        yield document.problem(
            loc,
            f"expected at most edge.read_timeout_s ({patience:g}), found {timeout:g}",
            "otherwise nginx cuts the request before this timeout",
        )


def _target(target: Target, document: Document, loc: Loc) -> Iterator[Problem]:
    provider = PROVIDERS[target.model.partition("/")[0]]
    yield from _place(target, provider, document, loc)
    if provider.key and target.api_base is not None and target.api_key is None and "api_base" not in provider.needs:
        message = f"no api_key: {provider.key} would go to this address"
        yield document.problem((*loc, "api_base"), message, "add api_key: env:NAME_API_KEY, or api_key: none")
    if (
        target.native_messages
        and provider.name not in (EMBEDDED, "anthropic")
        and not (target.api_base or provider.base)
    ):
        yield document.problem((*loc, "native_messages"), "needs an api_base", "the server that answers /v1/messages")
    for header, value in target.headers.items():
        yield from _header(header, value, document, (*loc, "headers", header))


def _place(target: Target, provider: Provider, document: Document, loc: Loc) -> Iterator[Problem]:
    if provider.needs_base and target.api_base is None:
        hint = "the address of your server, such as http://host.docker.internal:8000/v1"
        yield document.problem(loc, f"{provider.name} needs an api_base", hint)
    for place in ("region", "project", "api_version"):
        given = getattr(target, place) is not None
        if place in provider.needs and not given:
            example = {"region": "eu-central-1", "project": "my-project", "api_version": "2024-10-21"}[place]
            yield document.problem(loc, f"{provider.name} needs {place}", f"as in {place}: {example}")
        if given and place not in provider.needs:
            homes = ", ".join(other.name for other in PROVIDERS.values() if place in other.needs)
            yield document.problem(
                (*loc, place), f"{provider.name} takes no {place}", f"leave it out: only {homes} use it"
            )
    if provider.signs and target.api_key is not None:
        variables = " and ".join(provider.credentials)
        hint = f"leave it out: the gateway uses {variables}"
        yield document.problem((*loc, "api_key"), f"{provider.name} takes no api_key", hint)
    if provider.name == EMBEDDED and target.api_base is not None:
        yield document.problem((*loc, "api_base"), "the embedded provider has its own address", "leave it out")


def _header(header: str, value: str, document: Document, loc: Loc) -> Iterator[Problem]:
    """Never show the value: it can be a credential."""
    if not _HEADER.fullmatch(header) or "\n" in value or "\r" in value:
        yield document.problem(loc, "not a header", "a name of letters, digits and -, and a value on one line")
    elif _CREDENTIAL_HEADER.search(header) or _CREDENTIAL_VALUE.search(value):
        yield document.problem(loc, "a credential does not belong in this file", "use api_key")
