"""The certificate of a running stack: what of it is odd, which one nginx serves, and how a new one gets there."""

from __future__ import annotations

import hashlib
import ssl
import time
from datetime import UTC, datetime

from tollgate.config import certificate
from tollgate.config.certificate import Certificate
from tollgate.config.env import Settings
from tollgate.errors import StepError, TollgateError
from tollgate.render.output import write
from tollgate.render.tls import metric
from tollgate.site import Site
from tollgate.stack import configuration, fetched, publish, rendering, self_signed
from tollgate.stack.compose import ACME, TLS, Compose
from tollgate.stack.configuration import Configuration
from tollgate.stack.progress import Progress

TLS_PORT = 4443
TAKES_AT_MOST_S = 60.0


def warnings(configured: Configuration) -> list[str]:
    """What stops nothing, and somebody should know before a client does."""
    return odd(configured.certificate, configured.settings)


def odd(shown: Certificate | None, settings: Settings) -> list[str]:
    if shown is None:
        return []
    said = []
    if missing := shown.uncovered(settings.host_names):
        said.append(
            f"the certificate does not name {', '.join(missing)} of GATEWAY_HOSTS: "
            f"clients that call the gateway so refuse it; it names {', '.join(shown.names) or 'nobody'}"
        )
    if shown.ends_soon(datetime.now(UTC)):
        said.append(f"the certificate ends on {shown.not_after:%Y-%m-%d %H:%M} UTC: renew it")
    return said


def current(site: Site) -> Certificate:
    """The one that .env asks for; TollgateError where it asks for none, or none was fetched yet."""
    settings = configuration.settings(site)
    if settings.tls == "acme":
        return fetched.wanted(Compose.core(site, settings.compose_project_name))
    if settings.tls == "off":
        raise TollgateError("TLS is off", "set TLS in .env, then run `make deploy`; see docs/runbooks/certificate.md")
    self_signed.ensure(site, settings)
    found = certificate.load(settings, site.secrets_dir)
    assert found is not None  # noqa: S101  both kinds are there by now, or were refused
    return found


def served(compose: Compose) -> str:
    """The fingerprint of what nginx shows clients now; TollgateError where it shows nothing."""
    host, port = compose.address("nginx", TLS_PORT)
    try:
        pem = ssl.get_server_certificate((host, port), timeout=10)
    except OSError as error:
        raise TollgateError(f"no TLS on {host}:{port}: {error}", "`make logs S=nginx` tells why") from None
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def reload(site: Site, progress: Progress) -> Certificate:
    """Give nginx the certificate that is on disk now; running connections keep the old one and are not cut."""
    settings = configuration.settings(site)
    if settings.tls == "acme":
        raise TollgateError("TLS=acme: nginx takes a new one by itself", "`tollgate certificate renew` looks at once")
    wanted = current(site)
    compose = Compose.core(site, settings.compose_project_name)
    if not compose.rendered or not (site.rendered_dir / TLS).is_file():
        raise TollgateError("TLS is not deployed yet", "run `make deploy`")
    secrets = publish.published(site, settings)
    publish.write(site.rendered_dir / "secrets", secrets, compose.environment["TOLLGATE_IMAGE"])
    write(site.rendered_dir, [metric(settings, wanted)])
    compose.run("certificate", progress, "kill", "--signal", "SIGHUP", "nginx")
    _wait_until_served(compose, wanted)
    rendering.nginx_has_read_it(site)
    return wanted


def renew(site: Site, *, force: bool) -> Certificate:
    """TLS=acme: fetch what is due at once, with `force` in any case, and wait until nginx serves it."""
    settings = configuration.settings(site)
    if settings.tls != "acme":
        raise TollgateError(
            f"TLS={settings.tls}: nothing is fetched", "docs/runbooks/certificate.md says who renews it"
        )
    compose = Compose.core(site, settings.compose_project_name)
    if not compose.rendered or not (site.rendered_dir / ACME).is_file():
        raise TollgateError("TLS=acme is not deployed yet", "run `make deploy`")
    fetched.now(compose, force=force)
    wanted = fetched.wanted(compose)
    _wait_until_served(compose, wanted)
    return wanted


def _wait_until_served(compose: Compose, wanted: Certificate) -> None:
    until = time.monotonic() + TAKES_AT_MOST_S
    while served(compose) != wanted.fingerprint:
        if time.monotonic() > until:
            hint = "nothing was cut; nginx says why it kept it"
            raise StepError("certificate", "nginx still serves the one before", hint, compose.tail("nginx"))
        time.sleep(0.5)
