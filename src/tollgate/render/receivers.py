"""The receivers of alerts, as the values of Alertmanager's template. Alertmanager reads the secrets from files."""

from __future__ import annotations

from dataclasses import dataclass

from tollgate.config.env.alerts import IMPLICIT_TLS_PORT, AlertSettings


@dataclass(frozen=True)
class Email:
    """`to` has addresses separated by commas, `server` is HOST:PORT. An empty `user` means that nobody logs in.

    `starttls`: a server without STARTTLS gets no e-mail. Port 465 is encrypted from the first byte and has none.
    """

    to: str
    sender: str
    server: str
    user: str
    starttls: bool
    owners: bool


@dataclass(frozen=True)
class Receivers:
    """The ways that are set up. `webhook` is the address in secrets/alertmanager_webhook_url."""

    webhook: bool = False
    slack: bool = False
    watchdog: bool = False
    email: Email | None = None

    @classmethod
    def of(cls, settings: AlertSettings, *, webhook: bool) -> Receivers:
        return cls(webhook, bool(settings.alert_slack_url), bool(settings.alert_watchdog_url), _email(settings))

    @property
    def names(self) -> tuple[str, ...]:
        """The ways by which operators hear of alerts, in plain words."""
        ways = {"e-mail": self.email, "Slack": self.slack, "the webhook": self.webhook}
        return tuple(name for name, used in ways.items() if used)


def _email(settings: AlertSettings) -> Email | None:
    if not settings.alert_email_to:
        return None
    return Email(
        to=settings.alert_email_to,
        sender=settings.alert_email_from,
        server=settings.alert_smtp,
        user=settings.alert_smtp_user,
        starttls=settings.alert_smtp_tls == "on" and not settings.alert_smtp.endswith(f":{IMPLICIT_TLS_PORT}"),
        owners=settings.alert_email_owners == "on",
    )
