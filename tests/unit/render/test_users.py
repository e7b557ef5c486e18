"""A user for each service, which nothing else is: not on the host, not in another container."""

from __future__ import annotations

import json
import os
import pwd
import re
from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.render.users import IMAGES_OWN, USERS, VOLUMES, passwd
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.containers import volumes
from tollgate.stack.containers.compose import Compose
from tollgate.stack.host.progress import PlainProgress
from tollgate.stack.secrets import publish
from tollgate.stack.secrets import store as secrets

COMPOSE = Site.here().root / "compose"
FILES = sorted(COMPOSE.glob("*.yaml*"))
USER = re.compile(
    r"^  (?P<service>[a-z{][^\n]*):\n(?:(?!^  [a-z{]).*\n)*?    user: \"(?P<user>[^\"]+)\"$", re.MULTILINE
)
RENDERED = {"{{ replica }}": "litellm", "{{ gateway }}": "gateway", "{{ backend.name }}": "backends", "acme": "nginx"}


def users() -> dict[str, str]:
    """`user:` of every service of every Compose file."""
    return {match["service"]: match["user"] for file in FILES for match in USER.finditer(file.read_text())}


def test_the_compose_files_name_the_same_users() -> None:
    named = users()
    assert {
        "nginx",
        "postgres",
        "redis",
        "provider",
        "prometheus",
        "node-exporter",
        "{{ replica }}",
        "{{ gateway }}",
        "acme",
    } <= named.keys()
    del named["backup"]  # it runs as the user who deployed, whose files it reads
    own = {name: user for name, user in named.items() if name not in (*IMAGES_OWN, "docker-socket-proxy")}
    assert own == {name: "{0}:{0}".format(USERS[RENDERED.get(name, name)]) for name in own}
    assert {name: int(named[name].split(":")[0]) for name in IMAGES_OWN} == dict(IMAGES_OWN)


def test_no_compose_file_names_another_user() -> None:
    """A tmpfs or a service that kept an old number would be somebody else's on the host."""
    text = "".join(file.read_text() for file in FILES)
    numbers = set(re.findall(r"(?:uid=|gid=|user: \"|:)(999|101|65534|10001|1000|1001)(?=[\",:\s])", text))
    assert numbers == {"10001"}, "Loki's image insists on it"


def test_no_two_services_share_a_user_and_nobody_has_none() -> None:
    every = [*USERS.values(), *IMAGES_OWN.values()]
    assert len(set(every)) == len(every)
    assert all(65520 <= uid <= 65533 for uid in USERS.values())


def test_the_host_uses_none_of_them() -> None:
    assert [entry.pw_name for entry in pwd.getpwall() if entry.pw_uid in USERS.values()] == []


def test_each_secret_belongs_to_the_user_of_its_service(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home", "BACKUP_SCHEDULE=17 3 * * *", "GATEWAYS=2")
    secrets.ensure(site)
    named = users()
    for file in publish.published(site, configuration.settings(site)):
        service = {"tollgate": "migrate", "litellm": "{{ replica }}", "gateway": "{{ gateway }}"}.get(
            file.service, file.service
        )
        expected = os.geteuid() if service == "backup" else int(named[service].split(":")[0])
        assert file.uid == expected, file.service


def test_initdb_finds_its_user() -> None:
    lines = [line.split(":") for line in passwd().splitlines()]
    assert {name: int(uid) for name, _, uid, *_ in lines} == {"root": 0, **USERS, "nobody": 65534}
    assert all(len(line) == 7 for line in lines)


def test_every_volume_of_our_services_is_owned_and_mounted_nocopy() -> None:
    """Docker would give an empty one back to the image's user, as the service starts."""
    text = "".join(file.read_text() for file in FILES)
    ours = {volume for places in VOLUMES.values() for volume in places}
    declared = set(re.findall(r"^  ([a-z-]+-(?:data|archive|challenge|served|metrics|journal)):$", text, re.MULTILINE))
    theirs = {"grafana-data", "loki-data", "alloy-data"}
    assert declared - theirs == ours
    for volume in ours:
        mounts = re.findall(rf"^ *- (?:\{{type: volume, source: )?{volume}\b.*$", text, re.MULTILINE)
        assert mounts and all("nocopy: true" in mount for mount in mounts), volume


class Engine:
    """Docker as far as volumes go: what is there with which label of ours, and what was given to whom."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: dict[str, str] = {}
        self.given: list[list[str]] = []
        self.asked = 0
        monkeypatch.setattr(volumes, "docker", self.docker)

    def docker(self, argv: list[str], **_: object) -> str:
        self.asked += 1
        if argv[1:3] == ["volume", "ls"]:
            return "\n".join(f"{name} {label}" for name, label in self.made.items())
        if argv[1:3] == ["volume", "create"]:
            [label] = [word.rpartition("=")[2] for word in argv if "tollgate.owner" in word]
            self.made.setdefault(argv[-1], label)
        else:
            self.given.append(argv)
        return ""


class Stack(Compose):
    stopped: list[str]

    def running(self) -> dict[str, tuple[str, str]]:
        return {"postgres": ("id", "since")}

    def run(self, step: str, progress: object, *arguments: str, hint: str = "") -> str:
        self.stopped.append(" ".join(arguments))
        return ""

    @property
    def environment(self) -> dict[str, str]:
        return {f"{name.upper()}_IMAGE": f"image/{name}" for name in VOLUMES}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    made = Stack("p", (), tmp_path / "compose.env")
    object.__setattr__(made, "stopped", [])
    return made


def test_volumes_are_given_once(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, engine = Site(tmp_path, tmp_path), Engine(monkeypatch)
    engine.made["p_postgres-data"] = ""  # an earlier kit's has no label
    changed = volumes.settle(site, stack, PlainProgress())
    assert set(changed) == {
        f"p_{name}" for service in VOLUMES if service not in ("acme", "gateway") for name in VOLUMES[service]
    }
    assert stack.stopped == ["stop postgres"], "what runs is stopped before its files change hands"
    postgres = " ".join(engine.given[0])
    assert "-R 65521:65521 /var/lib/postgresql/data /var/lib/pgbackrest" in postgres
    assert "--network=none" in postgres and "--cap-drop=ALL" in postgres
    engine.given.clear()
    engine.asked = 0
    assert volumes.settle(site, stack, PlainProgress()) == []
    assert engine.given == []
    assert engine.asked == 1, "a deploy that changes nothing asks Docker one question"


def test_a_volume_that_was_made_again_is_given_again(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, engine = Site(tmp_path, tmp_path), Engine(monkeypatch)
    volumes.settle(site, stack, PlainProgress())
    engine.made["p_redis-data"] = ""  # by somebody's `docker compose up`
    assert volumes.settle(site, stack, PlainProgress()) == ["p_redis-data"]
    del engine.made["p_prometheus-data"]
    assert volumes.settle(site, stack, PlainProgress()) == ["p_prometheus-data"]
    known = json.loads((tmp_path / "var" / "volume-owners.json").read_text())
    assert known["p_redis-data"] == "65522 "
    (tmp_path / "var" / "volume-owners.json").unlink()
    assert volumes.settle(site, stack, PlainProgress()) == ["p_redis-data"], "labels say the rest"


def test_node_exporter_has_no_process_of_the_host() -> None:
    text = (COMPOSE / "observability.yaml").read_text()
    part = text[text.index("\n  node-exporter:") : text.index("\n  grafana:")]
    assert "/proc:/host/proc" not in part and "pid:" not in part and "procfs" not in part
    assert "- /host/root/proc:" in part, "/ brings /proc along; an empty directory lies over it"
