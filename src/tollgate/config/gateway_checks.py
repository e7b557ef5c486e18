"""The rules of gateway.yaml that a type cannot say: references that must lead somewhere, prices that must exist."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tollgate.config.model_names import GROUP
from tollgate.config.providers import EMBEDDED, PROVIDERS
from tollgate.config.source import Document
from tollgate.config.validate import did_you_mean
from tollgate.errors import Problem

if TYPE_CHECKING:
    from tollgate.config.gateway import Gateway, Target

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,99}")
_GROUP_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_KEY_REFERENCE = re.compile(r"env:[A-Z][A-Z0-9_]*_API_KEY")


def model_name(value: str) -> str:
    if value.startswith(GROUP):
        raise ValueError("group: begins a group in tenant files, not a model\nput groups under groups:")
    if not _NAME.fullmatch(value):
        raise ValueError(f"not a model name: {value[:60]!r}\nletters, digits and . _ : @ / -, at most 100")
    return value


def group_name(value: str) -> str:
    if not _GROUP_NAME.fullmatch(value):
        raise ValueError(f"not a group name: {value[:60]!a}\nlower-case letters, digits, - and _, at most 63")
    return value


def key_reference(value: str) -> str:
    """Never echo the value: people paste keys here."""
    if value != "none" and not _KEY_REFERENCE.fullmatch(value):
        raise ValueError("expected env:NAME_API_KEY or none, found ***\na key belongs in .env; this file is committed")
    return value


def literal_variables(document: Document, hint: str) -> Iterator[Problem]:
    """`${VAR}` reaches LiteLLM as those very characters: once, that made "${LITELLM_MASTER_KEY}" the admin password."""
    for loc, text in document.strings():
        if "${" in text or "os.environ/" in text:
            yield document.problem(loc, "variables are not expanded: this very text would reach LiteLLM", hint)


def cross_checks(gateway: Gateway, document: Document) -> Iterator[Problem]:
    yield from _targets(gateway, document)
    yield from _aliases(gateway, document)
    yield from _fallbacks(gateway, document)
    yield from _groups(gateway, document)
    patience, work = gateway.edge.read_timeout_s, gateway.routing.timeout_s
    if patience < work:
        yield document.problem(
            ("edge", "read_timeout_s"),
            f"expected at least routing.timeout_s ({work:g}), found {patience:g}",
            "nginx would cut a request that LiteLLM still works on",
        )


def _targets(gateway: Gateway, document: Document) -> Iterator[Problem]:
    for name, model in gateway.models.items():
        for index, target in enumerate(model.targets):
            loc = ("models", name, "targets", index)
            if target.price is None and model.price is None:
                yield document.problem(
                    loc,
                    "no price: a model without one costs nothing in LiteLLM, so no budget would ever stop it",
                    "add price: {input_per_million: ..., output_per_million: ...}, or price: free, or price: litellm",
                )
            yield from _target(target, document, loc)


def _target(target: Target, document: Document, loc: tuple[str | int, ...]) -> Iterator[Problem]:
    provider = PROVIDERS[target.model.partition("/")[0]]
    if provider.needs_base and target.api_base is None:
        hint = "the address of your server, such as http://host.docker.internal:8000/v1"
        yield document.problem(loc, f"{provider.name} needs an api_base", hint)
    if provider.key and target.api_base is not None and target.api_key is None:
        message = f"say which key goes to this address: {provider.key} would"
        yield document.problem((*loc, "api_base"), message, "add api_key: env:NAME_API_KEY, or api_key: none")
    if (
        target.native_messages
        and provider.name not in (EMBEDDED, "anthropic")
        and not (target.api_base or provider.base)
    ):
        yield document.problem((*loc, "native_messages"), "needs an api_base", "the server that answers /v1/messages")
    if provider.name == EMBEDDED and target.api_base is not None:
        yield document.problem((*loc, "api_base"), "the embedded provider has its own address", "leave it out")
    for header in target.headers:
        if header.lower() in ("authorization", "x-api-key"):
            yield document.problem(
                (*loc, "headers", header), "a credential does not belong in this file", "use api_key"
            )


def _aliases(gateway: Gateway, document: Document) -> Iterator[Problem]:
    for alias, model in gateway.aliases.items():
        if alias in gateway.models:
            line = document.line(("models", alias))
            yield document.problem(("aliases", alias), f"is a model already, on line {line}", "rename one of the two")
        elif model in gateway.aliases and model not in gateway.models:
            final = gateway.aliases[model]
            yield document.problem(("aliases", alias), f"{model} is itself an alias", f"name the model: {final}")
        elif model not in gateway.models:
            hint = did_you_mean(model, gateway.models)
            yield document.problem(("aliases", alias), f"unknown model {model[:60]!r}", hint)


def _fallbacks(gateway: Gateway, document: Document) -> Iterator[Problem]:
    for name, chain in gateway.fallbacks.items():
        yield from _known(name, gateway, document, ("fallbacks", name))
        for index, model in enumerate(chain):
            yield from _known(model, gateway, document, ("fallbacks", name, index))
            if model in chain[:index]:
                yield document.problem(("fallbacks", name, index), f"{model} stands here twice", "keep the first")
    for name in gateway.fallbacks:
        circle = _circle(name, gateway.fallbacks)
        if circle:
            way = " -> ".join(circle)
            yield document.problem(("fallbacks", name), f"goes in a circle: {way}", "break it in one place")


def _groups(gateway: Gateway, document: Document) -> Iterator[Problem]:
    for name, members in gateway.groups.items():
        for index, member in enumerate(members):
            loc = ("groups", name, index)
            if member.startswith(GROUP):
                yield document.problem(loc, "a group cannot hold a group", "name its models here")
            elif member not in gateway.names:
                message = f"unknown model {member[:60]!a}"
                yield document.problem(loc, message, did_you_mean(member, gateway.names))
            elif member in members[:index]:
                yield document.problem(loc, f"{member} stands here twice", "keep the first")


def _known(model: str, gateway: Gateway, document: Document, loc: tuple[str | int, ...]) -> Iterator[Problem]:
    if model in gateway.aliases:
        yield document.problem(loc, f"{model} is an alias", f"name the model: {gateway.aliases[model]}")
    elif model not in gateway.models:
        yield document.problem(loc, f"unknown model {model[:60]!r}", did_you_mean(model, gateway.models))


def _circle(start: str, fallbacks: Mapping[str, Sequence[str]]) -> list[str]:
    """The way from `start` back to itself, or []; reported once, at the circle's alphabetically first member."""
    stack: list[tuple[str, list[str]]] = [(start, [start])]
    seen: set[str] = set()
    while stack:
        model, way = stack.pop()
        for following in _following(model, fallbacks):
            if following == start:
                return [*way, start] if start == min(way) else []
            if following not in seen:
                seen.add(following)
                stack.append((following, [*way, following]))
    return []


def _following(model: str, fallbacks: Mapping[str, Sequence[str]]) -> Iterable[str]:
    return fallbacks.get(model, ())
