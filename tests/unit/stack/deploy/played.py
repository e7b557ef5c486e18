"""Plays Docker and LiteLLM for tests of a deploy's steps."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.support.images import stand_ins
from tollgate.errors import TollgateError
from tollgate.migrate.applied import Migrated
from tollgate.site import Site
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.optional import NotUp
from tollgate.stack.deploy import steps
from tollgate.stack.deploy.steps import Deploy
from tollgate.stack.host.progress import PlainProgress
from tollgate.stack.images.resolve import ImageSet
from tollgate.stack.tenants.tenancy import Applied

QUIET = Migrated(0, 220, 0, 0.1).to_json()


@dataclass
class Shown(PlainProgress):
    """A Display that records what it shows."""

    titles: list[str] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.titles.append(title)
        yield

    def done(self, title: str, seconds: float, result: str) -> None:
        assert seconds >= 0
        self.results[title] = result


@dataclass
class Host:
    """A fake engine and LiteLLM: its calls in order, its running containers, and the answer of each part."""

    calls: list[str] = field(default_factory=list)
    containers: dict[str, tuple[str, str]] = field(default_factory=dict)
    migrated: str = QUIET
    half_recreated: list[str] = field(default_factory=list)
    applied: Applied = field(default_factory=lambda: Applied([], []))
    fail: dict[str, TollgateError] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    not_up: list[NotUp] = field(default_factory=list)
    optional: list[str] = field(default_factory=lambda: ["started prometheus"])

    def call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fail:
            raise self.fail[name]

    def compose_run(self, _: Compose, step: str, __: object, *arguments: str, hint: str = "") -> str:
        self.call(f"{step}: {' '.join(arguments)}")
        if arguments[0] == "up":
            for name in arguments[4:]:
                if not name.startswith("--"):
                    self.containers.setdefault(name, (f"id of {name}", "now"))
        return self.migrated if step == "schema" else ""


def among(images: ImageSet, wanted: Collection[str]) -> ImageSet:
    """Those of `wanted`."""
    here = {name: image for name, image in images.images.items() if name in wanted}
    return ImageSet(here, {name: why for name, why in images.unavailable.items() if name in wanted})


def run(site: Site, until: str = "") -> Deploy:
    deploy = Deploy(site, Shown())
    deploy.run(until)
    return deploy


def shown(run: Deploy) -> Shown:
    assert isinstance(run.display, Shown)
    return run.display


def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No registry answers, and Grafana's images are not here."""
    without = stand_ins(watchers=False)
    monkeypatch.setattr(steps.Images, "here", lambda _, wanted: among(without, wanted).images)
    monkeypatch.setattr(steps.Images, "provide", lambda _, wanted: among(without, wanted))
