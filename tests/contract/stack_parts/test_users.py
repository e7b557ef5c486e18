"""Users and volumes in real containers: an earlier kit's data goes on, and a user of the host reads no service."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.images import image
from tests.support.stack import PARTS, project_name
from tollgate.render.users import USERS, VOLUMES, passwd
from tollgate.site import Site
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.volumes import settle
from tollgate.stack.host.progress import PlainProgress

pytestmark = pytest.mark.docker

PROJECT = f"{project_name(PARTS)}-users"
# Volumes of services that only a setting adds; here there is no file that describes them.
ADDED = ("acme", "gateway")
SERVICES = [service for service in VOLUMES if service not in ADDED]
PASSWORD = "of-a-test-0123456789"
NOBODY = 65534


def docker(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=180, check=False)
    assert not check or done.returncode == 0, f"docker {words[0]}: {done.stderr}"
    return done


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[Compose]:
    env_file = tmp_path / "compose.env"
    env_file.write_text("".join(f"{name.upper()}_IMAGE='{image(f'{name.upper()}_IMAGE')}'\n" for name in SERVICES))
    made = Compose(PROJECT, (), env_file)
    try:
        yield made
    finally:
        docker("rm", "--force", "--volumes", f"{PROJECT}-postgres", check=False)
        names = [f"{PROJECT}_{volume}" for places in VOLUMES.values() for volume in places]
        docker("volume", "rm", "--force", *names, check=False)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    for parent in (tmp_path, *tmp_path.parents):
        if "pytest-" in parent.name:
            parent.chmod(0o711)
    (tmp_path / "passwd").write_text(passwd())
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o444)
    return Site(tmp_path, tmp_path)


def postgres(site: Site, uid: int, *options: str) -> None:
    """As compose.yaml runs it, with as little of the rest as it needs."""
    docker(
        *("run", "--detach", "--name", f"{PROJECT}-postgres", "--network=none", "--read-only", "--cap-drop=ALL"),
        *(f"--user={uid}:{uid}", "--tmpfs=/tmp:mode=1777", f"--tmpfs=/var/run/postgresql:uid={uid},gid={uid}"),
        *(
            "-e",
            "POSTGRES_USER=litellm",
            "-e",
            "POSTGRES_PASSWORD_FILE=/password",
            "-v",
            f"{site.home}/password:/password:ro",
        ),
        *options,
        image("POSTGRES_IMAGE"),
    )
    ready = ("exec", f"{PROJECT}-postgres", "pg_isready", "-q", "-h", "127.0.0.1", "-U", "litellm")
    eventually(lambda: docker(*ready, check=False).returncode == 0, within=180)


def sql(text: str) -> str:
    words = ("exec", f"{PROJECT}-postgres", "psql", "-X", "-A", "-t", "-U", "litellm", "-d", "litellm", "-c", text)
    return docker(*words).stdout.strip()


def test_a_database_of_an_earlier_kit_goes_on_under_its_new_user(compose: Compose, site: Site) -> None:
    volume = f"{PROJECT}_postgres-data:/var/lib/postgresql/data"
    postgres(site, 999, "-v", volume)
    sql("CREATE TABLE kept AS SELECT 42 AS answer")
    docker("rm", "--force", f"{PROJECT}-postgres")

    changed = settle(site, compose, PlainProgress())
    assert f"{PROJECT}_postgres-data" in changed
    postgres(site, USERS["postgres"], "-v", f"{volume}:nocopy", "-v", f"{site.home}/passwd:/etc/passwd:ro")
    assert sql("SELECT answer FROM kept") == "42"
    assert settle(site, compose, PlainProgress()) == []


def test_a_new_volume_belongs_to_its_service_also_while_it_is_empty(compose: Compose, site: Site) -> None:
    settle(site, compose, PlainProgress())
    for _ in range(2):  # Docker gives an empty volume away each time that it is mounted without `nocopy`
        for service, places in VOLUMES.items():
            for volume, path in places.items() if service in SERVICES else ():
                uid = USERS[service]
                mount = (
                    "-v",
                    f"{PROJECT}_{volume}:{path}:nocopy",
                    f"--user={uid}:{uid}",
                    "--cap-drop=ALL",
                    "--network=none",
                )
                docker("run", "--rm", *mount, "--entrypoint=test", image(f"{service.upper()}_IMAGE"), "-w", path)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user of the host needs root")
@pytest.mark.parametrize("user", [NOBODY, 999, 101, 1000, 10001, USERS["node-exporter"], USERS["provider"]])
def test_no_user_of_the_host_reads_a_services_environment_or_memory(user: int, compose: Compose) -> None:
    uid = USERS["litellm"]
    secret = ("-e", "LITELLM_MASTER_KEY=sk-of-a-test")
    name = f"{PROJECT}-postgres"  # removed by the fixture
    docker("run", "--detach", "--name", name, "--network=none", f"--user={uid}:{uid}", *secret,
           "--entrypoint=sleep", image("REDIS_IMAGE"), "120")  # fmt: skip
    process = docker("inspect", "--format", "{{.State.Pid}}", name).stdout.strip()
    # Until the program runs, the process is still Docker's own.
    own = eventually(lambda: as_user(uid, "/bin/cat", f"/proc/{process}/environ").stdout, within=30)
    assert "sk-of-a-test" in own, "the twin: its own user does, so that no service may share it"
    for place in ("environ", "mem", "maps", "root/etc/passwd", "fd", "cwd/."):
        program = "/bin/ls" if place in ("fd", "cwd/.") else "/bin/cat"
        assert as_user(user, program, f"/proc/{process}/{place}").returncode != 0, place


def as_user(user: int, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this host as one of its users, without further groups."""
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, timeout=30, cwd="/",
        user=user, group=user, extra_groups=[],
    )  # fmt: skip
