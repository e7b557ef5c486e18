"""The whole of config/gateway.yaml as one value, and what its names stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from tollgate.config.gateway.backend import Backend, BackendName
from tollgate.config.gateway.fields import group_name, model_name
from tollgate.config.gateway.model import Model
from tollgate.config.gateway.model_names import ModelNames
from tollgate.config.gateway.routing import Cache, Chain, Cheapest, Edge, Names, Routing
from tollgate.config.validate import Input

Name = Annotated[str, AfterValidator(model_name)]
GroupName = Annotated[str, AfterValidator(group_name)]


class Gateway(Input):
    """The whole file."""

    models: Annotated[dict[Name, Model], Field(min_length=1)] = Field(description="names that clients ask for")
    aliases: dict[Name, str] = Field(
        default_factory=dict, description="other names for a model, or for the first model of a chain"
    )
    chains: dict[Name, Names] = Field(default_factory=dict, description="named lists of models, tried in this order")
    fallbacks: dict[str, Chain] = Field(
        default_factory=dict, description="models to try when every target of a model has failed"
    )
    context_window_fallbacks: dict[str, Chain] = Field(
        default_factory=dict, description="models to try when a prompt is too long for its model"
    )
    content_policy_fallbacks: dict[str, Chain] = Field(
        default_factory=dict, description="models that LiteLLM tries if the provider refuses a request for its content"
    )
    cheapest: dict[Name, Cheapest] = Field(
        default_factory=dict, description="names that mean the cheapest of several models, chosen for each request"
    )
    groups: dict[GroupName, Names] = Field(
        default_factory=dict, description="names for lists of models and aliases; tenant files write `group:NAME`"
    )
    backends: dict[BackendName, Backend] = Field(
        default_factory=dict, description="your own model servers; each becomes a model with the name in its alias"
    )
    routing: Routing = Field(default=Routing(), description="how a request finds its target")
    cache: Cache = Field(default=Cache(), description="the response cache, separate for each tenant")
    edge: Edge = Field(default=Edge(), description="limits of nginx")

    @property
    def names(self) -> frozenset[str]:
        """Everything a client or a tenant file may name."""
        return frozenset(self.models) | frozenset(self.aliases) | frozenset(self.cheapest)

    def members(self, chain: Sequence[str] | str) -> tuple[str, ...]:
        """The models of a chain: a list of models, or the name of a chain."""
        return self.chains.get(chain, ()) if isinstance(chain, str) else tuple(chain)

    def model_of(self, name: str) -> str:
        """The model behind a name: the alias's model, or the first model of its chain."""
        meant = self.aliases.get(name, name)
        return self.chains[meant][0] if meant in self.chains and meant not in self.models else meant

    def following(self, name: str, chain: Sequence[str] | str) -> tuple[str, ...]:
        """The fallbacks of `name` along `chain`. In a named chain that contains it, these are the models after it."""
        members, model = self.members(chain), self.model_of(name)
        return members[members.index(model) + 1 :] if isinstance(chain, str) and model in members else members

    @property
    def model_names(self) -> ModelNames:
        """All names that a tenant file may use, with groups."""
        aliases = {alias: self.model_of(alias) for alias in self.aliases}
        return ModelNames(frozenset(self.models) | frozenset(self.cheapest), aliases, self.groups)
