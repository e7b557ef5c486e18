"""Which LiteLLM releases this kit knows, which one this gateway is set to (.env), and which one is deployed."""

from __future__ import annotations

import re
from pathlib import Path

from tollgate.config.env import Settings
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack import image_versions
from tollgate.stack.compose import Compose
from tollgate.stack.configuration import change_env, settings

SETTING = "LITELLM_VERSION"
_IN_A_TAG = re.compile(r":v?(\d+(?:\.\d+)+)(?:[-@]|$)")


def known(root: Path) -> list[str]:
    """Every release with a directory of its own, the oldest first."""
    return sorted((path.name for path in image_versions.directory(_file(root)).iterdir() if path.is_dir()), key=order)


def shipped(root: Path) -> str:
    """What a first deploy takes."""
    return image_versions.load(_file(root)).pins[SETTING]


def chosen(site: Site, given: Settings | None = None) -> str:
    """The release that .env names; the kit's own where it names none."""
    return (given or settings(site)).litellm_version or shipped(site.root)


def deployed(compose: Compose) -> str:
    """The release of what was rendered last, so of what runs; empty where nothing was."""
    if not compose.rendered:
        return ""
    environment = compose.environment
    if SETTING in environment:
        return environment[SETTING]
    found = _IN_A_TAG.search(environment.get("LITELLM_IMAGE", ""))  # by a kit from before the setting
    return found[1] if found else ""


def record(site: Site, compose: Compose) -> str:
    """Write the release into .env where none is named: the deployed one, else the kit's. Returns it, or ''."""
    if settings(site).litellm_version:
        return ""
    version = deployed(compose)
    version = version if version in known(site.root) else shipped(site.root)
    change_env(site, SETTING, version)
    return version


def check_unchanged(site: Site, compose: Compose) -> None:
    """TollgateError where .env names another release than the deployed one: that change has a command of its own."""
    have, want = deployed(compose), settings(site).litellm_version
    if have and want and have != want:
        raise TollgateError(
            f"LiteLLM {have} is deployed, and .env says {SETTING}={want}",
            f"`make upgrade TO={want}` checks first, backs up and can be taken back; or set {SETTING}={have}",
        )


def order(version: str) -> tuple[int, ...]:
    """1.108.10 comes after 1.108.9."""
    return tuple(int(part) for part in version.split("."))


def _file(root: Path) -> Path:
    return root / "images" / "versions.env"
