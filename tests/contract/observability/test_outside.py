"""Alertmanager reaches receivers outside by CA_BUNDLE and EGRESS_PROXY, as the replicas reach providers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.contract.observability.alertmanager import OUTSIDE, Running, alertmanager, certificate
from tests.support.connect_proxy import Proxy, connect_proxy
from tests.support.eventually import eventually
from tests.support.receivers import http_receiver, mail_server

pytestmark = pytest.mark.docker

# Alertmanager waits 30 s for more alerts of the same kind before it sends.
WAIT_S = 90
PAGE = {"alertname": "RedisDown", "severity": "page"}
CASES = {
    "both": ("CA_BUNDLE", "EGRESS_PROXY"),
    "no authority": ("EGRESS_PROXY",),
    "no proxy": ("CA_BUNDLE",),
}


@dataclass
class Reached:
    running: Running
    proxy: Proxy
    port: int
    """Of Slack's receiver, behind the proxy as OUTSIDE."""


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Reached]]:
    """One Alertmanager for each case, told of the same alert at the same time. Slack and mail have a private CA."""
    with ExitStack() as stack:
        found = {}
        for case, given in CASES.items():
            home = tmp_path_factory.mktemp("outside")
            tls = certificate(home)
            mail, posts = stack.enter_context(mail_server(tls)), stack.enter_context(http_receiver(tls))
            proxy = stack.enter_context(connect_proxy())
            port = int(posts.url.rpartition(":")[2])
            values = {
                "ALERT_EMAIL_TO": "ops@example.com",
                "ALERT_EMAIL_FROM": "tollgate@example.com",
                "ALERT_SMTP": f"127.0.0.1:{mail.port}",
                "ALERT_SLACK_URL": f"https://{OUTSIDE}:{port}/slack/token",
            }
            optional = {"CA_BUNDLE": str(home / "ca.pem"), "EGRESS_PROXY": proxy.url}
            values |= {name: optional[name] for name in given}
            env = "".join(f"{name}='{value}'\n" for name, value in values.items())
            found[case] = Reached(stack.enter_context(alertmanager(home, env, mail, mail, posts)), proxy, port)
        for each in found.values():
            each.running.fire(PAGE)
        yield found


def test_slack_is_told_through_the_proxy_under_a_private_authority(reached: dict[str, Reached]) -> None:
    both = reached["both"]
    [body] = eventually(lambda: both.running.posts.to("/slack/token"), within=WAIT_S)
    assert "RedisDown" in str(body)
    assert set(both.proxy.asked) == {f"{OUTSIDE}:{both.port}"}


def test_the_mail_server_is_reached_directly_under_a_private_authority(reached: dict[str, Reached]) -> None:
    for case in ("both", "no proxy"):
        [mail] = eventually(lambda: reached[case].running.mail.mails, within=WAIT_S)  # noqa: B023  it ends before the next
        assert mail.encrypted


def test_twin_without_the_authority_nothing_is_sent(reached: dict[str, Reached]) -> None:
    case = reached["no authority"]
    eventually(lambda: "certificate signed by unknown authority" in case.running.log(), within=WAIT_S, every=1)
    eventually(lambda: case.running.mail.connections, within=WAIT_S)
    assert case.proxy.asked, "the proxy is asked, and what answers behind it is not trusted"
    assert (case.running.posts.posts, case.running.mail.mails) == ([], [])


def test_twin_without_the_proxy_the_name_leads_nowhere(reached: dict[str, Reached]) -> None:
    case = reached["no proxy"]
    eventually(lambda: f"lookup {OUTSIDE}" in case.running.log(), within=WAIT_S, every=1)
    assert (case.proxy.asked, case.running.posts.posts) == ([], [])
