"""What is rendered of a certificate: its port for Compose where TLS is on, and its end as a metric always."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tollgate.config.certificate import Certificate
from tollgate.render.output import Rendered

# node-exporter reads it as a text file: what nginx serves changes only with a deploy or a reload of ours, which write
# this as well, so nothing has to ask nginx for it.
METRICS = """# HELP tollgate_tls_enabled Whether clients are served over TLS.
# TYPE tollgate_tls_enabled gauge
tollgate_tls_enabled {enabled}
"""
ENDS = """# HELP tollgate_certificate_expiry_timestamp_seconds When the certificate that nginx was given ends.
# TYPE tollgate_certificate_expiry_timestamp_seconds gauge
tollgate_certificate_expiry_timestamp_seconds {ends}
"""


def render_tls(root: Path, certificate: Certificate | None) -> list[Rendered]:
    if certificate is None:
        return []
    return [Rendered(PurePosixPath("compose/tls.yaml"), (root / "compose" / "tls.yaml").read_text())]


def metric(certificate: Certificate | None) -> Rendered:
    """Apart from the rest: others leave files in the same directory, which a render must not take for its own."""
    text = METRICS.format(enabled=int(certificate is not None))
    if certificate is not None:
        text += ENDS.format(ends=int(certificate.not_after.timestamp()))
    return Rendered(PurePosixPath("metrics/certificate.prom"), text)
