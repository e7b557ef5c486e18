"""Upgrade and rollback between two LiteLLM releases under traffic, on a stack of its own: `make test-upgrade`.

The releases of one line have the same migrations, so the kit under test is a copy in which the older release lacks the
last one that it can do without: a migration is then applied for real while 64 clients ask.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import plain
from tests.support.eventually import eventually
from tests.support.stack import ROOT, UPGRADE, Stack, prepare, project_name, take_down
from tests.support.traffic import Traffic
from tollgate.stack.backup.make import running_postgres
from tollgate.stack.host.docker import docker
from tollgate.stack.images.litellm import known

LONG = os.environ.get("TOLLGATE_LONG_TESTS") == "1"
pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not LONG, reason="builds two LiteLLM images and takes half an hour: `make test-upgrade`"),
]
OLDER, NEWER = known(ROOT)[0], known(ROOT)[-1]
LATE = "20261008120000_user_provider_credentials"
TENANT = "contractor"
ROWS = "FROM \"LiteLLM_SpendLogs\" WHERE team_id = 'contractor' AND status = 'success'"
SPENT = "SELECT round(spend::numeric, 6) FROM \"LiteLLM_TeamTable\" WHERE team_id = 'contractor'"
REPLICAS = ("litellm-1", "litellm-2", "litellm-3")
NOT_THE_KIT = shutil.ignore_patterns(".git", ".venv", "var", "secrets", ".env", "*_cache", "__pycache__", "tests")


@dataclass
class Upgraded:
    """A stack that was deployed by a copy of the kit; `cli` runs that copy's command."""

    stack: Stack
    kit: Path
    calls: int = field(default=0)

    def cli(self, *words: str, check: bool = True) -> tuple[int, str, str]:
        done = self.stack.cli(*words, check=check, PYTHONPATH=str(self.kit / "src"))
        return done.returncode, done.stdout, done.stderr

    def sql(self, query: str) -> str:
        return running_postgres(self.stack.compose).sql(query, "litellm").strip()

    def releases(self) -> list[str]:
        """The LiteLLM version that each replica reports."""
        code = "import importlib.metadata as m; print(m.version('litellm'))"
        return [self.stack.python(name, code).strip() for name in REPLICAS]

    def traffic(self) -> Traffic:
        return Traffic(self.stack.url, self.stack.key(TENANT), clients=64, shortest=10, longest=60)

    def booked(self, traffic: Traffic) -> None:
        """The ledger has every answer once, and the tenant's spend is their sum."""
        self.calls += traffic.answers + traffic.streams
        eventually(lambda: int(self.sql(f"SELECT count(*) {ROWS}")) == self.calls, within=120)
        eventually(lambda: self.sql(SPENT) == self.sql(f"SELECT round(sum(spend)::numeric, 6) {ROWS}"), within=120)


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    folder = tmp_path_factory.mktemp("upgrade")
    kit = Path(shutil.copytree(ROOT, folder / "kit", ignore=NOT_THE_KIT))
    migrations = kit / "src" / "tollgate" / "migrate" / "releases" / f"{OLDER}.txt"
    lines = migrations.read_text().splitlines()
    assert LATE in lines
    migrations.write_text("\n".join(line for line in lines if line != LATE))
    # So that all traffic is on the replicas, which are what an upgrade replaces.
    stack = prepare(folder / "home", project_name(UPGRADE), gateways=0)
    with stack.site.env_file.open("a") as env:
        env.write(f"LITELLM_VERSION={OLDER}\n")
    made = Upgraded(stack, kit)
    try:
        made.cli("deploy")
        yield made
    finally:
        take_down(stack, ROOT / "var" / "logs" / "upgrade-test")


def test_an_upgrade_under_traffic_fails_no_request(upgraded: Upgraded) -> None:
    assert upgraded.releases() == [OLDER] * 3
    with upgraded.traffic().running() as traffic:
        eventually(lambda: traffic.answers > 50 and traffic.streams > 5, within=120)
        looked = json.loads(upgraded.cli("upgrade", "--check", "--json")[1])
        done = json.loads(upgraded.cli("upgrade", "--yes", "--json")[1])
    tell("upgrade", traffic, done)
    assert (looked["pending"], looked["can_return"]) == ([LATE], True)
    assert upgraded.releases() == [NEWER] * 3
    assert upgraded.sql('SELECT count(*) FROM "LiteLLM_UserProviderCredentials"') == "0"
    assert Path(done["backup"]).is_file()
    assert traffic.failures == []
    upgraded.booked(traffic)


