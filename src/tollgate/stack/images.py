"""Which concrete image each service runs: there already, pulled from a registry, or built here.

    registry   pull what versions.env pins; a pull that fails is an error
    local      build everything from Debian packages; what exists in registries only is left out
    auto       use what is here; else pull where the registry answers, else build

TOLLGATE_IMAGE, ACME_IMAGE and BACKUP_IMAGE hold our own code and are always built. A run in which nothing is missing
asks Docker one question.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tollgate.errors import StepError
from tollgate.site import Site
from tollgate.stack import image_build, image_recipes, image_versions
from tollgate.stack.commands import ask
from tollgate.stack.image_recipes import (
    BASE_RECIPE,
    ON_DEMAND,
    ON_OFFICIAL,
    OURS,
    RECIPES,
    REGISTRY_BASE,
    Build,
    Recipe,
)
from tollgate.stack.image_registry import Registries
from tollgate.stack.image_versions import RegistryImage
from tollgate.stack.progress import Progress

Source = Literal["auto", "registry", "local"]
AT_ONCE = 2
"""Builds and pulls under way at a time: a small machine has two cores, and packages unpack on one."""


@dataclass(frozen=True)
class ImageSet:
    """`images` maps each variable (POSTGRES_IMAGE) to a reference that is here; `unavailable` to why there is none."""

    images: Mapping[str, str]
    unavailable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pull:
    """One way to an image: from its registry."""

    image: RegistryImage

    @property
    def reference(self) -> str:
        return self.image.reference


@dataclass(frozen=True)
class Make:
    """The other way: built here, on our own base or, `on` set, on a registry's image that is pulled first."""

    build: Build
    on: RegistryImage | None = None

    @property
    def reference(self) -> str:
        return self.build.tag


def resolve(
    source: Source,
    site: Site,
    progress: Progress,
    *,
    ca_bundle: Path | None = None,
    mirror: str = "",
    only: Collection[str] | None = None,
    litellm: str = "",
) -> ImageSet:
    """Make every image but those ON_DEMAND (or `only` those variables) available and say which it is.

    What is here already is used without any network access. `ca_bundle`, `mirror` and `litellm` are CA_BUNDLE,
    DEBIAN_MIRROR and LITELLM_VERSION.
    Raises StepError naming the image that could not be pulled or built, InputError for a bad versions.env.
    """
    catalogue = Catalogue.read(source, site, mirror, litellm)
    wanted = [name for name in catalogue.ways if (name not in ON_DEMAND if only is None else name in only)]
    images = catalogue.found(wanted, present())
    missing = [name for name in wanted if name not in images]
    if not missing:
        return ImageSet(images)
    with _alone(site.root / "images" / "versions.env", catalogue.buildable(missing), progress):
        work = _Work(catalogue, site, progress, ca_bundle, mirror)
        made, unavailable = work.provide(missing)
    return ImageSet({**images, **made}, unavailable)


def present() -> set[str]:
    """Every image here, as `name:tag` and as `name@digest`, with Docker Hub's host and `library/` left out."""
    line = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}"
    answer = ask("docker", "image", "ls", "--digests", "--format", line)
    if answer is None:
        raise StepError("look for images", "docker image ls failed", "see: docker info")
    return set(answer.split())


