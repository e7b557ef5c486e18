"""The host and the site that tests of a deploy's steps run on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from tests.support.images import stand_ins
from tests.support.site import new_home
from tests.unit.stack.deploy.played import Host, among
from tollgate.site import Site
from tollgate.stack.containers import bring_up
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deploy import steps
from tollgate.stack.host.engine import Engine

SERVICES = ["litellm-1", "litellm-2", "migrate", "nginx", "postgres", "prometheus", "redis"]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    fake = Host()

    class Rolls:
        """A fake. containers/test_bring_up.py tests the real rollout."""

        def __init__(self, *_: object, everyone: bool) -> None:
            self.everyone = everyone

        def roll(self, replicas: Collection[str], up: object) -> None:
            fake.call(f"roll {'all of' if self.everyone else 'what changed of'} {' '.join(replicas)}")

        def remove(self, replicas: Collection[str]) -> None:
            assert not replicas

        def recover(self, replicas: Collection[str]) -> None:
            """No rollout was interrupted before."""

    def named(name: str, answer: object) -> Callable[..., object]:
        def does(*_: object, **__: object) -> object:
            fake.call(name)
            return answer() if callable(answer) else answer

        return does

    monkeypatch.setattr(steps, "ensure_engine", named("engine", Engine("27.1", "2.29", "0.16")))
    monkeypatch.setattr(steps.preflight, "check_secrets", named("secrets", None))
    monkeypatch.setattr(steps.preflight, "check_owner", named("owner", None))
    monkeypatch.setattr(steps.data_source, "check", named("data source", lambda: fake.recorded))
    monkeypatch.setattr(steps.preflight, "check_host", named("preflight", lambda: fake.warnings))
    monkeypatch.setattr(steps, "present", lambda: set(stand_ins().images.values()))
    monkeypatch.setattr(steps.Images, "provide", named("images", stand_ins))
    monkeypatch.setattr(steps.Images, "here", lambda _, wanted: among(stand_ins(), wanted).images)
    monkeypatch.setattr(steps.render.publish, "write", lambda *_: [])
    monkeypatch.setattr(Compose, "run", lambda *a, **k: fake.compose_run(*a, **k))
    monkeypatch.setattr(Compose, "running", lambda _: dict(fake.containers))
    monkeypatch.setattr(Compose, "services", lambda _: SERVICES)
    monkeypatch.setattr(Compose, "remove_half_recreated", lambda _: fake.half_recreated)
    monkeypatch.setattr(bring_up, "Rollout", Rolls)
    monkeypatch.setattr(bring_up, "wait_ready", lambda step, _, services, __: fake.call(f"wait: {sorted(services)}"))
    monkeypatch.setattr(steps.volumes, "settle", named("volumes", []))
    monkeypatch.setattr(steps.tenancy, "apply", named("tenants", lambda: fake.applied))
    monkeypatch.setattr(steps.first_request, "send", named("request", "200"))
    # tests/contract/stack_parts/test_optional_parts.py tests the real ones. Here they start once.
    monkeypatch.setattr(
        steps.optional,
        "bring_up",
        named("optional", lambda: ([fake.optional.pop() for _ in fake.optional], fake.not_up)),
    )
    return fake


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_home(tmp_path / "home")
