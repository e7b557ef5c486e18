"""`tollgate tenant connect`: prints the lines that a team member pastes to use the gateway with Claude Code."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

import typer

from tollgate.cli.tenant.write import Id
from tollgate.config.tenant.model import DEFAULT_KEY, Tenant, TenantKey
from tollgate.errors import TollgateError
from tollgate.render import connect as text
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.deployment import Deployment
from tollgate.stack.tenants import files as tenant_files
from tollgate.stack.tenants import rotate
from tollgate.stack.tenants.change import why_not_running
from tollgate.stack.tenants.keys import key_of, raise_if_own


class Format(StrEnum):
    ENV = "env"
    SETTINGS = "settings"
    MANAGED = "managed"
    HELPER = "helper"


HINTS = {
    Format.ENV: "paste these lines into a shell, or into its profile; then start claude",
    Format.SETTINGS: "this is ~/.claude/settings.json",
    Format.MANAGED: "this is /etc/claude-code/managed-settings.json (macOS: /Library/Application Support/ClaudeCode/, "
    "Windows: C:\\Program Files\\ClaudeCode\\); --format helper prints the helper that it names",
    Format.HELPER: "save it under the path that managed settings or settings.json name as apiKeyHelper",
}


def connect(
    context: typer.Context,
    tenant: Id,
    key: Annotated[str, typer.Option("--key", help="one of the tenant's keys")] = DEFAULT_KEY,
    form: Annotated[Format, typer.Option("--format", help="what to print")] = Format.ENV,
    base_url: Annotated[str, typer.Option("--base-url", help="the gateway's address for the team")] = "",
    show_key: Annotated[bool, typer.Option("--show-key", help="print the key itself")] = False,
    helper: Annotated[str, typer.Option("--helper", help="path of the helper on managed machines")] = text.HELPER_PATH,
) -> None:
    """Print the lines that a team member pastes: shell lines, settings.json, managed settings, or a key helper."""
    site: Site = context.obj
    loaded = configuration.load(site)
    owner = tenant_files.find(loaded, tenant)
    named = named_key(owner, key)
    secret = key_of(site, owner, named)
    if secret is None:
        raise TollgateError(f"key {key} of {tenant} does not exist yet", "`make deploy` or `make apply` generates it")
    raise_if_own(site, {(owner.id, key): secret})
    allowed = owner.models if named.allowed_models is None else owner.models_of(named)
    connection = text.Connection(
        tenant=owner.id,
        key_name=key,
        base_url=_address(base_url) if base_url else _local(Deployment.of(site, loaded.settings)),
        key_file=_file(site, owner, named, show=show_key),
        models=text.choices(loaded.catalogue, allowed),
        key=secret.reveal() if show_key else None,
        helper=helper,
    )
    typer.echo(text.FORMATS[form](connection), nl=False)
    # Notes go to standard error, so that `connect ... > settings.json` writes a valid file.
    notes = [HINTS[form]]
    if not base_url:
        notes.append("for other machines, pass --base-url http://THIS-HOST:PORT")
    if not show_key and form is not Format.MANAGED:
        notes.append("these lines read the key from its file; to send the key to somebody, print it with --show-key")
    if not connection.models:
        notes.append(f"warning: the gateway serves no model that {tenant} may use; `make deploy` says which it omits")
    sys.stderr.write("".join(f"# {note}\n" for note in notes))


def named_key(tenant: Tenant, name: str) -> TenantKey:
    for key in tenant.all_keys:
        if key.name == name:
            return key
    names = ", ".join(key.name for key in tenant.all_keys)
    raise TollgateError(f"{tenant.id} has no key {name[:63]!r}", f"its keys: {names}")


def _address(url: str) -> str:
    """Check the address. It must not end with /v1: Claude Code adds /v1/messages and would ask for /v1/v1/messages."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TollgateError(f"--base-url: expected http://HOST:PORT, found {url[:80]!a}")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise TollgateError("--base-url: expected only an address, without user, query or fragment")
    path = parts.path.rstrip("/")
    if path.endswith(("/v1", "/messages")):
        raise TollgateError(
            f"--base-url: expected an address without {path}, which clients add", "as in http://gateway:4000"
        )
    return f"{parts.scheme}://{parts.netloc}{path}"


def _local(deployment: Deployment) -> str:
    """The gateway's URL on this machine, or its future URL if it does not run. With TLS, its first host name."""
    if encrypted := text.tls_address(deployment.settings):
        return encrypted
    if why_not_running(deployment.compose):
        return f"http://localhost:{deployment.settings.gateway_port}"
    return deployment.public_url.replace("//127.0.0.1:", "//localhost:")


def _file(site: Site, tenant: Tenant, key: TenantKey, *, show: bool) -> str:
    path = rotate.key_path(site, tenant, key)
    if path is None and not show:
        place = rotate.place(site, tenant, key)
        raise TollgateError(f"key {key.name} of {tenant.id} comes from {place}, not from a file", "pass --show-key")
    return str(path or "")
