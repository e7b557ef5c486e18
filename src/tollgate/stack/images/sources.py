"""The source of each image: a pull from its registry, or a build here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tollgate.site import Site
from tollgate.stack.images import recipes
from tollgate.stack.images import versions as image_versions
from tollgate.stack.images.recipes import BASE_RECIPE, ON_OFFICIAL, OURS, RECIPES, REGISTRY_BASE, Build, Recipe
from tollgate.stack.images.versions import RegistryImage

Source = Literal["local", "registry"]


@dataclass(frozen=True)
class Pull:
    """An image that comes from its registry."""

    image: RegistryImage

    @property
    def reference(self) -> str:
        return self.image.reference


@dataclass(frozen=True)
class Make:
    """An image that is built here, on our own base, or on the registry image `on`, which is pulled first."""

    build: Build
    on: RegistryImage | None = None

    @property
    def reference(self) -> str:
        return self.build.tag


@dataclass(frozen=True)
class ImageSources:
    """Our own base, and for every variable the way to its image."""

    source: Source
    base: Build
    ways: Mapping[str, Pull | Make]

    @classmethod
    def read(cls, source: Source, site: Site, mirror: str = "", litellm: str = "") -> ImageSources:
        versions = image_versions.load(site.root / "images" / "versions.env", litellm)

        def build(recipe: Recipe, base: str) -> Build:
            return recipes.prepare(recipe, site.root, versions.pins, base, {"DEBIAN_MIRROR": mirror} if mirror else {})

        base = recipes.prepare(BASE_RECIPE, site.root, versions.pins, "", {})
        ways: dict[str, Pull | Make] = {}
        for name, official in versions.registry.items():
            if name == REGISTRY_BASE:
                continue
            if source == "local" and name in RECIPES:
                ways[name] = Make(build(RECIPES[name], base.tag))
            elif name in ON_OFFICIAL:
                ways[name] = Make(build(ON_OFFICIAL[name], official.reference), official)
            else:
                ways[name] = Pull(official)
        debian = versions.registry[REGISTRY_BASE]
        for name, recipe in OURS.items():
            on = debian if source == "registry" else None
            ways[name] = Make(build(recipe, on.reference if on else base.tag), on)
        return cls(source, base, ways)

    def found(self, names: Sequence[str], here: set[str]) -> dict[str, str]:
        """The image of each of `names` that exists in `here`."""
        ways = {name: self.ways[name] for name in names}
        return {
            name: way.reference
            for name, way in ways.items()
            if (way.image.listed_as if isinstance(way, Pull) else way.build.tag) in here
        }

    def buildable(self, names: Sequence[str]) -> bool:
        return any(isinstance(self.ways[name], Make) for name in names)
