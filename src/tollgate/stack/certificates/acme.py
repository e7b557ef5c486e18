"""Asks the acme service (TLS=acme): its certificate, why an attempt failed, and a new attempt now."""

from __future__ import annotations

from tollgate.config.env import certificate
from tollgate.config.env.certificate import Certificate
from tollgate.errors import StepError, TollgateError
from tollgate.stack.containers.compose import Compose
from tollgate.stack.host.docker import docker

SERVICE = "acme"
# For a minute or two lego asks the ACME server whether it has seen the challenge.
TAKES_AT_MOST_S = 300
RUNBOOK = "docs/runbooks/certificate.md"


def chain(compose: Compose) -> Certificate | None:
    """The certificate that nginx got last, without its key; None before the first one."""
    text = _ask(compose, "chain")
    return certificate.fetched(text) if text.strip() else None


def why_not(compose: Compose) -> str:
    """Why the last attempt failed; empty if it did not fail."""
    return _ask(compose, "why").strip()


def wanted(compose: Compose) -> Certificate:
    """The certificate that nginx got last. Raises TollgateError with the reason if none was fetched yet."""
    fetched = chain(compose)
    if fetched is None:
        reason = why_not(compose) or "the first attempt still runs"
        hint = f"see {RUNBOOK}; until then clients see a self-signed certificate"
        raise TollgateError(f"no certificate was fetched yet: {reason}", hint)
    return fetched


def state(compose: Compose) -> str:
    """One line for the end of a deploy; empty if a certificate was fetched."""
    try:
        wanted(compose)
    except TollgateError as error:
        return f"{error.message}; `tollgate certificate show` shows whether it has arrived"
    return ""


def now(compose: Compose, *, force: bool) -> None:
    """Fetch a certificate now if one is due, or in any case with `force`. Raises StepError with the reason."""
    command = compose.argv("exec", "-T", SERVICE, "acme", "now", *(["--force"] if force else []))
    try:
        docker(command, env=compose.environment, timeout=TAKES_AT_MOST_S, what="the certificate's service (acme)")
    except TollgateError as error:
        reason = why_not(compose) or error.message
        raise StepError("certificate", reason, f"nginx keeps the certificate that it has; see {RUNBOOK}") from None


def _ask(compose: Compose, word: str) -> str:
    what = "the certificate's service (acme)"
    return docker(compose.argv("exec", "-T", SERVICE, "acme", word), env=compose.environment, what=what)
