"""Every query of every dashboard, asked of the stack's own Prometheus after traffic on both routes, returns data.

The panels of Loki are not among them: its image exists in registries only. tests/contract/observability checks what
single panels show for known series.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.stack.requests import message
from tests.support import plain
from tests.support.eventually import eventually
from tests.support.panels import asked_of_prometheus, empty
from tests.support.routes import DIRECT, ROUTES
from tests.support.stack import Stack
from tests.support.traffic import Traffic

pytestmark = pytest.mark.skipif(DIRECT not in ROUTES, reason="most panels show gateway processes")

ALLOY = "Alloy counts nginx's lines, and its image exists in registries only"
QUIET = "nothing of this kind happens here, and the series begins with the first event"
NO_BACKUP = "the test of backups may not have run before, and without a backup there is no age"
# Panels that may be empty, and why.
MAY_BE_EMPTY = {
    "Overview: What nginx answered, by status": ALLOY,
    "Overview: The certificate ends in": "this stack may have no TLS, and then there is no certificate",
    "Overview: Age of the last backup": NO_BACKUP,
    "Overview: Age of the last base backup": NO_BACKUP,
    "Logs: Lines that Alloy dropped": ALLOY,
    "Models and providers: Fallbacks": QUIET,
    "Models and providers: Answers that broke off": QUIET,
    "Models and providers: LiteLLM: failures by provider": QUIET,
    "Models and providers: LiteLLM: fallbacks": QUIET,
    "Models and providers: LiteLLM: cached share by model": "LiteLLM counts cached tokens only where there are some",
    "Tenant: Month's budget a week from now, at this pace": "a budget may not grow within minutes",
    "Tenant: Spend in an hour": "it compares with an hour ago",
}
RULES = "Long rules of the house. " * 400
CACHED: dict[str, Any] = {"type": "text", "text": RULES, "cache_control": {"type": "ephemeral"}}
# The embedded provider has read from its cache what stands before an answer of its own.
TALK = [
    {"role": "user", "content": "Say hello."},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Say it again."},
]


@pytest.fixture(scope="module")
def traffic(stack: Stack) -> Iterator[None]:
    """Both routes; a tenant with budgets of a day and of a month; a cached prompt; a refusal; a failing target."""
    # Rates need two scrapes, of which one comes before the first event.
    with Traffic(stack.url, stack.key("contractor"), clients=8).running() as running:
        with plain.Client(base_url=stack.url, timeout=60, trust_env=False) as client:
            for tenant, body, status in (
                ("watched", message(), 200),
                ("contractor", message(system=[CACHED]), 200),
                ("contractor", message(system=[CACHED], messages=TALK), 200),
                ("contractor", message(model="nobody-has-this"), 403),
                ("contractor", message("[[status=529]] Fail."), 529),
            ):
                answer = client.post(
                    "/v1/messages", json=body, headers={"Authorization": f"Bearer {stack.key(tenant)}"}
                )
                assert answer.status_code == status, answer.text[:300]
        yield
    assert running.failures == []


def test_every_query_of_every_panel_returns_data(stack: Stack, traffic: None) -> None:
    def nothing_is_empty() -> bool:
        """every query returns data"""
        missing = empty(stack.prometheus_url, list(asked_of_prometheus()), MAY_BE_EMPTY)
        assert missing == [], missing
        return True

    # Recorded series are computed once a minute, over five; the ledger is read every 30 s.
    eventually(nothing_is_empty, within=300, every=10)


def test_twin_a_misspelt_metric_is_found(stack: Stack, traffic: None) -> None:
    [asked] = [one for one in asked_of_prometheus() if one.panel == "Overview: Requests by outcome"]
    misspelt = replace(asked, expr=asked.expr.replace("_outcomes_total", "_outcomez_total"))
    assert misspelt.expr != asked.expr
    assert empty(stack.prometheus_url, [asked], MAY_BE_EMPTY) == []
    assert empty(stack.prometheus_url, [misspelt], MAY_BE_EMPTY) == [asked.name]


def test_the_list_of_panels_that_may_be_empty_names_panels_that_exist() -> None:
    assert MAY_BE_EMPTY.keys() <= {one.panel for one in asked_of_prometheus()}
    assert all(len(reason) > 20 for reason in MAY_BE_EMPTY.values())
