"""The certificate of a running stack: warns about it, reads it from nginx, and gives nginx a new one."""

from __future__ import annotations

import hashlib
import ssl
import time
from datetime import UTC, datetime

from tollgate.config.env import certificate
from tollgate.config.env.certificate import Certificate
from tollgate.config.env.settings import Settings
from tollgate.errors import StepError, TollgateError
from tollgate.render.output import write
from tollgate.render.tls import metric
from tollgate.site import Site
from tollgate.stack.certificates import acme, self_signed
from tollgate.stack.configuration import Configuration
from tollgate.stack.containers.compose import ACME, TLS
from tollgate.stack.deployment import ENCRYPTED, Deployment
from tollgate.stack.host.progress import Progress
from tollgate.stack.secrets import publish
from tollgate.stack.secrets.nginx_read import nginx_has_read_it

TAKES_AT_MOST_S = 60.0


def warnings(configured: Configuration) -> list[str]:
    """Problems of the certificate that do not stop a deploy, but that clients will notice."""
    return odd(configured.certificate, configured.settings)


def odd(shown: Certificate | None, settings: Settings) -> list[str]:
    if shown is None:
        return []
    lines = []
    if missing := shown.uncovered(settings.host_names):
        lines.append(
            f"the certificate does not name {', '.join(missing)} of GATEWAY_HOSTS: clients that connect "
            f"to this name refuse the certificate; it names {', '.join(shown.names) or 'no host'}"
        )
    if shown.ends_soon(datetime.now(UTC)):
        lines.append(f"the certificate ends on {shown.not_after:%Y-%m-%d %H:%M} UTC: renew it")
    return lines


def current(deployment: Deployment) -> Certificate:
    """The certificate that .env asks for. Raises TollgateError if TLS is off, or if none was fetched yet."""
    site, settings = deployment.site, deployment.settings
    if settings.tls == "acme":
        return acme.wanted(deployment.compose)
    if settings.tls == "off":
        raise TollgateError("TLS is off", "set TLS in .env, then run `make deploy`; see docs/runbooks/certificate.md")
    self_signed.ensure(site, settings)
    loaded = certificate.load(settings, site.secrets_dir)
    assert loaded is not None  # noqa: S101  TLS is on, and the self-signed certificate was just made
    return loaded


def served(deployment: Deployment) -> str:
    """SHA-256 (hexadecimal) of the certificate that nginx serves now. Raises TollgateError if it serves none."""
    host, port = deployment.address(ENCRYPTED)
    try:
        pem = ssl.get_server_certificate((host, port), timeout=10)
    except OSError as error:
        raise TollgateError(f"no TLS on {host}:{port}: {error}", "`make logs S=nginx` shows why") from None
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def reload(site: Site, progress: Progress) -> Certificate:
    """Give nginx the certificate on disk. Running connections keep the old certificate; nginx does not cut them."""
    deployment = Deployment.of(site)
    settings, compose = deployment.settings, deployment.compose
    if settings.tls == "acme":
        hint = "to fetch a certificate now, run `tollgate certificate renew`"
        raise TollgateError("TLS=acme: nginx loads a new certificate by itself", hint)
    wanted = current(deployment)
    if not compose.rendered or not site.rendered(TLS).is_file():
        raise TollgateError("TLS is not deployed yet", "run `make deploy`")
    secrets = publish.published(site, settings)
    publish.write(site.published_dir, secrets, compose.environment["TOLLGATE_IMAGE"])
    write(site.rendered_dir, [metric(settings, wanted)])
    compose.run("certificate", progress, "kill", "--signal", "SIGHUP", "nginx")
    _wait_until_served(deployment, wanted)
    nginx_has_read_it(site)
    return wanted


def renew(site: Site, *, force: bool) -> Certificate:
    """TLS=acme: fetch a certificate now if one is due, or in any case with `force`. Wait until nginx serves it."""
    deployment = Deployment.of(site)
    settings, compose = deployment.settings, deployment.compose
    if settings.tls != "acme":
        raise TollgateError(
            f"TLS={settings.tls}: nothing is fetched", "docs/runbooks/certificate.md says who renews it"
        )
    if not compose.rendered or not site.rendered(ACME).is_file():
        raise TollgateError("TLS=acme is not deployed yet", "run `make deploy`")
    acme.now(compose, force=force)
    wanted = acme.wanted(compose)
    _wait_until_served(deployment, wanted)
    return wanted


def _wait_until_served(deployment: Deployment, wanted: Certificate) -> None:
    until = time.monotonic() + TAKES_AT_MOST_S
    while served(deployment) != wanted.fingerprint:
        if time.monotonic() > until:
            hint = "no connection was cut; the lines above say why nginx kept it"
            raise StepError(
                "certificate", "nginx still serves the previous certificate", hint, deployment.compose.tail("nginx")
            )
        time.sleep(0.5)
