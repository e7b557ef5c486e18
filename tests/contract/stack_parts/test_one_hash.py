"""A service always has the same hash, no matter which services an `up` names. No container is started."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.golden.test_compose_files import rendered
from tests.support.images import image
from tests.support.stack import PARTS, project_name
from tollgate.render import tls
from tollgate.render.output import write
from tollgate.stack import configuration
from tollgate.stack.containers import bring_up
from tollgate.stack.containers.compose import DATABASES, MIGRATE, Compose
from tollgate.stack.containers.drain import REPLICA
from tollgate.stack.containers.rollout import described, made_from
from tollgate.stack.host.progress import PlainProgress, Progress
from tollgate.stack.secrets import publish

pytestmark = pytest.mark.docker


@dataclass(frozen=True)
class Unstarted(Compose):
    """`up` creates containers and does not start them."""

    def run(self, step: str, progress: Progress, *arguments: str, hint: str = "") -> str:
        words = ("--no-start" if word == "--detach" else word for word in arguments)
        return super().run(step, progress, *words, hint=hint)


@pytest.fixture
def compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Compose]:
    """A deployment with every service and with backups. All use the same image, which is on this machine."""
    monkeypatch.setattr(publish, "_give_away", lambda *_: None)
    lines = ("BACKUP_SCHEDULE=17 2 * * *",)
    site, files = rendered(tmp_path / "home", 3, watchers=False, lines=lines)
    write(site.rendered_dir, [*files, tls.metric(configuration.settings(site), None)])
    published = publish.published(site, configuration.load(site).settings)
    publish.write(site.rendered_dir / "secrets", published, "unused")
    for folder in ("var/backups", "var/lock", "var/rendered/metrics"):
        (site.home / folder).mkdir(parents=True, exist_ok=True)
    env = site.rendered_dir / "compose.env"
    ours = image("TOLLGATE_IMAGE")
    named = [line.partition("=")[0] for line in env.read_text().splitlines()]
    env.write_text(env.read_text() + "".join(f"{name}='{ours}'\n" for name in named if name.endswith("_IMAGE")))
    core = Compose.core(site, project_name(PARTS))
    made = Unstarted(core.project, core.files, core.env_file, core.extra, core.order)
    try:
        yield made
    finally:
        core.run("down", PlainProgress(), "down", "--volumes", "--remove-orphans")


def up(compose: Compose, *services: str) -> None:
    bring_up._up("test", compose, services, PlainProgress())


def made(compose: Compose) -> dict[str, tuple[str, str]]:
    """Container and hash of each service."""
    rows = compose.containers()
    hashes = made_from(rows)
    return {row.service: (row.id, hashes[row.service]) for row in rows}


def test_each_container_has_the_hash_that_a_deploy_expects(compose: Compose) -> None:
    """A deploy and a start name the services: with the databases, then without; replicas one at a time."""
    every = [name for name in compose.services() if name != MIGRATE]
    replicas = [name for name in every if name.startswith(REPLICA)]
    others = [name for name in every if name not in replicas]
    up(compose, *DATABASES)
    up(compose, *others)
    for name in replicas:
        up(compose, name)
    first = made(compose)
    wanted = described(compose)
    assert {name: label for name, (_, label) in first.items()} == {name: wanted[name] for name in every}
    assert {"litellm-3", "backup", "postgres-exporter"} <= first.keys()
    up(compose, *(name for name in others if name not in DATABASES))
    up(compose, *replicas)
    assert made(compose) == first


def test_twin_with_the_order_a_service_has_several_hashes(compose: Compose) -> None:
    assert compose.order is not None
    with_order = replace(compose, extra=(*compose.extra, compose.order))
    up(with_order, "litellm-1")
    assert made(compose)["litellm-1"][1] != described(with_order)["litellm-1"]
