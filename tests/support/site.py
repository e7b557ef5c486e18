"""A home of its own for a test: the shipped configuration, ports that Docker chooses, nothing deployed."""

from __future__ import annotations

import shutil
from pathlib import Path

from tollgate.site import Site


def dials_on(home: Path) -> None:
    """The embedded provider of this home obeys dials and shows what it was asked, from its next deploy on."""
    (home / "var").mkdir(parents=True, exist_ok=True)
    (home / "var" / "embedded-provider-under-test").touch()


def new_home(home: Path, *lines: str, project: str = "tollgate-test") -> Site:
    """`lines` are added to .env, which names no port that could be taken."""
    site = Site.here(home)
    site.gateway_file.parent.mkdir(parents=True)
    shutil.copyfile(site.root / "config" / "gateway.yaml", site.gateway_file)
    site.tenants_dir.mkdir()
    shutil.copyfile(site.root / "tenants" / "example.yaml", site.tenants_dir / "example.yaml")
    ports = [f"{name}_PORT=0" for name in ("GATEWAY", "ADMIN", "GRAFANA", "PROMETHEUS")]
    text = "\n".join([f"COMPOSE_PROJECT_NAME={project}", "GATEWAY_BIND=127.0.0.1", *ports, *lines])
    site.env_file.write_text(text + "\n")
    site.env_file.chmod(0o600)
    return site
