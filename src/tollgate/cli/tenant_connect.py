"""`tollgate tenant connect`: what a member of a team pastes to use the gateway with Claude Code."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

import typer

from tollgate.cli.tenant_write import Id
from tollgate.config.env import Settings
from tollgate.config.tenant_model import DEFAULT_KEY, Tenant, TenantKey
from tollgate.errors import TollgateError
from tollgate.render import connect as text
from tollgate.site import Site
from tollgate.stack import configuration, key_rotation, tenant_files
from tollgate.stack.compose import Compose
from tollgate.stack.tenant_change import why_not_running
from tollgate.stack.tenant_keys import key_of


class Format(StrEnum):
    ENV = "env"
    SETTINGS = "settings"
    MANAGED = "managed"
    HELPER = "helper"


HINTS = {
    Format.ENV: "paste these lines into a shell, or into its profile; then: claude",
    Format.SETTINGS: "this is ~/.claude/settings.json",
    Format.MANAGED: "this is /etc/claude-code/managed-settings.json (macOS: /Library/Application Support/ClaudeCode/, "
    "Windows: C:\\Program Files\\ClaudeCode\\); the helper it names is printed with --format helper",
    Format.HELPER: "save it where managed settings or settings.json name it as apiKeyHelper",
}


def connect(
    context: typer.Context,
    tenant: Id,
    key: Annotated[str, typer.Option("--key", help="one of the tenant's keys")] = DEFAULT_KEY,
    form: Annotated[Format, typer.Option("--format", help="what to print")] = Format.ENV,
    base_url: Annotated[str, typer.Option("--base-url", help="the gateway's address as the team sees it")] = "",
    show_key: Annotated[bool, typer.Option("--show-key", help="print the key itself")] = False,
    helper: Annotated[str, typer.Option("--helper", help="where managed machines have the helper")] = text.HELPER_PATH,
) -> None:
    """What a member of the team pastes: shell lines, settings.json, managed settings, or a key helper."""
    site: Site = context.obj
    loaded = configuration.load(site)
    found = tenant_files.find(loaded, tenant)
    named = named_key(found, key)
    secret = key_of(site, found, named)
    if secret is None:
        raise TollgateError(f"key {key} of {tenant} is not made yet", "`make deploy` or `make apply` makes it")
    allowed = found.models if named.allowed_models is None else found.models_of(named)
    connection = text.Connection(
        tenant=found.id,
        key_name=key,
        base_url=_address(base_url) if base_url else _local(site, loaded.settings),
        key_file=_file(site, found, named, show=show_key),
        models=text.choices(loaded.catalogue, allowed),
        key=secret.reveal() if show_key else None,
        helper=helper,
    )
    typer.echo(text.FORMATS[form](connection), nl=False)
    # Beside the output, so that `connect ... > settings.json` writes a file that can be used.
    notes = [HINTS[form]]
    if not base_url:
        notes.append("for another machine than this one say --base-url http://THIS-HOST:PORT")
    if not show_key and form is not Format.MANAGED:
        notes.append("the key is read from its file; --show-key prints it, for a person to whom you send it safely")
    if not connection.models:
        notes.append(f"warning: no model that {tenant} may use is served now; `make deploy` says what is left out")
    sys.stderr.write("".join(f"# {note}\n" for note in notes))


def named_key(tenant: Tenant, name: str) -> TenantKey:
    for key in tenant.all_keys:
        if key.name == name:
            return key
    names = ", ".join(key.name for key in tenant.all_keys)
    raise TollgateError(f"{tenant.id} has no key {name[:63]!r}", f"one of: {names}")


def _address(url: str) -> str:
    """Claude Code puts /v1/messages behind it; whoever gives /v1 gets /v1/v1/messages and a wrong explanation."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TollgateError(f"--base-url: expected http://HOST:PORT, found {url[:80]!a}")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise TollgateError("--base-url: expected an address alone, without user, query or fragment")
    path = parts.path.rstrip("/")
    if path.endswith(("/v1", "/messages")):
        raise TollgateError(
            f"--base-url: expected no {path}, which clients add themselves", "as in http://gateway:4000"
        )
    return f"{parts.scheme}://{parts.netloc}{path}"


def _local(site: Site, settings: Settings) -> str:
    """Where it listens, as this machine sees it; where nothing runs, where it will. With TLS, by the name it has."""
    if settings.tls != "off" and settings.host_names:
        suffix = "" if settings.tls_port == 443 else f":{settings.tls_port}"
        return f"https://{settings.host_names[0]}{suffix}"
    compose = Compose.core(site, settings.compose_project_name)
    if why_not_running(compose):
        return f"http://localhost:{settings.gateway_port}"
    host, port = compose.address("nginx", 4000)
    return f"http://{'localhost' if host == '127.0.0.1' else host}:{port}"


def _file(site: Site, tenant: Tenant, key: TenantKey, *, show: bool) -> str:
    path = key_rotation.key_path(site, tenant, key)
    if path is None and not show:
        place = key_rotation.place(site, tenant, key)
        raise TollgateError(f"key {key.name} of {tenant.id} comes from {place}, which is no file", "give --show-key")
    return str(path or "")
