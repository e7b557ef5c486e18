"""The images that tests run: what a deployment of this checkout would use, or what the environment names."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from functools import cache

from tollgate.site import Site
from tollgate.stack import image_build
from tollgate.stack.configuration import settings
from tollgate.stack.image_recipes import BASE_RECIPE, ON_DEMAND, REGISTRY_BASE, Recipe, prepare
from tollgate.stack.image_versions import load
from tollgate.stack.images import ImageSet, present, resolve
from tollgate.stack.litellm_versions import chosen as chosen_litellm
from tollgate.stack.progress import PlainProgress

REGISTRY_ONLY = ("GRAFANA_IMAGE", "LOKI_IMAGE", "ALLOY_IMAGE", "SOCKET_PROXY_IMAGE")


def image(variable: str) -> str:
    """The reference for POSTGRES_IMAGE and so on; KeyError where this machine cannot have that image."""
    return references({variable})[variable]


def references(variables: Collection[str]) -> dict[str, str]:
    """References by variable, without those that cannot be had here. An environment variable of that name wins."""
    given = {name: os.environ[name] for name in variables if os.environ.get(name)}
    return {**_resolved(frozenset(variables).difference(given)), **given}


@cache
def _resolved(variables: frozenset[str]) -> Mapping[str, str]:
    """Made available as `tollgate images` does: with the settings of .env and of the environment."""
    if not variables:
        return {}
    site = Site.here()
    chosen = settings(site)
    return resolve(
        chosen.image_source,
        site,
        PlainProgress(),
        ca_bundle=chosen.ca_bundle,
        mirror=chosen.debian_mirror or "",
        only=variables,
        litellm=os.environ.get("LITELLM_VERSION") or chosen_litellm(site, chosen),
    ).images


def own_image(name: str) -> str:
    """What only tests run, built from tests/images/<name> as the kit builds its own."""
    site = Site.here()
    chosen, pins = settings(site), load(site.root / "images" / "versions.env").pins
    base = prepare(BASE_RECIPE, site.root, pins, "", {})
    mirror = chosen.debian_mirror or ""
    if base.tag not in present():
        image_build.build(base, PlainProgress(), site.logs_dir / "build-base.log", ca_bundle=None, mirror=mirror)
    recipe = Recipe(name, "DEBIAN_SUITE", ((f"tests/images/{name}", "."),), ("DEBIAN_SUITE",))
    made = prepare(recipe, site.root, pins, base.tag, {})
    if made.tag not in present():
        log = site.logs_dir / f"build-{name}.log"
        image_build.build(made, PlainProgress(), log, ca_bundle=chosen.ca_bundle, mirror=mirror)
    return made.tag


def stand_ins(*, watchers: bool = True) -> ImageSet:
    """Names for every image variable, for tests that only render; `watchers`: whether Grafana's set can be had."""
    names = (
        {*load(Site.here().root / "images" / "versions.env").registry, "TOLLGATE_IMAGE", "BACKUP_IMAGE"}
        - {REGISTRY_BASE}
        - (ON_DEMAND - {"BACKUP_IMAGE"})
    )
    missing = {} if watchers else dict.fromkeys(REGISTRY_ONLY, "registry docker.io cannot be reached")
    return ImageSet({name: f"example.invalid/{name.lower()}:1" for name in names - missing.keys()}, missing)
