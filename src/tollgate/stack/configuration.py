"""The configuration of a site as the commands want it: .env made when missing, the environment's settings on top."""

from __future__ import annotations

import os
import shutil
from types import MappingProxyType

from tollgate.config import env
from tollgate.config.catalogue import Catalogue
from tollgate.config.env import Settings
from tollgate.config.load import Configuration, settings_of
from tollgate.config.load import load as load_files
from tollgate.config.tenants import Drafts
from tollgate.config.text import read
from tollgate.site import Site
from tollgate.stack import provider_files

__all__ = [
    "Configuration",
    "change_env",
    "engine_install_allowed",
    "ensure_env",
    "left_out",
    "load",
    "overrides",
    "project",
    "settings",
]


def load(site: Site, drafts: Drafts = MappingProxyType({})) -> Configuration:
    """Everything the operator wrote; InputError with every problem of every file at once.

    `drafts` stand for tenant files that are about to be written.

    A setting in the process environment wins over .env (`IMAGE_SOURCE=local make deploy`); provider keys do not,
    because a key in somebody's shell is not yet a decision to spend it for everyone.
    """
    return load_files(site, overrides(), drafts, provider_files.credentials(site))


def settings(site: Site) -> Settings:
    """.env alone, or its defaults where there is none yet; for commands that need nothing else."""
    return settings_of(site, overrides())


def left_out(catalogue: Catalogue) -> list[str]:
    """One line for each reason that models are not served."""
    names: dict[str, list[str]] = {}
    for name, reason in catalogue.left_out:
        names.setdefault(reason, []).append(name)
    return [f"left out: {', '.join(models)}: {reason}" for reason, models in names.items()]


def project(site: Site) -> str:
    """The Compose project of this deployment, for commands that need no more."""
    return settings(site).compose_project_name


def ensure_env(site: Site) -> bool:
    """Write .env from .env.example where there is none (0600: it will hold keys); say whether it was made."""
    if site.env_file.exists():
        return False
    temporary = site.env_file.with_name(".env.new")
    shutil.copyfile(site.env_example, temporary)
    temporary.chmod(0o600)
    try:
        os.link(temporary, site.env_file)  # never over a file that appeared meanwhile
    finally:
        temporary.unlink()
    return True


def change_env(site: Site, name: str, value: str) -> bool:
    """Set `name` in .env, leaving every other line and comment as it is; say whether that changed anything.

    The file as it would be is checked first: InputError, and nothing written, when it is not valid.
    """
    ensure_env(site)
    lines = read(site.env_file).splitlines()
    places = [index for index, line in enumerate(lines) if line.split("=")[0].strip() == name]
    changed = [*lines]
    if places:
        changed[places[-1]] = f"{name}={value}"
    else:
        changed.append(f"{name}={value}")
    text = "\n".join(changed) + "\n"
    env.parse(text, site.env_file)
    if changed == lines:
        return False
    temporary = site.env_file.with_name(".env.new")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.replace(site.env_file)
    return True


def engine_install_allowed() -> bool:
    """False where SKIP_ENGINE_INSTALL=1 says that Docker is somebody else's to install."""
    return os.environ.get("SKIP_ENGINE_INSTALL", "") in ("", "0")


def overrides() -> dict[str, str]:
    """Settings given in the process environment; see `load`. Which LiteLLM runs is not for one shell to say."""
    names = {str(field.alias) for field in Settings.model_fields.values()} - {"LITELLM_VERSION"}
    return {name: value for name, value in os.environ.items() if name in names}
