"""The Alertmanager that the stack runs, with rendered files, tells a mail server, Slack's webhook and a watchdog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.observability.alertmanager import Running, alertmanager, certificate
from tests.support import plain
from tests.support.eventually import eventually
from tests.support.receivers import MailServer, Posts, http_receiver, mail_server

pytestmark = pytest.mark.docker

PASSWORD = "a password of the mail server"
# Alertmanager waits 30 s for more alerts of the same kind before it sends.
WAIT_S = 60
PAGE = {"alertname": "RedisDown", "severity": "page"}
WATCHDOG = {"alertname": "Watchdog", "severity": "none"}
NEARS = {"alertname": "TenantNearsBudget", "severity": "ticket", "tenant": "acme", "owner": "lead@example.org"}


def settings(mail: MailServer, posts: Posts) -> dict[str, str]:
    return {
        "ALERT_EMAIL_TO": "ops@example.com,night@example.com",
        "ALERT_EMAIL_FROM": "tollgate@example.com",
        "ALERT_SMTP": f"127.0.0.1:{mail.port}",
        "ALERT_SMTP_USER": "tollgate",
        "ALERT_SMTP_PASSWORD": PASSWORD,
        "ALERT_SLACK_URL": f"{posts.url}/slack/token",
        "ALERT_WATCHDOG_URL": f"{posts.url}/watchdog/token",
    }


def lines(chosen: dict[str, str]) -> str:
    return "".join(f"{name}='{value}'\n" for name, value in chosen.items())


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running, Running]]:
    """Three Alertmanagers that got the same alerts at the same time, so that their waits pass together.

    The first has every way. The second tells Slack only. The third has a mail server that offers no encryption.
    """
    with ExitStack() as stack:
        homes = [tmp_path_factory.mktemp("alertmanager") for _ in range(3)]
        running = []
        for number, home in enumerate(homes):
            mail, clear = stack.enter_context(mail_server(certificate(home))), stack.enter_context(mail_server())
            posts = stack.enter_context(http_receiver())
            # The mail server's certificate is of a private CA.
            chosen = settings(mail, posts) | {"CA_BUNDLE": str(home / "ca.pem")}
            if number == 1:
                chosen = {"ALERT_SLACK_URL": chosen["ALERT_SLACK_URL"]}
            if number == 2:
                chosen |= {"ALERT_SMTP": f"127.0.0.1:{clear.port}"}
                del chosen["ALERT_SMTP_USER"], chosen["ALERT_SMTP_PASSWORD"], chosen["ALERT_SLACK_URL"]
            running.append(stack.enter_context(alertmanager(home, lines(chosen), mail, clear, posts)))
        for one in running:
            one.fire(PAGE, WATCHDOG, NEARS, NEARS | {"tenant": "beta", "owner": "a@example.org, b@example.org"})
        yield running[0], running[1], running[2]


def test_operators_get_an_e_mail_over_an_encrypted_connection(everything: tuple[Running, ...]) -> None:
    server = everything[0].mail
    [mail] = eventually(lambda: [m for m in server.mails if "RedisDown" in str(m.message["Subject"])], within=WAIT_S)
    assert (mail.encrypted, mail.login) == (True, ("tollgate", PASSWORD))
    assert (mail.sender, sorted(mail.recipients)) == ("tollgate@example.com", ["night@example.com", "ops@example.com"])
    assert "RedisDown was sent" in mail.text


def test_the_owner_of_a_tenant_gets_an_e_mail_and_nobody_else_does(everything: tuple[Running, ...]) -> None:
    """A label that is two addresses is no owner's: operators alone hear of that tenant."""
    server = everything[0].mail
    to_owner = eventually(lambda: [m for m in server.mails if m.recipients == ["lead@example.org"]], within=WAIT_S)
    assert [str(mail.message["Subject"]) for mail in to_owner] == ["TenantNearsBudget was sent"]
    eventually(lambda: [m for m in server.mails if "TenantNears" in m.text and len(m.recipients) == 2], within=WAIT_S)
    assert not [mail for mail in server.mails if {"a@example.org", "b@example.org"} & set(mail.recipients)]


def test_slack_gets_what_happened_and_why(everything: tuple[Running, ...]) -> None:
    for running in everything[:2]:
        sent = eventually(lambda: running.posts.to("/slack/token"), within=WAIT_S)  # noqa: B023  it ends before the next
        [attachment] = [a for body in sent for a in body["attachments"] if "RedisDown" in a["title"]]
        assert attachment["title"] == "FIRING: RedisDown (page)"
        assert "*RedisDown was sent*" in attachment["text"]


def test_only_the_watchdog_calls_the_watchdogs_address(everything: tuple[Running, ...]) -> None:
    eventually(lambda: everything[0].posts.to("/watchdog/token"), within=WAIT_S)
    calls = everything[0].posts.to("/watchdog/token")
    assert {alert["labels"]["alertname"] for call in calls for alert in call["alerts"]} == {"Watchdog"}


def test_twin_a_way_that_is_not_set_gets_nothing(everything: tuple[Running, ...]) -> None:
    """Slack has its message by now, so the others would have theirs."""
    slack_only = everything[1]
    eventually(lambda: slack_only.posts.to("/slack/token"), within=WAIT_S)
    assert {post.path for post in slack_only.posts.posts} == {"/slack/token"}
    assert (slack_only.mail.connections, slack_only.clear.connections) == (0, 0)


def test_twin_a_server_without_encryption_gets_no_e_mail(everything: tuple[Running, ...]) -> None:
    clear = everything[2].clear
    eventually(lambda: clear.connections, within=WAIT_S)
    eventually(lambda: "STARTTLS" in everything[2].log(), within=WAIT_S, every=1)
    assert clear.mails == []


def test_no_secret_is_in_what_docker_or_alertmanager_shows(everything: tuple[Running, ...]) -> None:
    running = everything[0]
    eventually(lambda: running.mail.mails and running.posts.to("/slack/token"), within=WAIT_S)
    shown = str(running.container.get_wrapped_container().attrs) + running.log()
    shown += plain.get(f"{running.url}/api/v2/status", timeout=10).text
    assert "alertmanager_smtp_password" in shown
    assert [secret for secret in (PASSWORD, "slack/token", "watchdog/token") if secret in shown] == []
