"""The LiteLLM releases that this kit knows, the release that .env names, and the deployed release."""

from __future__ import annotations

import re
from pathlib import Path

from tollgate.config.env.settings import Settings
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.configuration import change_env, settings
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deployment import Deployment
from tollgate.stack.images import versions

SETTING = "LITELLM_VERSION"
_IN_A_TAG = re.compile(r":v?(\d+(?:\.\d+)+)(?:[-@]|$)")


def known(root: Path) -> list[str]:
    """Every release with its own directory, the oldest first."""
    return sorted((path.name for path in versions.directory(_file(root)).iterdir() if path.is_dir()), key=order)


def shipped(root: Path) -> str:
    """The release that a first deploy uses."""
    return versions.load(_file(root)).pins[SETTING]


def chosen(site: Site, given: Settings | None = None) -> str:
    """The release that .env names; if it names none, the kit's own."""
    return (given or settings(site)).litellm_version or shipped(site.root)


def deployed(compose: Compose) -> str:
    """The release of the last deploy; empty before the first deploy."""
    if not compose.rendered:
        return ""
    environment = compose.environment
    if SETTING in environment:
        return environment[SETTING]
    tag = _IN_A_TAG.search(environment.get("LITELLM_IMAGE", ""))  # an older kit did not have the setting
    return tag[1] if tag else ""


def record(deployment: Deployment) -> str:
    """If .env names no release, write the deployed one, otherwise the kit's own. Returns the written release, or ''."""
    site = deployment.site
    if settings(site).litellm_version:
        return ""
    version = deployed(deployment.compose)
    version = version if version in known(site.root) else shipped(site.root)
    change_env(site, SETTING, version)
    return version


def check_unchanged(deployment: Deployment) -> None:
    """Raise TollgateError if .env names a release other than the deployed one: `make upgrade` changes the release."""
    have, want = deployed(deployment.compose), settings(deployment.site).litellm_version
    if have and want and have != want:
        raise TollgateError(
            f"LiteLLM {have} is deployed, and .env says {SETTING}={want}",
            f"run `make upgrade TO={want}`: it checks, takes a backup and can be undone; or set {SETTING}={have}",
        )


def order(version: str) -> tuple[int, ...]:
    """The numbers of a version, to sort 1.108.10 after 1.108.9."""
    return tuple(int(part) for part in version.split("."))


def _file(root: Path) -> Path:
    return root / "images" / "versions.env"
