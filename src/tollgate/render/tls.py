"""Renders the TLS files: ports for Compose, the service that fetches certificates, the expiry as a metric."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tollgate.config.env.certificate import Certificate
from tollgate.config.env.settings import Settings
from tollgate.render.output import Rendered, fill

# node-exporter reads this text file. The served certificate changes only with a deploy or our reload command, and both
# write this file, so nothing has to ask nginx. With TLS=acme the acme service writes the expiry (acme.sh).
METRICS = """# HELP tollgate_tls_enabled Whether clients are served over TLS.
# TYPE tollgate_tls_enabled gauge
tollgate_tls_enabled {enabled}
"""
ENDS = """# HELP tollgate_certificate_expiry_timestamp_seconds When the certificate that nginx was given ends.
# TYPE tollgate_certificate_expiry_timestamp_seconds gauge
tollgate_certificate_expiry_timestamp_seconds {ends}
"""


def render_tls(root: Path, settings: Settings, certificate: Certificate | None, authorities: str) -> list[Rendered]:
    """`authorities` is the PEM text of ACME_CA_BUNDLE, empty for a public ACME server."""
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
    """Rendered separately, because other commands write into the same directory, and a render must not remove those."""
    text = METRICS.format(enabled=int(certificate is not None))
    if certificate is not None and settings.tls != "acme":
        text += ENDS.format(ends=int(certificate.not_after.timestamp()))
    return Rendered(PurePosixPath("metrics/certificate.prom"), text)