@dataclass(frozen=True)
class Catalogue:
    """Every variable with the ways to its image, best first, as far as `source` allows them; and our own base."""

    source: Source
    base: Build
    ways: Mapping[str, Sequence[Pull | Make]]

    @classmethod
    def read(cls, source: Source, site: Site, mirror: str = "", litellm: str = "") -> Catalogue:
        versions = image_versions.load(site.root / "images" / "versions.env", litellm)

        def build(recipe: Recipe, base: str) -> Build:
            return image_recipes.prepare(
                recipe, site.root, versions.pins, base, {"DEBIAN_MIRROR": mirror} if mirror else {}
            )

        base = image_recipes.prepare(BASE_RECIPE, site.root, versions.pins, "", {})
        ways: dict[str, list[Pull | Make]] = {}
        for name in (*RECIPES, *(n for n in versions.registry if n not in RECIPES and n != REGISTRY_BASE)):
            pull: list[Pull | Make] = [Pull(versions.registry[name])] if source != "local" else []
            if pull and name in ON_OFFICIAL:
                official = versions.registry[name]
                pull = [Make(build(ON_OFFICIAL[name], official.reference), official)]
            make = [Make(build(RECIPES[name], base.tag))] if source != "registry" and name in RECIPES else []
            ways[name] = [*pull, *make]
        debian = versions.registry[REGISTRY_BASE]
        for name, recipe in OURS.items():
            ways[name] = [Make(build(recipe, debian.reference), debian)] if source != "local" else []
            ways[name] += [Make(build(recipe, base.tag))] if source != "registry" else []
        return cls(source, base, ways)

    def found(self, names: Sequence[str], here: set[str]) -> dict[str, str]:
        """Those of `names` that need nothing more, with the image to use."""
        found = {}
        for name in names:
            for way in self.ways[name]:
                if (way.image.listed_as if isinstance(way, Pull) else way.build.tag) in here:
                    found[name] = way.reference
                    break
        return found

    def buildable(self, names: Sequence[str]) -> bool:
        return any(isinstance(way, Make) for name in names for way in self.ways[name])


@contextmanager
def _alone(file: Path, needed: bool, progress: Progress) -> Iterator[None]:
    """Hold a lock on `file` where `needed`, so that two deployments of one checkout do not build the same image."""
    if not needed:
        yield
        return
    with file.open(encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.detail("waiting for another run that is building images")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class _Work:
    """Pulls and builds of one run, `AT_ONCE` at a time; the base is made once, by whoever needs it first."""

    def __init__(
        self, catalogue: Catalogue, site: Site, progress: Progress, ca_bundle: Path | None, mirror: str
    ) -> None:
        self._catalogue, self._site, self._progress = catalogue, site, progress
        self._ca_bundle, self._mirror = ca_bundle, mirror
        self._registries = Registries()
        self._base_lock = threading.Lock()
        self._here = present()  # again, since a run we waited for may have built what we miss

    def provide(self, names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        """References of what could be provided, and reasons for the rest."""
        made, unavailable = self._catalogue.found(names, self._here), dict[str, str]()
        rest = [name for name in names if name not in made]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            jobs: dict[Future[str | _Unavailable], str] = {pool.submit(self._provide, name): name for name in rest}
            try:
                for done in as_completed(jobs):
                    outcome = done.result()
                    if isinstance(outcome, _Unavailable):
                        unavailable[jobs[done]] = outcome.reason
                    else:
                        made[jobs[done]] = outcome
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return made, unavailable

    def _provide(self, name: str) -> str | _Unavailable:
        reason = "it exists in registries only, and IMAGE_SOURCE=local"
        for way in self._catalogue.ways[name]:
            pulled = way.image if isinstance(way, Pull) else way.on
            if pulled and (why := self._pull(pulled)):
                reason = why
                continue
            if isinstance(way, Make):
                self._build(way)
            return way.reference
        if self._catalogue.source == "registry" or name in RECIPES or name in OURS:
            hint = "IMAGE_SOURCE=auto or local in .env builds what it can without a registry"
            raise StepError(f"pull image {name.removesuffix('_IMAGE').lower()}", reason, hint)
        return _Unavailable(reason)

    def _pull(self, image: RegistryImage) -> str:
        """'' when the image is here, else why not."""
        if image.listed_as in self._here:
            return ""
        reason = self._registries.pull(image, image_build.Labelled(self._progress, image.repository))
        if not reason:
            self._progress.say(f"pulled {image.reference}")
        return reason

    def _build(self, way: Make) -> None:
        if way.on is None:
            with self._base_lock:
                if self._catalogue.base.tag not in self._here:
                    self._make(self._catalogue.base)
        self._make(way.build)

    def _make(self, build: Build) -> None:
        log = self._site.logs_dir / f"build-{build.recipe.name}.log"
        self._progress.detail(f"{build.recipe.name}: starting the build")
        image_build.build(build, self._progress, log, ca_bundle=self._ca_bundle, mirror=self._mirror)
        self._here.add(build.tag)
        self._progress.say(f"built {build.tag}")


@dataclass(frozen=True)
class _Unavailable:
    reason: str
