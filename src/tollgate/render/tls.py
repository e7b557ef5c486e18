"""What is rendered of TLS: ports for Compose, who fetches certificates, and the end of what is served as a metric."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tollgate.config.certificate import Certificate
from tollgate.config.env import Settings
from tollgate.render.output import Rendered, fill

# node-exporter reads it as a text file: what nginx serves changes only with a deploy or a reload of ours, which write
# this as well, so nothing has to ask nginx for it. With TLS=acme who fetches the certificate tells its end (acme.sh).
METRICS = """# HELP tollgate_tls_enabled Whether clients are served over TLS.
# TYPE tollgate_tls_enabled gauge
tollgate_tls_enabled {enabled}
"""
ENDS = """# HELP tollgate_certificate_expiry_timestamp_seconds When the certificate that nginx was given ends.
# TYPE tollgate_certificate_expiry_timestamp_seconds gauge
tollgate_certificate_expiry_timestamp_seconds {ends}
"""


def render_tls(root: Path, settings: Settings, certificate: Certificate | None, authorities: str) -> list[Rendered]:
    """`authorities`: what ACME_CA_BUNDLE names, as PEM; empty where the ACME server is a public one."""
    if certificate is None:
        return []
    files = [Rendered(PurePosixPath("compose/tls.yaml"), (root / "compose" / "tls.yaml").read_text())]
    if settings.tls != "acme":
        return files
    text = fill(
        root / "compose" / "acme.yaml.j2",
        names=" ".join(settings.host_names),
        email=settings.acme_email,
        directory=settings.acme_directory,
        authorities=bool(authorities),
        proxy=settings.egress_proxy,
    )
    files.append(Rendered(PurePosixPath("compose/acme.yaml"), text))
    return [*files, *([Rendered(PurePosixPath("acme/ca.crt"), authorities)] if authorities else [])]


def metric(settings: Settings, certificate: Certificate | None) -> Rendered:
    """Apart from the rest: others leave files in the same directory, which a render must not take for its own."""
    text = METRICS.format(enabled=int(certificate is not None))
    if certificate is not None and settings.tls != "acme":
        text += ENDS.format(ends=int(certificate.not_after.timestamp()))
    return Rendered(PurePosixPath("metrics/certificate.prom"), text)
