"""Loads the configuration of a site. Settings in the process environment win over .env."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType

from tollgate import disk
from tollgate.config.env import alerts
from tollgate.config.env import settings as env
from tollgate.config.env.settings import Settings
from tollgate.config.gateway.catalogue import Catalogue
from tollgate.config.load import Configuration, settings_of
from tollgate.config.load import load as load_files
from tollgate.config.tenant.load import Drafts
from tollgate.config.yaml.text import read
from tollgate.site import Site
from tollgate.stack.secrets import provider_files

RECORDED = {"LITELLM_VERSION", "POSTGRES_SOURCE", "REDIS_SOURCE"}
"""Settings that a deploy writes into .env."""
__all__ = [
    "Configuration",
    "change_env",
    "change_env_lines",
    "engine_install_allowed",
    "ensure_env",
    "left_out",
    "load",
    "overrides",
    "settings",
]


def load(site: Site, drafts: Drafts = MappingProxyType({})) -> Configuration:
    """All settings, models and tenants. Raises InputError with every problem of every file.

    `drafts` replace tenant files that are not written yet.

    A setting in the process environment wins over .env (`IMAGE_SOURCE=local make deploy`). A provider key there is
    ignored: a key in one person's shell is not a decision to spend it for everyone.
    """
    return load_files(site, overrides(), drafts, provider_files.credentials(site), cores())


def settings(site: Site) -> Settings:
    """Only the settings, for commands that need nothing else. Without a .env they are the defaults."""
    return settings_of(site, overrides(), cores())


def left_out(catalogue: Catalogue) -> list[str]:
    """One line for each reason, with all models that are left out for it."""
    names: dict[str, list[str]] = {}
    for name, reason in catalogue.left_out:
        names.setdefault(reason, []).append(name)
    return [f"left out: {', '.join(models)}: {reason}" for reason, models in names.items()]


def ensure_env(site: Site) -> bool:
    """Write .env from .env.example if it is missing (0600, because it will hold keys). Return whether it wrote it."""
    if site.env_file.exists():
        return False
    disk.create(site.env_file, site.env_example.read_bytes(), 0o600)  # never replaces a file that appeared meanwhile
    return True


def change_env(site: Site, name: str, value: str) -> bool:
    """As `change_env_lines`, for one setting."""
    return change_env_lines(site, {name: value})


def change_env_lines(site: Site, values: Mapping[str, str]) -> bool:
    """Set the settings `values` in .env and keep every other line. Return whether the file changed.

    Checks the new text first. Raises InputError, and writes nothing, if it is not valid.
    """
    ensure_env(site)
    lines = read(site.env_file).splitlines()
    changed = [*lines]
    for name, value in values.items():
        places = [index for index, line in enumerate(lines) if line.split("=")[0].strip() == name]
        if places:
            changed[places[-1]] = f"{name}={value}"
        else:
            changed.append(f"{name}={value}")
    text = "\n".join(changed) + "\n"
    env.parse(text, site.env_file)
    if changed == lines:
        return False
    disk.replace(site.env_file, text, 0o600)
    return True


def engine_install_allowed() -> bool:
    """False if SKIP_ENGINE_INSTALL=1 is set: then Tollgate must not install Docker."""
    return os.environ.get("SKIP_ENGINE_INSTALL", "") in ("", "0")


def cores() -> int:
    """The cores of this machine that this process may use."""
    return len(os.sched_getaffinity(0))


def overrides() -> dict[str, str]:
    """Settings of the process environment; see `load`. RECORDED settings and secrets count only in .env."""
    names = {str(field.alias) for field in Settings.model_fields.values()} - RECORDED - set(alerts.SECRETS)
    return {name: value for name, value in os.environ.items() if name in names}
