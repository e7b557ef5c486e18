"""The images that tests run: what a deployment of this checkout would use, or what the environment names.

`python -m tests.support.images` builds those that `tollgate images` leaves out and tests need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from functools import cache

from tollgate.render.watchers import ON_REQUEST
from tollgate.site import Site
from tollgate.stack.configuration import settings
from tollgate.stack.host.progress import PlainProgress
from tollgate.stack.images import build
from tollgate.stack.images.recipes import BASE_RECIPE, ON_DEMAND, REGISTRY_BASE, Recipe, prepare
from tollgate.stack.images.resolve import Images, ImageSet, present
from tollgate.stack.images.versions import load

# A deploy builds these when a setting asks for them. Two lanes would build them at the same time.
ASKED_FOR = ("LLAMA_CPP_IMAGE", "BACKUP_IMAGE", "ACME_IMAGE")
REGISTRY_ONLY = ("GRAFANA_IMAGE", "LOKI_IMAGE", "ALLOY_IMAGE", "SOCKET_PROXY_IMAGE")


def image(variable: str) -> str:
    """The reference for POSTGRES_IMAGE and so on; KeyError where this machine cannot have that image."""
    return references({variable})[variable]


def references(variables: Collection[str]) -> dict[str, str]:
    """References by variable, without images that are not available here. An environment variable of that name wins."""
    given = {name: os.environ[name] for name in variables if os.environ.get(name)}
    return {**_resolved(frozenset(variables).difference(given)), **given}


@cache
def _resolved(variables: frozenset[str]) -> Mapping[str, str]:
    """Made available as `tollgate images` does: with the settings of .env and of the environment."""
    if not variables:
        return {}
    site = Site.here()
    chosen = settings(site)
    release = os.environ.get("LITELLM_VERSION", "")
    return Images(chosen, site, PlainProgress(), release).provide(variables).images


def own_image(name: str, on: str = "") -> str:
    """An image that only tests run. It is built from tests/images/<name>, `on` an image or on our base."""
    site = Site.here()
    chosen, pins = settings(site), load(site.root / "images" / "versions.env").pins
    base = prepare(BASE_RECIPE, site.root, pins, "", {})
    mirror = chosen.debian_mirror or ""
    if base.tag not in present():
        build.build(base, PlainProgress(), site.logs_dir / "build-base.log", ca_bundle=None, mirror=mirror)
    recipe = Recipe(name, "DEBIAN_SUITE", ((f"tests/images/{name}", "."),), ("DEBIAN_SUITE",))
    made = prepare(recipe, site.root, pins, on or base.tag, {})
    if made.tag not in present():
        log = site.logs_dir / f"build-{name}.log"
        build.build(made, PlainProgress(), log, ca_bundle=chosen.ca_bundle, mirror=mirror)
    return made.tag


def stand_ins(*, watchers: bool = True) -> ImageSet:
    """Names for every image variable, for tests that only render. `watchers`: whether Grafana's set is available."""
    names = (
        {*load(Site.here().root / "images" / "versions.env").registry, "TOLLGATE_IMAGE", *ON_REQUEST.values()}
        - {REGISTRY_BASE}
        - (ON_DEMAND - set(ON_REQUEST.values()))
    )
    missing = {} if watchers else dict.fromkeys(REGISTRY_ONLY, "registry docker.io cannot be reached")
    return ImageSet({name: f"example.invalid/{name.lower()}:1" for name in names - missing.keys()}, missing)


if __name__ == "__main__":
    for name, reference in sorted(references(ASKED_FOR).items()):
        sys.stdout.write(f"{name:<24} {reference}\n")
