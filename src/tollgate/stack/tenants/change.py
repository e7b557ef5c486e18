"""Changes one tenant: checks the new file, plans, writes the file, applies it to LiteLLM, in this order.

Most errors stop the command before it writes anything. After an interruption the file has the wanted state, and
`make apply` continues.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tollgate.config.secret import Secret
from tollgate.config.tenant.load import Drafts
from tollgate.config.tenant.model import DEFAULT_KEY
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.lock import locked
from tollgate.stack.host.progress import Progress
from tollgate.stack.secrets import store as secrets
from tollgate.stack.tenants import files as tenant_files
from tollgate.stack.tenants import tenancy as tenants


@dataclass(frozen=True)
class NewKey:
    """A new key. Its text is stored in secrets/tenants/ first."""

    text: Secret
    name: str = DEFAULT_KEY


@dataclass(frozen=True)
class Done:
    """The result. `waiting` says why nothing was applied. `left` are removals that the command did not ask for."""

    written: list[Path] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    waiting: str = ""


def carry_out(
    site: Site,
    tenant: str,
    drafts: Drafts,
    progress: Progress,
    *,
    key: NewKey | None = None,
    removes: bool = False,
    allow_delete: bool = False,
) -> Done:
    """Write `drafts` and, if the gateway runs, apply their changes of `tenant` to LiteLLM.

    `removes` also blocks objects that the files no longer name; `allow_delete` deletes them. Raises InputError or
    TollgateError; nothing was written then, unless the error says so.
    """
    with locked(site, f"tenant {tenant}"), _stored(site, tenant, key) as stored:
        loaded = configuration.load(site, drafts)
        deployment = Deployment.of(site, loaded.settings)
        waiting = why_not_running(deployment.compose)
        if waiting:
            stored.keep = True
            return Done(written=tenant_files.write(drafts), waiting=str(waiting))
        with tenants.opened(deployment, loaded, only=tenant) as tenancy:
            whole = tenancy.plan(allow_delete=allow_delete)
            whole.raise_if_unsafe()
            plan = whole if removes else tenants.without_removals(whole)
            stored.keep = True
            written = tenant_files.write(drafts)
            outcome = tenancy.apply(plan, lambda change, *_: progress.detail(tenants.words(change)))
    if outcome.failed:
        change, error = outcome.failed[0]
        raise TollgateError(
            f"{_names(site, written)} written, but LiteLLM does not have all changes ({outcome}): "
            f"{change.kind} {change.name}: {error.message}",
            f"{error.hint}; then `make apply` continues" if error.hint else "`make apply` continues",
        )
    left = [tenants.words(change) for change in whole.changes if change.takes_access and not removes]
    return Done(written, [tenants.words(change) for change in outcome.applied], left)


@dataclass(frozen=True)
class NotRunning:
    """Why no gateway of this deployment runs, and how a change gets there later."""

    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.reason}; {self.remedy}"


def why_not_running(compose: Compose) -> NotRunning | None:
    """Why no gateway of this deployment runs; None if one runs."""
    if not compose.rendered:
        return NotRunning("nothing is deployed here yet", "`make deploy` will apply it")
    try:
        running = compose.running()
    except TollgateError as error:  # no Docker, or no access to it; the file can be written without it
        return NotRunning(error.message, "`make apply` will apply it")
    return None if "nginx" in running else NotRunning("the gateway does not run", "`make deploy` will apply it")


@dataclass
class _Stored:
    keep: bool = False


@contextmanager
def _stored(site: Site, tenant: str, key: NewKey | None) -> Iterator[_Stored]:
    """Store the key on disk. Remove it if the change is refused before its file is written."""
    stored = _Stored()
    if key is None:
        yield stored
        return
    path = site.secret(secrets.tenant_key_file(tenant, key.name))
    _raise_if_used(path, key.text)
    new = not path.exists()
    if new:
        secrets.store_tenant_key(site, tenant, key.text, key.name)
    try:
        yield stored
    finally:
        if new and not stored.keep:
            path.unlink()


def _raise_if_used(path: Path, key: Secret) -> None:
    """TollgateError if the file has another key already, or if another file has this key."""
    if path.exists() and secrets.read_file(path) != key:
        raise TollgateError(
            f"{path} has another key already, from an earlier tenant with this id",
            "leave the key out to use the old one, or remove the file",
        )
    for other in sorted(path.parent.glob("*")) if path.parent.is_dir() else []:
        if other != path and other.is_file() and secrets.read_file(other) == key:
            raise TollgateError(
                f"{other} has this key already", "a key belongs to one tenant: leave it out, and the kit generates one"
            )


def _names(site: Site, files: list[Path]) -> str:
    return " and ".join(str(file.relative_to(site.home)) for file in files) + (" is" if len(files) == 1 else " are")
