"""A small disk for the database, which can be filled without filling the machine's: a tmpfs on the host, as a volume.

It keeps its content over restarts of the container, unlike a tmpfs that Docker itself mounts. Mounting needs root;
without it there is no such disk and no such fault.
"""

from __future__ import annotations

import os
import subprocess

from tests.support.stack import ROOT
from tollgate.render.users import USERS

SIZE = "700m"
MOUNT = ROOT / "var" / "chaos-disk"
FILLER = "filler"
POSTGRES_UID = USERS["postgres"]


def possible() -> bool:
    return os.geteuid() == 0


def make(project: str) -> None:
    """Mount it and give it to Compose as the database's volume, before the stack comes up."""
    remove(project)
    MOUNT.mkdir(parents=True, exist_ok=True)
    options = f"size={SIZE},uid={POSTGRES_UID},gid={POSTGRES_UID},mode=0700"
    run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(MOUNT))
    labels = {"com.docker.compose.project": project, "com.docker.compose.volume": "postgres-data"}
    run(
        *("docker", "volume", "create", "--driver", "local"),
        *("--opt", "type=none", "--opt", "o=bind", "--opt", f"device={MOUNT}"),
        *(word for name, value in labels.items() for word in ("--label", f"{name}={value}")),
        volume(project),
    )


def volume(project: str) -> str:
    return f"{project}_postgres-data"


def fill() -> None:
    """Fill the disk to the last byte. The kernel charges the pages to this process, not to the container's memory."""
    with (MOUNT / FILLER).open("wb", buffering=0) as stream:
        block = bytes(2**20)
        try:
            while stream.write(block) == len(block):
                pass
        except OSError as error:
            if error.errno != 28:  # ENOSPC
                raise


def free() -> None:
    (MOUNT / FILLER).unlink(missing_ok=True)


def remove(project: str) -> None:
    """After the stack is gone; also what a killed run left."""
    run("docker", "volume", "rm", "--force", volume(project))
    if os.path.ismount(MOUNT):
        run("umount", str(MOUNT))


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise AssertionError(f"{' '.join(command[:4])}: {done.stderr.strip()}")
