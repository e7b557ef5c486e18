"""The scheduler in its real image: over the network, as the user who deployed, with the deployment's lock."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID

from tests.contract.backup.conftest import Server, docker
from tests.support.eventually import eventually
from tests.support.images import image
from tests.support.site import new_home
from tollgate.render.backup import render_schedule
from tollgate.site import Site
from tollgate.stack.backup import age, archive, files, metric
from tollgate.stack.backup.archive import FILES, SECRETS
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.make import LIVE
from tollgate.stack.backup.repository import Repository
from tollgate.stack.backup.unpack import unpack
from tollgate.stack.configuration import change_env, settings
from tollgate.stack.host import owner
from tollgate.stack.host.lock import locked
from tollgate.stack.secrets import store as secrets

pytestmark = pytest.mark.docker

# Half a day away, so that what is on the schedule never falls into a test.
HOUR = (datetime.now(UTC).hour + 12) % 24


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = new_home(tmp_path / "a home", f"BACKUP_SCHEDULE=17 {HOUR} * * *", "BACKUP_KEEP=1")
    secrets.ensure(site)
    metric.prepare(site)
    owner.prepare(site)
    return site


@contextmanager
def scheduled(site: Site, server: Server) -> Iterator[str]:
    """Start the rendered backup service in the server's network namespace; yield the container's name."""
    server.archive(on=True)
    Repository.inside(server.name).ensure()
    given = (owner.name(site), files.salt_of(site), "1.108.10")
    text = render_schedule(site.root, site.home, settings(site), *given)[0].text
    service = YAML(typ="safe").load(text)["services"]["backup"]
    service["environment"]["POSTGRES_HOST"] = "127.0.0.1"
    words = ["--user", service["user"], "--read-only", "--cap-drop", "ALL", "--tmpfs", "/tmp:mode=1777"]  # noqa: S108
    for name, value in service["environment"].items():
        words += ["--env", f"{name}={value}"]
    for mount in service["volumes"]:
        only = ",readonly" if mount["read_only"] else ""
        words += ["--mount", f"type=bind,source={mount['source']},target={mount['target']}{only}"]
    password = site.home.parent / "password"
    password.write_text(server.password_file.read_text())
    words += [
        "--volume",
        f"{password}:/run/secrets/postgres_password:ro",
        "--label",
        f"{LABEL_SESSION_ID}={SESSION_ID}",
    ]
    name = f"{server.name}-backup"
    docker("run", "-d", "--name", name, "--network", f"container:{server.name}", *words, image("BACKUP_IMAGE"))
    try:
        yield name
    finally:
        docker("rm", "-f", name)


def said(container: str) -> str:
    return docker("logs", container)


def test_the_first_backups_start_at_once_but_wait_for_the_lock(site: Site, archiving: Server) -> None:
    with locked(site, "deploy"), scheduled(site, archiving) as container:
        eventually(lambda: "another operation is running: deploy" in said(container), within=60)
        assert list(site.backups_dir.glob("*.tar")) == []
    with scheduled(site, archiving) as container:
        eventually(lambda: "next archive" in said(container).partition("verified")[2], within=120)
        assert re.search(r"base backup \S+ \((full|diff)\)", said(container))
        assert re.search(rf"next archive 20\d\d-\d\d-\d\d {HOUR:02}:17 UTC\n$", said(container))
        began = subprocess.run(["docker", "stop", "-t", "20", container], capture_output=True, timeout=60, check=True)
        assert began.returncode == 0
        assert docker("inspect", "-f", "{{.State.ExitCode}}", container).strip() == "0", "it stops on SIGTERM"
    made = archive.read(next(site.backups_dir.glob("tollgate-*.tar")))
    postgres = Postgres(archiving.name)
    assert made.manifest.rows == postgres.rows(LIVE)
    assert made.manifest.left_out == (".env", "secrets/")
    assert made.manifest.salt == files.salt_of(site), "it still records which salt key is needed"
    assert not made.manifest.secrets
    assert "tenants/example.yaml" in unpack(made.content(FILES))
    assert (made.file.stat().st_uid, made.file.stat().st_mode & 0o077) == (os.getuid(), 0)
    last = metric.last(site)
    assert last
    assert abs(last - made.manifest.created).total_seconds() <= 1
    assert (site.metrics_dir / "base-backup.prom").is_file()


def test_with_a_recipient_the_archive_has_encrypted_secrets(site: Site, archiving: Server) -> None:
    identity = site.home.parent / "identity"
    change_env(site, "BACKUP_AGE_RECIPIENT", age.make_identity(identity))
    with scheduled(site, archiving) as container:
        eventually(lambda: "verified" in said(container), within=120)
        assert not [
            name for name in ("litellm_salt_key", "litellm_master_key") if secret(site, name) in said(container)
        ]
    made = archive.read(next(site.backups_dir.glob("tollgate-*.tar")))
    kept = unpack(age.decrypt(made.content(SECRETS), identity))
    assert kept["secrets/litellm_salt_key"].decode() == (site.secrets_dir / "litellm_salt_key").read_text()
    assert b"BACKUP_AGE_RECIPIENT=age1" in kept[".env"]


def secret(site: Site, name: str) -> str:
    return (site.secrets_dir / name).read_text().strip()
