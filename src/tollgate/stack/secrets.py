"""The operator's secrets: made once, kept under secrets/ (0700, files 0600), read as `Secret`.

How they reach containers is in publish.py beside this file.
"""

from __future__ import annotations

import os
import secrets as random
from dataclasses import dataclass
from pathlib import Path

from tollgate.config.secret import Secret
from tollgate.config.tenant_model import DEFAULT_KEY
from tollgate.errors import TollgateError
from tollgate.site import Site


@dataclass(frozen=True)
class SecretSpec:
    """One generated secret: its file name below secrets/, a prefix the consumer insists on, and what it is for."""

    name: str
    purpose: str
    prefix: str = ""


GENERATED = (
    SecretSpec("postgres_password", "the database role that owns LiteLLM's schema"),
    SecretSpec("postgres_monitor_password", "the database role that may only read statistics"),
    SecretSpec("redis_password", "Redis"),
    # LiteLLM refuses a master key without this prefix, and a weak one.
    SecretSpec("litellm_master_key", "full administration of LiteLLM", prefix="sk-"),
    # LiteLLM encrypts what it stores with it: a new one makes the stored values unreadable (docs/facts.md 6).
    SecretSpec("litellm_salt_key", "encryption of credentials in LiteLLM's database", prefix="sk-"),
    SecretSpec("grafana_admin_password", "Grafana's admin user"),
    SecretSpec("grafana_secret_key", "Grafana's own encryption"),
)

TENANT_KEYS = "tenants"
# The one key of `make basic`; made only there.
BASIC_KEY = "basic_key"


def generate(prefix: str = "") -> Secret:
    """256 random bits as URL-safe text, so that it needs no quoting in a URL, a file or a shell."""
    return Secret(prefix + random.token_urlsafe(32))


def ensure(site: Site) -> list[str]:
    """Create every generated secret that is missing; return the names of those made. Never changes an existing one."""
    site.secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    site.secrets_dir.chmod(0o700)
    made = []
    for spec in GENERATED:
        path = site.secrets_dir / spec.name
        if not path.exists():
            store(path, generate(spec.prefix))
            made.append(spec.name)
    return made


def ensure_basic(site: Site) -> None:
    site.secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = site.secrets_dir / BASIC_KEY
    if not path.exists():
        store(path, generate("sk-"))


def read(site: Site, name: str) -> Secret:
    """The secret in secrets/<name>; a TollgateError that names the file where it is missing, unreadable or empty."""
    return read_file(site.secrets_dir / name)


def read_file(path: Path) -> Secret:
    try:
        value = path.read_text().strip()
    except OSError as error:
        raise TollgateError(
            f"{path}: {error.strerror or error}", "run `make deploy`: it creates what is missing"
        ) from None
    if not value:
        raise TollgateError(
            f"{path}: expected a secret, found an empty file",
            "delete the file and run `make deploy` to have it made anew",
        )
    return Secret(value)


def tenant_key(site: Site, tenant: str, name: str = DEFAULT_KEY) -> Secret | None:
    """A tenant's generated virtual key; None where it was not made yet."""
    path = tenant_key_file(tenant, name)
    return read(site, path) if (site.secrets_dir / path).exists() else None


def make_tenant_key(site: Site, tenant: str, name: str = DEFAULT_KEY) -> Secret:
    """Generate a tenant's key and keep it."""
    key = generate("sk-")
    store_tenant_key(site, tenant, key, name)
    return key


def store_tenant_key(site: Site, tenant: str, key: Secret, name: str = DEFAULT_KEY) -> None:
    path = site.secrets_dir / tenant_key_file(tenant, name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    store(path, key)


def forget_tenant(site: Site, tenant: str) -> None:
    """Remove every generated key of a tenant that is gone for good."""
    directory = site.secrets_dir / TENANT_KEYS
    for path in [directory / tenant, *directory.glob(f"{tenant}.*")]:
        path.unlink(missing_ok=True)


def tenant_key_file(tenant: str, name: str = DEFAULT_KEY) -> str:
    """Below secrets/: tenants/<id>, and tenants/<id>.<name> for a further key. Neither part has a dot in it."""
    return f"{TENANT_KEYS}/{tenant}" + ("" if name == DEFAULT_KEY else f".{name}")


def store(path: Path, secret: Secret) -> None:
    """Write a new secret file, 0600 from the first byte; refuses to overwrite."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secret.reveal() + "\n")
        stream.flush()
        os.fsync(stream.fileno())  # a crash must not leave an empty file behind a database that knows the password


def too_open(site: Site) -> list[Path]:
    """Secret files and directories that others can read."""
    found = [site.secrets_dir] if site.secrets_dir.is_dir() else []
    found += sorted(site.secrets_dir.rglob("*"))
    return [path for path in found if path.stat().st_mode & 0o077]
