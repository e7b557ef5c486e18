"""Loads all of an operator's configuration, with every problem of every file in one InputError."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from tollgate.config.env import certificate
from tollgate.config.env import settings as env
from tollgate.config.env.certificate import Certificate
from tollgate.config.env.settings import Settings
from tollgate.config.gateway import load as gateway
from tollgate.config.gateway.catalogue import Catalogue, resolve
from tollgate.config.gateway.file import Gateway
from tollgate.config.secret import Secret
from tollgate.config.tenant import load as tenants
from tollgate.config.tenant.load import Drafts, Tenants
from tollgate.errors import InputError, Problem
from tollgate.site import Site

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Configuration:
    """`gateway` is the whole file, `catalogue` the part that can be served with the keys in `settings`."""

    settings: Settings
    gateway: Gateway
    catalogue: Catalogue
    tenants: Tenants
    certificate: Certificate | None = None
    authorities: str = ""
    acme_authorities: str = ""


def load(
    site: Site,
    overrides: Mapping[str, str] | None = None,
    drafts: Drafts = MappingProxyType({}),
    credentials: Mapping[str, Secret] = MappingProxyType({}),
    cores: int = 2,
) -> Configuration:
    """Read .env, config/gateway.yaml and tenants/*.yaml of `site`; `overrides` win over .env, `drafts` over files.

    `credentials` are provider credentials that stand elsewhere than in .env. `cores` are those of this machine.
    """
    problems: list[Problem] = []

    def attempt(step: Callable[[], Loaded]) -> Loaded | None:
        try:
            return step()
        except InputError as error:
            problems.extend(error.problems)
            return None

    settings = attempt(lambda: settings_of(site, overrides, cores).with_credentials(credentials))
    shown = attempt(lambda: certificate.load(settings, site.secrets_dir)) if settings is not None else None
    trusted = attempt(lambda: certificate.authorities(settings.ca_bundle)) if settings is not None else None
    acme_trusted = (
        attempt(lambda: certificate.authorities(settings.acme_ca_bundle, "ACME_CA_BUNDLE")) if settings else None
    )
    models = attempt(lambda: gateway.load(site.gateway_file))
    # With a broken gateway.yaml every model name would be unknown, so only the file itself is reported.
    names = models.model_names if models is not None else None
    teams = attempt(lambda: tenants.load(site.tenants_dir, names, drafts=drafts))
    if problems or settings is None or models is None or teams is None:
        raise InputError(problems)
    catalogue = resolve(models, settings.provider_keys)
    return Configuration(settings, models, catalogue, teams, shown, trusted or "", acme_trusted or "")


def settings_of(site: Site, overrides: Mapping[str, str] | None, cores: int = 2) -> Settings:
    """Only .env. Before the first deploy has written it: the defaults that it will write."""
    if site.env_file.is_file():
        return env.load(site.env_file, overrides, cores)
    return env.parse("", site.env_file, overrides, cores)