def test_a_rollback_under_traffic_fails_no_request_and_keeps_rows(upgraded: Upgraded) -> None:
    schema = upgraded.sql("SELECT count(*) FROM _prisma_migrations")
    with upgraded.traffic().running() as traffic:
        eventually(lambda: traffic.answers > 50, within=120)
        done = json.loads(upgraded.cli("rollback", "--yes", "--json")[1])
    tell("rollback", traffic, done)
    assert upgraded.releases() == [OLDER] * 3
    assert upgraded.sql("SELECT count(*) FROM _prisma_migrations") == schema
    assert traffic.failures == []
    upgraded.booked(traffic)


def test_a_release_that_does_not_start_leaves_the_others_serving(upgraded: Upgraded) -> None:
    """Its image lacks a package: one replica is down, two serve as before, and the message says what to do."""
    lock = upgraded.kit / "images" / "litellm" / "versions" / NEWER / "requirements.lock"
    whole = lock.read_text()
    broken = ""
    try:
        lock.write_text(without("fastapi", whole))
        with upgraded.traffic().running() as traffic:
            eventually(lambda: traffic.answers > 50, within=120)
            code, _, said = upgraded.cli("upgrade", "--yes", check=False)
            assert code == 1
            assert "litellm-2, litellm-3 still serve as before; litellm-1 gets no requests" in said
            assert "fastapi" in said
            assert f"`make rollback` returns to {OLDER}; `make deploy` continues with {NEWER}" in said
            broken = image(upgraded.stack, "litellm-1")
            assert [image(upgraded.stack, name) for name in REPLICAS[1:]] != [broken] * 2
            assert upgraded.stack.python("litellm-2", "import importlib.metadata as m; print(m.version('litellm'))")
            back = json.loads(upgraded.cli("rollback", "--yes", "--json")[1])
        tell("upgrade that failed, and rollback", traffic, back)
        assert [change for change in back["changes"] if "litellm" in change] == ["started litellm-1"]
        assert upgraded.releases() == [OLDER] * 3
        assert json.loads(upgraded.cli("status", "--json")[1])["ready"] is True
        assert traffic.failures == []
        upgraded.booked(traffic)
    finally:
        lock.write_text(whole)
        if broken:
            docker(["docker", "image", "rm", "--force", broken])


def test_env_edited_by_hand_is_not_a_change_of_release(upgraded: Upgraded) -> None:
    env = upgraded.stack.site.env_file
    text = env.read_text()
    before = upgraded.stack.compose.running()
    try:
        env.write_text(text.replace(f"LITELLM_VERSION={OLDER}", f"LITELLM_VERSION={NEWER}"))
        code, _, said = upgraded.cli("deploy", check=False)
    finally:
        env.write_text(text)
    assert code == 1
    assert f"make upgrade TO={NEWER}" in said
    assert upgraded.stack.compose.running() == before
    headers = {"Authorization": f"Bearer {upgraded.stack.key(TENANT)}"}
    body = {"model": "test-model", "max_tokens": 8, "messages": [{"role": "user", "content": "hello"}]}
    url = f"{upgraded.stack.url}/v1/messages"
    assert plain.post(url, json=body, headers=headers, timeout=60, trust_env=False).status_code == 200


def image(stack: Stack, service: str) -> str:
    container = next(row for row in stack.compose.containers() if row.service == service)
    return docker(["docker", "inspect", "--format", "{{.Config.Image}}", container.id]).strip()


def without(package: str, lock: str) -> str:
    """The lock file without one package's entry."""
    head, _, rest = lock.partition(f"\n{package}==")
    lines = rest.splitlines(keepends=True)[1:]
    while lines[0].startswith(" "):
        lines.pop(0)
    return head + "\n" + "".join(lines)


def tell(what: str, traffic: Traffic, done: dict[str, object]) -> None:
    """Print the figures of docs/reliability.md, for `pytest -s`."""
    figures = {"answers": traffic.answers, "streams": traffic.streams, "failures": traffic.failures}
    print(json.dumps({"what": what, **figures, "seconds": done["seconds"]}, indent=2))
