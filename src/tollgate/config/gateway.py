"""config/gateway.yaml: which models the gateway serves, at what price, and how requests are routed.

Money is USD per million tokens, times are seconds, sizes MB as nginx counts them (2^20 bytes). `parse` checks the
file as a whole: names that lead nowhere, circles, missing prices, all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from tollgate.config import backends, gateway_checks, gateway_names
from tollgate.config.backends import Backend, BackendName
from tollgate.config.model_names import ModelNames
from tollgate.config.models import Model, Price, Target
from tollgate.config.routing import Cache, Chain, Cheapest, Edge, Names, Routing
from tollgate.config.source import Document
from tollgate.config.source import parse as parse_yaml
from tollgate.config.text import read
from tollgate.config.validate import Input, validate
from tollgate.errors import InputError

__all__ = ["Cache", "Cheapest", "Edge", "Gateway", "Model", "Price", "Routing", "Target", "load", "parse"]

Name = Annotated[str, AfterValidator(gateway_checks.model_name)]
GroupName = Annotated[str, AfterValidator(gateway_checks.group_name)]


class Gateway(Input):
    """The whole file."""

    models: Annotated[dict[Name, Model], Field(min_length=1)] = Field(description="names that clients ask for")
    aliases: dict[Name, str] = Field(
        default_factory=dict, description="other names: of a model, or of the first model of a chain"
    )
    chains: dict[Name, Names] = Field(default_factory=dict, description="named lists of models, the first tried first")
    fallbacks: dict[str, Chain] = Field(
        default_factory=dict, description="where a request goes when every target of its model has failed"
    )
    context_window_fallbacks: dict[str, Chain] = Field(
        default_factory=dict, description="where a prompt goes that is too long for its model"
    )
    content_policy_fallbacks: dict[str, Chain] = Field(
        default_factory=dict, description="where a request goes that its model's provider refused for its content"
    )
    cheapest: dict[Name, Cheapest] = Field(
        default_factory=dict, description="models that are the cheapest of others, chosen for each request"
    )
    groups: dict[GroupName, Names] = Field(
        default_factory=dict, description="a name and the models or aliases it stands for in tenant files"
    )
    backends: dict[BackendName, Backend] = Field(
        default_factory=dict, description="model servers of your own; each is a model under its alias"
    )
    routing: Routing = Field(default=Routing(), description="how a request finds its target")
    cache: Cache = Field(default=Cache(), description="answers to identical requests, kept for each tenant")
    edge: Edge = Field(default=Edge(), description="what nginx lets through")

    @property
    def names(self) -> frozenset[str]:
        """Everything a client or a tenant file may name."""
        return frozenset(self.models) | frozenset(self.aliases) | frozenset(self.cheapest)

    def members(self, chain: Sequence[str] | str) -> tuple[str, ...]:
        """The models of a chain, given as a list or by its name."""
        return self.chains.get(chain, ()) if isinstance(chain, str) else tuple(chain)

    def model_of(self, name: str) -> str:
        """The model behind a name: an alias's own, or the first of the chain it stands for."""
        meant = self.aliases.get(name, name)
        return self.chains[meant][0] if meant in self.chains and meant not in self.models else meant

    def following(self, name: str, chain: Sequence[str] | str) -> tuple[str, ...]:
        """Where `name` falls back to along `chain`: of a named one that it stands in, what comes after it."""
        members, model = self.members(chain), self.model_of(name)
        return members[members.index(model) + 1 :] if isinstance(chain, str) and model in members else members

    @property
    def model_names(self) -> ModelNames:
        """What a tenant file may name, groups included."""
        aliases = {alias: self.model_of(alias) for alias in self.aliases}
        return ModelNames(frozenset(self.models) | frozenset(self.cheapest), aliases, self.groups)


def load(file: Path) -> Gateway:
    return parse(read(file), file)


def parse(text: str, file: Path) -> Gateway:
    """Raises InputError with every problem of the file at once."""
    document: Document = parse_yaml(text, file)
    problems = list(gateway_checks.literal_variables(document, "name a key of .env as env:NAME_API_KEY"))
    try:
        gateway = validate(Gateway, document)
    except InputError as error:
        places = {problem.path for problem in problems}
        raise InputError([*problems, *(other for other in error.problems if other.path not in places)]) from None
    taken = {name: f"a model, on line {document.line(('models', name))}" for name in gateway.models}
    taken |= {name: f"an alias, on line {document.line(('aliases', name))}" for name in gateway.aliases}
    problems += backends.problems(gateway.backends, taken, document)
    gateway = with_backends(gateway)
    problems += gateway_checks.target_checks(gateway, document)
    problems += gateway_names.name_checks(gateway, document)
    if problems:
        raise InputError(problems)
    return gateway


def with_backends(gateway: Gateway) -> Gateway:
    """Each backend as the model that clients ask for."""
    served = {
        backend.alias: Model(
            description=f"{backend.kind.title}, {'run here' if backend.run else 'your own'}",
            targets=(Target.model_validate(backends.target(name, backend)),),
            context_tokens=backend.context_tokens,
            max_output_tokens=backend.max_output_tokens,
            tools=backend.known("tools"),
            vision=backend.known("vision"),
        )
        for name, backend in gateway.backends.items()
        if backend.somewhere
    }
    return gateway.model_copy(update={"models": {**served, **gateway.models}})
