"""Rules of gateway.yaml about names: aliases, chains, groups, fallbacks and choices name models, without circles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tollgate.config.gateway.file import Gateway
from tollgate.config.gateway.model import price_of
from tollgate.config.gateway.model_names import GROUP
from tollgate.config.gateway.routing import Chain
from tollgate.config.validate import did_you_mean
from tollgate.config.yaml.document import Document, Loc
from tollgate.errors import Problem

FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")


def name_checks(gateway: Gateway, document: Document) -> Iterator[Problem]:
    yield from _aliases(gateway, document)
    for name, members in gateway.chains.items():
        yield from _fresh(name, ("models", "aliases"), gateway, document, ("chains", name))
        yield from _members(members, gateway, document, ("chains", name))
    for kind in FALLBACKS:
        yield from _fallbacks(kind, gateway, document)
    yield from _cheapest(gateway, document)
    yield from _groups(gateway, document)


def _aliases(gateway: Gateway, document: Document) -> Iterator[Problem]:
    for alias, meant in gateway.aliases.items():
        loc = ("aliases", alias)
        if alias in gateway.models:
            yield from _fresh(alias, ("models",), gateway, document, loc)
        elif meant in gateway.models or meant in gateway.chains:
            continue
        elif meant in gateway.aliases:
            final = gateway.aliases[meant]
            yield document.problem(loc, f"{meant} is itself an alias", f"name the model: {final}")
        else:
            hint = did_you_mean(meant, [*gateway.models, *gateway.chains])
            yield document.problem(loc, f"unknown model {meant[:60]!r}", hint)


def _fresh(name: str, sections: Sequence[str], gateway: Gateway, document: Document, loc: Loc) -> Iterator[Problem]:
    """A name must have one meaning."""
    for section in sections:
        if name in getattr(gateway, section):
            kind = {"models": "a model", "aliases": "an alias", "chains": "a chain"}[section]
            line = document.line((section, name))
            yield document.problem(loc, f"is already {kind}, on line {line}", "rename one of the two")


def _members(chain: Sequence[str], gateway: Gateway, document: Document, loc: Loc) -> Iterator[Problem]:
    for index, model in enumerate(chain):
        yield from _model(model, gateway, document, (*loc, index))
        if model in chain[:index]:
            yield document.problem((*loc, index), f"{model} is listed twice", "keep the first")


def _model(model: str, gateway: Gateway, document: Document, loc: Loc) -> Iterator[Problem]:
    if model in gateway.aliases:
        yield document.problem(loc, f"{model} is an alias", f"name the model: {gateway.model_of(model)}")
    elif model not in gateway.models:
        yield document.problem(loc, f"unknown model {model[:60]!r}", did_you_mean(model, gateway.models))


def _chain(chain: Chain, gateway: Gateway, document: Document, loc: Loc) -> Iterator[Problem]:
    if not isinstance(chain, str):
        yield from _members(chain, gateway, document, loc)
    elif chain not in gateway.chains:
        hint = did_you_mean(chain, gateway.chains)
        other = f"write a list of one model as [{chain}]" if chain in gateway.models else "list chains under chains:"
        yield document.problem(loc, f"unknown chain {chain[:60]!r}", hint or other)


def _fallbacks(kind: str, gateway: Gateway, document: Document) -> Iterator[Problem]:
    written: Mapping[str, Chain] = getattr(gateway, kind)
    for name, chain in written.items():
        if name not in gateway.aliases:
            yield from _model(name, gateway, document, (kind, name))
        yield from _chain(chain, gateway, document, (kind, name))
    ways = {name: gateway.following(name, chain) for name, chain in written.items()}
    for name in ways:
        circle = _circle(name, ways)
        if circle:
            way = " -> ".join(circle)
            yield document.problem((kind, name), f"goes in a circle: {way}", "break it in one place")


def _circle(start: str, ways: Mapping[str, Sequence[str]]) -> list[str]:
    """The path from `start` back to itself, or []. Each circle is reported once, at its alphabetically first member."""
    stack: list[tuple[str, list[str]]] = [(start, [start])]
    seen: set[str] = set()
    while stack:
        model, way = stack.pop()
        for following in ways.get(model, ()):
            if following == start:
                return [*way, start] if start == min(way) else []
            if following not in seen:
                seen.add(following)
                stack.append((following, [*way, following]))
    return []


def _cheapest(gateway: Gateway, document: Document) -> Iterator[Problem]:
    for name, choice in gateway.cheapest.items():
        loc = ("cheapest", name)
        yield from _fresh(name, ("models", "aliases", "chains"), gateway, document, loc)
        yield from _chain(choice.models, gateway, document, (*loc, "models"))
        for model in gateway.members(choice.models):
            if model in gateway.models:
                yield from _candidate(model, gateway, document, (*loc, "models"))


def _candidate(name: str, gateway: Gateway, document: Document, loc: Loc) -> Iterator[Problem]:
    model = gateway.models[name]
    if model.mode != "chat":
        yield document.problem(loc, f"{name} is not a chat model", "all candidates must be chat models")
    if any(price_of(target, model) == "litellm" for target in model.targets):
        hint = "write its price: with `litellm` the price is not known before the request"
        yield document.problem(loc, f"the price of {name} cannot be compared", hint)


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
                yield document.problem(loc, f"{member} is listed twice", "keep the first")
