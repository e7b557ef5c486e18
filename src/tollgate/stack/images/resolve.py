"""Provides the image of each service: one that exists here, one pulled from a registry, or one built here.

    local      build from Debian packages; pull only images without a recipe, and leave one out if its pull fails
    registry   pull the images that versions.env pins; a failed pull is an error, unless no request needs the image

Each image has only one source, so a registry that is down never changes which Postgres runs. TOLLGATE_IMAGE,
ACME_IMAGE and BACKUP_IMAGE contain our own code and are always built. If no image is missing, a run asks Docker only
once.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tollgate.config.env.settings import Settings
from tollgate.errors import StepError, TollgateError
from tollgate.render.watchers import GRAFANA_IMAGES, LATE
from tollgate.site import Site
from tollgate.stack.host.commands import ask
from tollgate.stack.host.progress import Progress
from tollgate.stack.images import build as image_build
from tollgate.stack.images import litellm as litellm_versions
from tollgate.stack.images.recipes import ON_DEMAND, OURS, RECIPES, Build
from tollgate.stack.images.registry import Registries
from tollgate.stack.images.sources import ImageSources, Make, Pull
from tollgate.stack.images.versions import RegistryImage

AT_ONCE = 2
"""Builds and pulls at the same time. A small machine has two cores, and unpacking packages uses one."""
LITELLM = "LITELLM_IMAGE"
UNTESTED = "IMAGE_SOURCE=registry: our tests do not run the official images; they run those of IMAGE_SOURCE=local"


@dataclass(frozen=True)
class ImageSet:
    """`images` maps each variable (POSTGRES_IMAGE) to an image here, `unavailable` maps the others to the reason.

    `unfit` maps each local backend that this machine cannot run to the reason: its model, or a GPU.
    """

    images: Mapping[str, str]
    unavailable: Mapping[str, str] = field(default_factory=dict)
    unfit: Mapping[str, TollgateError] = field(default_factory=dict)

    def __or__(self, later: ImageSet) -> ImageSet:
        """Both; `later` replaces what this one says of the same image."""
        unavailable = {name: why for name, why in self.unavailable.items() if name not in later.images}
        unfit = {**self.unfit, **later.unfit}
        return ImageSet({**self.images, **later.images}, {**unavailable, **later.unavailable}, unfit)


@dataclass(frozen=True)
class Images:
    """The images of one site. `litellm` is a release to run in place of the one that .env names."""

    settings: Settings
    site: Site
    progress: Progress
    litellm: str = ""

    @property
    def core(self) -> frozenset[str]:
        """The variables of all images except those that only a setting needs."""
        off = GRAFANA_IMAGES if self.settings.grafana == "off" else frozenset()
        return frozenset(self._sources.ways) - ON_DEMAND - off

    def provide(self, wanted: Collection[str]) -> ImageSet:
        """Provide the images of these variables.

        An image that exists here needs no network access.
        Raises StepError with the image that could not be pulled or built, unless no request needs it. Raises InputError
        for a bad versions.env.
        """
        sources, progress = self._sources, self.progress
        if sources.source == "registry" and LITELLM in wanted:  # each set-up resolves LiteLLM exactly once
            progress.say(UNTESTED)
        names = [name for name in sources.ways if name in wanted]
        images = sources.found(names, present())
        missing = [name for name in names if name not in images]
        if not missing:
            return ImageSet(images)
        with _alone(self.site.root / "images" / "versions.env", sources.buildable(missing), progress):
            work = _Work(sources, self.site, progress, self.settings.ca_bundle, self._mirror)
            provided, unavailable = work.provide(missing)
        return ImageSet({**images, **provided}, unavailable)

    def here(self, wanted: Collection[str]) -> Mapping[str, str]:
        """The images of these variables that exist here."""
        return self._sources.found([name for name in self._sources.ways if name in wanted], present())

    @property
    def _mirror(self) -> str:
        return self.settings.debian_mirror or ""

    @cached_property
    def _sources(self) -> ImageSources:
        release = self.litellm or litellm_versions.chosen(self.site, self.settings)
        return ImageSources.read(self.settings.image_source, self.site, self._mirror, release)


def present() -> set[str]:
    """Every image here, as `name:tag` and as `name@digest`, without Docker Hub's host and `library/`."""
    line = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}"
    answer = ask("docker", "image", "ls", "--digests", "--format", line)
    if answer is None:
        raise StepError("look for images", "docker image ls failed", "see: docker info")
    return set(answer.split())


@contextmanager
def _alone(file: Path, needed: bool, progress: Progress) -> Iterator[None]:
    """Hold a lock on `file` if `needed`, so that two deployments of one checkout do not build the same image."""
    if not needed:
        yield
        return
    with file.open(encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.detail("waiting for another run that builds images")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class _Work:
    """Pulls and builds of one run, `AT_ONCE` at a time. The first build that needs the base builds it."""

    def __init__(
        self, catalogue: ImageSources, site: Site, progress: Progress, ca_bundle: Path | None, mirror: str
    ) -> None:
        self._catalogue, self._site, self._progress = catalogue, site, progress
        self._ca_bundle, self._mirror = ca_bundle, mirror
        self._registries = Registries()
        self._base_lock = threading.Lock()
        self._here = present()  # again, because the run that held the lock may have built missing images

    def provide(self, names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The references of the provided images, and the reasons for the others."""
        provided, unavailable = self._catalogue.found(names, self._here), dict[str, str]()
        rest = [name for name in names if name not in provided]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            jobs: dict[Future[str | _Unavailable], str] = {pool.submit(self._provide, name): name for name in rest}
            try:
                for done in as_completed(jobs):
                    try:
                        outcome = done.result()
                    except StepError as error:
                        if jobs[done] not in LATE:
                            raise
                        outcome = _Unavailable(f"{error.message}; {error.hint}".rstrip("; "))
                    if isinstance(outcome, _Unavailable):
                        unavailable[jobs[done]] = outcome.reason
                    else:
                        provided[jobs[done]] = outcome
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        needed = {*RECIPES, *OURS} - LATE
        self._refuse({name: why for name, why in unavailable.items() if name in needed})
        return provided, unavailable

    def _refuse(self, failed: Mapping[str, str]) -> None:
        """Raise StepError with every image that the stack needs and that could not be pulled."""
        names: dict[str, list[str]] = {}
        for name, reason in sorted(failed.items()):
            names.setdefault(reason, []).append(name.removesuffix("_IMAGE").lower())
        if names:
            steps = [(f"pull image {', '.join(images)}", reason) for reason, images in names.items()]
            (step, cause), *others = steps
            cause = "; ".join([cause, *(f"{other}: {reason}" for other, reason in others)])
            hint = (
                "images/versions.env names the images, and can name your mirror; IMAGE_SOURCE=local in .env builds them"
            )
            raise StepError(step, cause, f"{hint}, unless official images have already written data here")

    def _provide(self, name: str) -> str | _Unavailable:
        way = self._catalogue.ways[name]
        pulled = way.image if isinstance(way, Pull) else way.on
        if pulled and (reason := self._pull(pulled)):
            return _Unavailable(reason)
        if isinstance(way, Make):
            self._build(way)
        return way.reference

    def _pull(self, image: RegistryImage) -> str:
        """Pull `image` if it is missing. Returns '' or the reason of a failure."""
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
