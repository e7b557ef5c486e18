"""One tenant's change, from a command to its file and to LiteLLM: checked, planned, written, applied, in this order.

What can be found wrong is found before anything is written. After an interruption the file says what is wanted, and
`make apply` goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tollgate.config.secret import Secret
from tollgate.config.tenant_model import DEFAULT_KEY
from tollgate.config.tenants import Drafts
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack import configuration, secrets, tenant_files, tenants
from tollgate.stack.compose import Compose
from tollgate.stack.lock import locked
from tollgate.stack.progress import Progress


@dataclass(frozen=True)
class NewKey:
    """A key whose text goes to secrets/tenants/ before anything else happens."""

    text: Secret
    name: str = DEFAULT_KEY


@dataclass(frozen=True)
class Done:
    """`waiting` says why nothing was applied; `left` is what an apply would take away and nobody asked for."""

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
    """Write `drafts` and apply what they change of `tenant` to the stack, if one runs here.

    `removes`: blocking (or, with `allow_delete`, deleting) what the files no longer name is what is asked for. Raises
    InputError or TollgateError; unless that says otherwise, nothing was written.
    """
    with locked(site, f"tenant {tenant}"), _stored(site, tenant, key) as stored:
        loaded = configuration.load(site, drafts)
        compose = Compose.core(site, loaded.settings.compose_project_name)
        waiting = why_not_running(compose)
        if waiting:
            stored.keep = True
            return Done(written=tenant_files.write(drafts), waiting=waiting)
        with tenants.opened(site, compose, loaded, only=tenant) as tenancy:
            whole = tenancy.plan(allow_delete=allow_delete)
            whole.raise_if_unsafe()
            plan = whole if removes else tenants.without_removals(whole)
            stored.keep = True
            written = tenant_files.write(drafts)
            outcome = tenancy.apply(plan, lambda change, *_: progress.detail(tenants.words(change)))
    if outcome.failed:
        change, error = outcome.failed[0]
        raise TollgateError(
            f"{_names(site, written)} written, but LiteLLM has not all of it ({outcome}): "
            f"{change.kind} {change.name}: {error.message}",
            f"{error.hint}; then `make apply` goes on from here" if error.hint else "`make apply` goes on from here",
        )
    left = [tenants.words(change) for change in whole.changes if change.takes_access and not removes]
    return Done(written, [tenants.words(change) for change in outcome.applied], left)


def why_not_running(compose: Compose) -> str:
    """Empty where a gateway of this deployment runs."""
    if not compose.rendered:
        return "nothing is deployed here yet; `make deploy` will apply it"
    try:
        running = compose.running()
    except TollgateError as error:  # no Docker, or not for this user: the file can be written all the same
        return f"{error.message}; `make apply` will apply it"
    return "" if "nginx" in running else "the gateway does not run; `make deploy` will apply it"


@dataclass
class _Stored:
    keep: bool = False


@contextmanager
def _stored(site: Site, tenant: str, key: NewKey | None) -> Iterator[_Stored]:
    """The key on disk; taken away again where the change is refused before its file is written."""
    stored = _Stored()
    if key is None:
        yield stored
        return
    path = site.secrets_dir / secrets.tenant_key_file(tenant, key.name)
    _refuse_used(path, key.text)
    made = not path.exists()
    if made:
        secrets.store_tenant_key(site, tenant, key.text, key.name)
    try:
        yield stored
    finally:
        if made and not stored.keep:
            path.unlink()


def _refuse_used(path: Path, key: Secret) -> None:
    """Raise TollgateError where the place is taken by another key, or the key by another place."""
    if path.exists() and secrets.read_file(path) != key:
        raise TollgateError(
            f"{path} holds another key already, of an earlier tenant of this id",
            "leave the key out to go on with that one, or remove the file",
        )
    for other in sorted(path.parent.glob("*")) if path.parent.is_dir() else []:
        if other != path and other.is_file() and secrets.read_file(other) == key:
            raise TollgateError(
                f"this is the key in {other} already", "a key belongs to one tenant: leave it out and one is generated"
            )


def _names(site: Site, files: list[Path]) -> str:
    return " and ".join(str(file.relative_to(site.home)) for file in files) + (" is" if len(files) == 1 else " are")
