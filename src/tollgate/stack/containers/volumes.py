"""Makes each volume belong to its service's user, also the volumes of an earlier kit.

When Docker mounts an empty volume, it sets the owner that the directory has in the image. It does not change a volume
that holds files. So this module sets the owner first, and the services mount their volumes with `nocopy`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tollgate import disk
from tollgate.render.users import USERS, VOLUMES
from tollgate.render.watchers import NO_IMAGE
from tollgate.site import Site
from tollgate.stack.containers.compose import PROJECT_LABEL, Compose
from tollgate.stack.host.docker import docker
from tollgate.stack.host.progress import Progress

VOLUME_LABEL = "com.docker.compose.volume"
OWNER_LABEL = "tollgate.owner"
ROOT = ("--network=none", "--user=0:0", "--cap-drop=ALL", "--security-opt=no-new-privileges:true", "--read-only")
# The capability to change an owner, and the one to read directories that only another user can read.
CAPABILITIES = ("--cap-add=CHOWN", "--cap-add=DAC_READ_SEARCH")
_IMAGES = {"gateway": "TOLLGATE_IMAGE"}
# A database of a hundred gigabytes has tens of thousands of files; each takes well under a millisecond.
LONG = 3600


def settle(site: Site, compose: Compose, progress: Progress) -> list[str]:
    """Create missing volumes and set each volume's owner. Return the names of the changed volumes.

    The volumes of a service without an image stay as they are.

    A service is stopped before its volume changes owner. A volume that we create has its owner in a label. For a
    volume of an earlier kit, a file records the owner. So a deploy without changes asks Docker only once. A volume's
    creation time is no help: for Docker 20.10 it is the time when the directory last changed.
    """
    ledger = site.volume_owners_file
    known: dict[str, str] = json.loads(ledger.read_text()) if ledger.is_file() else {}
    wanted = {name: places for name, places in VOLUMES.items() if compose.describes(name)}
    labelled = _owners(compose.project)
    changed: list[str] = []
    for service, places in wanted.items():
        uid = USERS["nginx" if service == "acme" else service]
        names = {f"{compose.project}_{volume}": path for volume, path in places.items()}
        image = compose.environment[_IMAGES.get(service, f"{service.upper()}_IMAGE")]
        if image == NO_IMAGE or all(_settled(name, uid, labelled, known) for name in names):
            continue
        progress.detail(f"{service}: setting the owner of its volumes")
        if using := [name for name in compose.running() if name == service or name.startswith(f"{service}-")]:
            compose.run("volumes", progress, "stop", *using)
        for volume, name in zip(places, names, strict=True):
            labels = (f"{PROJECT_LABEL}={compose.project}", f"{VOLUME_LABEL}={volume}", f"{OWNER_LABEL}={uid}")
            docker(["docker", "volume", "create", *(f"--label={label}" for label in labels), name])
        give(image, uid, names)
        changed += names
        labelled = _owners(compose.project)
        known |= {name: f"{uid} {labelled.get(name, '')}" for name in names}
        _write(ledger, known)
    return changed


def _settled(name: str, uid: int, labelled: Mapping[str, str], known: Mapping[str, str]) -> bool:
    """Whether `uid` owns the volume, by its label or by our record. The record counts only if the label is unchanged:
    a volume that has lost our label is a new one."""
    return name in labelled and (labelled[name] == str(uid) or known.get(name) == f"{uid} {labelled[name]}")


def give(image: str, uid: int, volumes: Mapping[str, str]) -> None:
    """Set the owner of everything in `volumes` (name to path) to `uid`, with the `chown` of `image`."""
    mounts = [word for name, path in volumes.items() for word in ("-v", f"{name}:{path}")]
    chown = ["--entrypoint=chown", image, "-R", f"{uid}:{uid}", *volumes.values()]
    docker(["docker", "run", "--rm", *ROOT, *CAPABILITIES, *mounts, *chown], timeout=LONG, what="chown")


def _owners(project: str) -> dict[str, str]:
    """Every volume whose name begins like the project's, with the owner in its label; empty without our label.

    A volume that was created without Compose has no label of the project, so the name counts.
    """
    shown = f'{{{{.Name}}}} {{{{.Label "{OWNER_LABEL}"}}}}'
    lines = docker(["docker", "volume", "ls", "--format", shown, "--filter", f"name={project}_"]).splitlines()
    return dict(line.partition(" ")[::2] for line in lines if line)


def _write(ledger: Path, known: Mapping[str, str]) -> None:
    ledger.parent.mkdir(parents=True, exist_ok=True)
    disk.replace(ledger, json.dumps(known, indent=1) + "\n")
