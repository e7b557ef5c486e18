"""The operator's secrets: made once, stored below secrets/ (0700, files 0600), read as `Secret`.

publish.py gives them to the containers.
"""

from __future__ import annotations

import secrets as random
from dataclasses import dataclass
from pathlib import Path

from tollgate import disk
from tollgate.config.secret import Secret
from tollgate.config.tenant.model import DEFAULT_KEY
from tollgate.errors import TollgateError
from tollgate.site import Site


@dataclass(frozen=True)
class SecretSpec:
    """One generated secret: its file name below secrets/, its purpose, and the prefix that its user requires."""

    name: str
    purpose: str
    prefix: str = ""


GENERATED = (
    SecretSpec("postgres_password", "the database role that owns LiteLLM's schema"),
    SecretSpec("postgres_monitor_password", "the database role that may only read statistics"),
    SecretSpec("redis_password", "Redis"),
    # LiteLLM refuses a master key without this prefix, and a weak master key.
    SecretSpec("litellm_master_key", "full administration of LiteLLM", prefix="sk-"),
    # LiteLLM encrypts stored credentials with this key. A new key makes them unreadable (docs/facts.md 6).
    SecretSpec("litellm_salt_key", "encryption of credentials in LiteLLM's database", prefix="sk-"),
    SecretSpec("handover_key", "what gateway processes sign when they hand a request to a replica"),
    SecretSpec("replica_metrics_key", "the replicas' metrics, which Prometheus reads"),
    SecretSpec("grafana_admin_password", "Grafana's admin user"),
    SecretSpec("grafana_secret_key", "Grafana's own encryption"),
)

# The only key of `make basic`, which makes it.
BASIC_KEY = "basic_key"


def generate(prefix: str = "") -> Secret:
    """256 random bits as URL-safe text, so that it needs no quoting in a URL, a file or a shell."""
    return Secret(prefix + random.token_urlsafe(32))


def ensure(site: Site) -> list[str]:
    """Create every missing generated secret and return the names of the new ones. Existing secrets never change."""
    site.secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    site.secrets_dir.chmod(0o700)
    created = []
    for spec in GENERATED:
        path = site.secret(spec.name)
        if not path.exists():
            store(path, generate(spec.prefix))
            created.append(spec.name)
    return created


def ensure_basic(site: Site) -> None:
    site.secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = site.secret(BASIC_KEY)
    if not path.exists():
        store(path, generate("sk-"))


def read(site: Site, name: str) -> Secret:
    """The secret in secrets/<name>. TollgateError with the file's name if it is missing, unreadable or empty."""
    return read_file(site.secret(name))


def read_file(path: Path) -> Secret:
    try:
        value = path.read_text().strip()
    except OSError as error:
        raise TollgateError(
            f"{path}: {error.strerror or error}", "run `make deploy`: it creates missing secrets"
        ) from None
    if not value:
        raise TollgateError(
            f"{path}: expected a secret, found an empty file",
            "delete the file and run `make deploy`, which generates a new secret",
        )
    return Secret(value)


def tenant_key(site: Site, tenant: str, name: str = DEFAULT_KEY) -> Secret | None:
    """A tenant's generated key. None if it was not generated yet."""
    path = tenant_key_file(tenant, name)
    return read(site, path) if site.secret(path).exists() else None


def make_tenant_key(site: Site, tenant: str, name: str = DEFAULT_KEY) -> Secret:
    """Generate a tenant's key and store it."""
    key = generate("sk-")
    store_tenant_key(site, tenant, key, name)
    return key


def store_tenant_key(site: Site, tenant: str, key: Secret, name: str = DEFAULT_KEY) -> None:
    path = site.secret(tenant_key_file(tenant, name))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    store(path, key)


def forget_tenant(site: Site, tenant: str) -> None:
    """Remove every generated key of a deleted tenant."""
    for path in [site.tenant_keys_dir / tenant, *site.tenant_keys_dir.glob(f"{tenant}.*")]:
        path.unlink(missing_ok=True)


def tenant_key_file(tenant: str, name: str = DEFAULT_KEY) -> str:
    """The path below secrets/: tenants/<id>, or tenants/<id>.<name> for a further key. Ids and names have no dots."""
    return f"tenants/{tenant}" + ("" if name == DEFAULT_KEY else f".{name}")


def store(path: Path, secret: Secret) -> None:
    """Write a new secret file, 0600 from the first byte. FileExistsError if it exists.

    The file is synced to disk: after a crash it must not be empty while the database has the password.
    """
    disk.create(path, secret.reveal() + "\n", 0o600)


def too_open(site: Site) -> list[Path]:
    """Secret files and directories that other users can read or change."""
    paths = [site.secrets_dir] if site.secrets_dir.is_dir() else []
    paths += sorted(site.secrets_dir.rglob("*"))
    return [path for path in paths if path.stat().st_mode & 0o077]
