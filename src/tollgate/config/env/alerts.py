"""The settings in `.env` that say who hears of alerts: e-mail, Slack, and the address that the Watchdog calls.

A password and both addresses are secrets. An address of Slack or of a dead man's switch contains a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from tollgate.config.env.tls import mail_address
from tollgate.config.secret import Secret
from tollgate.config.validate import Input
from tollgate.errors import Mistake

# Never taken from the process environment, like provider keys.
SECRETS = ("ALERT_SMTP_PASSWORD", "ALERT_SLACK_URL", "ALERT_WATCHDOG_URL")
# Alertmanager encrypts a connection to this port from its first byte. On other ports it uses STARTTLS.
IMPLICIT_TLS_PORT = "465"
_SERVER = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?):([0-9]{1,5})")


def _addresses(value: str) -> str:
    return ",".join(mail_address(word) for word in filter(None, map(str.strip, value.split(","))))


def _server(value: str) -> str:
    parts = _SERVER.fullmatch(value)
    if value and not (parts and 0 < int(parts[2]) < 65536):
        shown = "***" if "@" in value else repr(value[:60])
        raise Mistake(f"expected HOST:PORT, found {shown}", "such as mail.example.com:587, without a scheme or a login")
    return value


def _user(value: str) -> str:
    if not value.isprintable() or len(value) > 254:
        raise Mistake("expected a user name on one line", "as the mail server knows it; empty: no login")
    return value


def _password(value: object) -> object:
    text = str(value)
    if not text.isprintable():
        raise Mistake("expected a password on one line, found ***", "quote it with ' if it contains # or spaces")
    return Secret(text)


def _secret_address(value: object) -> object:
    text = str(value)
    if text and not _is_address(text):
        raise Mistake("expected an https:// address, found ***", "paste the whole address; it counts as a secret")
    return Secret(text)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  reading it checks it
    except ValueError:
        return False
    odd = re.search(r"\s", text) or not text.isascii() or not text.isprintable()
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not odd


class AlertSettings(Input):
    """Empty settings mean that this way is not used. `alert_email_to` has addresses separated by commas."""

    model_config = ConfigDict(strict=False, alias_generator=str.upper)  # everything in .env is text

    alert_email_to: Annotated[str, AfterValidator(_addresses)] = ""
    alert_email_from: Annotated[str, AfterValidator(mail_address)] = ""
    alert_email_owners: Literal["on", "off"] = Field(
        default="on", description="off: the owner of a tenant gets no e-mail when the tenant reaches its soft_limit"
    )
    alert_smtp: Annotated[str, AfterValidator(_server)] = ""
    alert_smtp_tls: Literal["on", "off"] = Field(default="on", description="off sends e-mail in clear text")
    alert_smtp_user: Annotated[str, AfterValidator(_user)] = ""
    alert_smtp_password: Annotated[Secret, BeforeValidator(_password)] = Secret("")
    alert_slack_url: Annotated[Secret, BeforeValidator(_secret_address)] = Secret("")
    alert_watchdog_url: Annotated[Secret, BeforeValidator(_secret_address)] = Secret("")


def alert_problems(settings: AlertSettings) -> Iterator[tuple[str, str, str]]:
    """The problems of the settings together: the setting, what is wrong, and what to do."""
    mail = {
        "ALERT_EMAIL_TO": settings.alert_email_to,
        "ALERT_EMAIL_FROM": settings.alert_email_from,
        "ALERT_SMTP": settings.alert_smtp,
    }
    used = [name for name, value in mail.items() if value]
    for name, value in mail.items():
        if used and not value:
            yield used[0], f"expected {name} to be set too", "e-mail needs ALERT_EMAIL_TO, ALERT_EMAIL_FROM, ALERT_SMTP"
    password = bool(settings.alert_smtp_password)
    if password != bool(settings.alert_smtp_user):
        there, missing = ("PASSWORD", "USER") if password else ("USER", "PASSWORD")
        hint = "a login needs both; leave both empty if the server asks for none"
        yield f"ALERT_SMTP_{there}", f"expected ALERT_SMTP_{missing} to be set too", hint
    if settings.alert_smtp_tls == "off" and password:
        hint = "set ALERT_SMTP_TLS=on, or leave the login empty"
        yield "ALERT_SMTP_TLS", "off: the password would go to the mail server in clear text", hint
    if settings.alert_smtp_tls == "off" and settings.alert_smtp.endswith(f":{IMPLICIT_TLS_PORT}"):
        hint = "set ALERT_SMTP_TLS=on, or use the server's port for plain SMTP, often 25"
        yield "ALERT_SMTP_TLS", f"off: a connection to port {IMPLICIT_TLS_PORT} is always encrypted", hint
