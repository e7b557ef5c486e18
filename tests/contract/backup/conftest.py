"""A Postgres of the pinned image with LiteLLM's schema. Tests may destroy it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID

from tests.support.eventually import eventually
from tests.support.images import image
from tests.support.stack import ROOT
from tollgate.config.env import settings as env
from tollgate.render.backup import render_archiving
from tollgate.render.output import write
from tollgate.render.users import USERS, passwd
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.make import LIVE
from tollgate.stack.backup.repository import PATH, confinement
from tollgate.stack.containers import volumes
from tollgate.stack.restore.recover import Recovery


class Server:
    """A server with its own volume. `destroy` removes both, and `start` begins with an empty volume.

    `archiving`: use compose.yaml's settings and the files that a deploy renders. `destroy` keeps the repository.
    """

    def __init__(self, directory: Path, *, archiving: bool = False) -> None:
        self.archiving = archiving
        self.rendered = directory / "rendered"
        self.name = f"tollgate-test-{secrets.token_hex(4)}"
        self.password_file = directory / "password"
        self.password_file.write_text(secrets.token_urlsafe(16))
        self.password_file.chmod(0o444)  # read by the image's own uid; the directory above it is this user's alone

    def start(self) -> Postgres:
        kept = f"{self.name}:/var/lib/postgresql/data" + (":nocopy" if self.archiving else "")
        options = ("-v", kept, "-v", f"{self.password_file}:/run/password:ro")
        environment = ("-e", "POSTGRES_USER=litellm", "-e", "POSTGRES_PASSWORD_FILE=/run/password")
        label = ("--label", f"{LABEL_SESSION_ID}={SESSION_ID}")
        command = (*self.confined(), *label, *options, *environment, image("POSTGRES_IMAGE"), *self.settings())
        docker("run", "-d", "--name", self.name, *command)
        # Over TCP: the server that only runs the first start's scripts does not listen there.
        ready = ("docker", "exec", self.name, "pg_isready", "-q", "-h", "127.0.0.1", "-U", "litellm", "-d", LIVE)
        eventually(lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0, within=90)
        return Postgres(self.name)

    def confined(self) -> tuple[str, ...]:
        """As in compose.yaml: pgBackRest must work with a read-only file system and without privileges."""
        if not self.archiving:
            return ()
        self.archive(on=True)
        uid, passwd_file = USERS["postgres"], self.rendered / "passwd"
        passwd_file.write_text(passwd())
        places = {self.name: "/var/lib/postgresql/data", f"{self.name}-archive": PATH}
        volumes.give(image("POSTGRES_IMAGE"), uid, places)
        mounts = (
            "-v",
            f"{self.name}-archive:{PATH}:nocopy",
            "-v",
            f"{passwd_file}:/etc/passwd:ro",
            "-v",
            f"{self.rendered}/pgbackrest:/etc/pgbackrest:ro",
        )
        own = ("--tmpfs", "/tmp:mode=1777", "--tmpfs", f"/var/run/postgresql:uid={uid},gid={uid}")  # noqa: S108
        return ("--user", f"{uid}:{uid}", "--read-only", "--cap-drop", "ALL", *own, *mounts)

    def archive(self, *, on: bool) -> None:
        chosen = env.parse("BACKUP_SCHEDULE=17 2 * * *\n" if on else "", Path(".env"))
        write(self.rendered, render_archiving(ROOT, chosen))

    def settings(self) -> list[str]:
        """What compose.yaml starts Postgres with, less what is a variable there."""
        if not self.archiving:
            return []
        compose = YAML(typ="safe").load(ROOT / "compose" / "compose.yaml")
        words = [str(word) for word in compose["services"]["postgres"]["command"]]
        return [word.replace("${POSTGRES_MAX_CONNECTIONS}", "100") for word in words]

    def recovery(self) -> Recovery:
        """As `tollgate restore --at` makes it."""
        mounts = ("-v", f"{self.name}-archive:{PATH}:ro,nocopy", "-v", f"{self.rendered}/pgbackrest:/etc/pgbackrest:ro")
        label = ("--label", f"{LABEL_SESSION_ID}={SESSION_ID}")
        return Recovery(f"{self.name}-recovery", image("POSTGRES_IMAGE"), (*label, *confinement(), *mounts))

    def migrate(self) -> None:
        """LiteLLM's schema by the job that a deploy runs."""
        # Its own address, for a published port can be taken.
        address = docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", self.name).strip()
        given = {"HOST": address, "PORT": "5432", "USER": "litellm", "DB": LIVE}
        environment = {f"POSTGRES_{name}": value for name, value in given.items()}
        environment |= {"POSTGRES_PASSWORD_FILE": str(self.password_file), "PATH": os.environ["PATH"]}
        command = [sys.executable, "-m", "tollgate.migrate"]
        environment["PYTHONPATH"] = str(ROOT / "src")
        subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)

    def destroy(self) -> None:
        docker("rm", "-f", "-v", self.name)
        docker("volume", "rm", "-f", self.name)


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("postgres"))
    server.start()
    try:
        server.migrate()
        yield server
    finally:
        server.destroy()


@pytest.fixture(scope="session")
def archiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("archiving")
    directory.chmod(0o755)
    server = Server(directory, archiving=True)
    server.start()
    try:
        server.migrate()
        yield server
    finally:
        server.destroy()
        docker("volume", "rm", "-f", f"{server.name}-archive")
