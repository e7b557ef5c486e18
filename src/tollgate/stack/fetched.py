"""The certificate of TLS=acme: what the acme service has fetched, why it has not, and a try at once."""

from __future__ import annotations

from tollgate.config import certificate
from tollgate.config.certificate import Certificate
from tollgate.errors import StepError, TollgateError
from tollgate.stack.compose import Compose
from tollgate.stack.docker import docker

SERVICE = "acme"
# The ACME server is asked for a minute or two whether it has seen the challenge.
TAKES_AT_MOST_S = 300
RUNBOOK = "docs/runbooks/certificate.md"


def chain(compose: Compose) -> Certificate | None:
    """What nginx was given last; None before the first one. The key stays where it is."""
    text = _ask(compose, "chain")
    return certificate.fetched(text) if text.strip() else None


def why_not(compose: Compose) -> str:
    """Why the last try failed; empty where it did not."""
    return _ask(compose, "why").strip()


def wanted(compose: Compose) -> Certificate:
    """The same, or TollgateError saying why there is none."""
    found = chain(compose)
    if found is None:
        reason = why_not(compose) or "it is being asked for"
        raise TollgateError(f"no certificate was fetched yet: {reason}", f"{RUNBOOK}; clients see a self-signed one")
    return found


def state(compose: Compose) -> str:
    """One line for whoever deploys; empty where there is nothing to say."""
    try:
        wanted(compose)
    except TollgateError as error:
        return f"{error.message}; `tollgate certificate show` tells when it is there"
    return ""


def now(compose: Compose, *, force: bool) -> None:
    """Have it look at once: fetch what is due, or with `force` in any case; StepError with the reason."""
    command = compose.argv("exec", "-T", SERVICE, "acme", "now", *(["--force"] if force else []))
    try:
        docker(command, env=compose.environment, timeout=TAKES_AT_MOST_S, what="the certificate's service (acme)")
    except TollgateError as error:
        reason = why_not(compose) or error.message
        raise StepError("certificate", reason, f"nginx goes on with the one before; {RUNBOOK}") from None


def _ask(compose: Compose, word: str) -> str:
    what = "the certificate's service (acme)"
    return docker(compose.argv("exec", "-T", SERVICE, "acme", word), env=compose.environment, what=what)
