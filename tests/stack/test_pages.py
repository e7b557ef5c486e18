"""The pages /usage and /console in a real browser on the running stack: their figures are those of `tenant usage`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from tests.stack.requests import message
from tests.support import plain
from tests.support.browser import Browser, a_window
from tests.support.clock import until_the_hour_has_left
from tests.support.eventually import eventually
from tests.support.stack import Stack

TENANT, REQUESTS = "watched", 10
SHOWN = "while (document.querySelector('#show').disabled) await new Promise((go) => setTimeout(go, 20));"
ENTER = "\ue007"
pytestmark = pytest.mark.usefixtures("gateway_processes")


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    yield from a_window()


@pytest.fixture(scope="module")
def spent(stack: Stack) -> dict[str, Decimal]:
    """USD of a tenant by window, when all of its requests are in the ledger."""
    until_the_hour_has_left(200)  # what is spent today is still today's when a page shows it
    before = booked(stack)[1]
    headers = {"Authorization": f"Bearer {stack.key(TENANT)}"}
    with plain.Client(base_url=stack.url, headers=headers, timeout=60, trust_env=False) as client:
        for number in range(REQUESTS):
            client.post("/v1/messages", json=message(f"Look at number {number}.")).raise_for_status()
    eventually(lambda: booked(stack)[1] == before + REQUESTS, within=90, every=1)
    return booked(stack)[0]


def booked(stack: Stack) -> tuple[dict[str, Decimal], int]:
    """USD by window, and the number of requests of the month."""
    found: dict[str, Any] = json.loads(stack.cli("tenant", "usage", TENANT, "--json").stdout, parse_float=Decimal)
    windows = {one["window"]: one for one in found["windows"]}
    return {name: one["spend_usd"] for name, one in windows.items()}, windows["this month"]["requests"]


def show(page: Browser, url: str, key: str) -> None:
    page.open(url)
    page.type("#key", key + ENTER)
    page.wait_for(SHOWN)
    assert page.sees("#figures"), page.text("#problem")


def usd(amount: Decimal) -> str:
    """As both pages write it: half a unit of the last digit is rounded up."""
    last = Decimal("0.0001") if 0 < amount < 1 else Decimal("0.01")
    return f"${amount.quantize(last, ROUND_HALF_UP):,}"


def test_a_team_reads_its_spend_and_the_lines_to_connect(
    stack: Stack, window: Browser, spent: dict[str, Decimal]
) -> None:
    show(window, f"{stack.url}/usage", stack.key(TENANT))
    money = window.text("#money")
    assert usd(spent["today"]) in money and usd(spent["this month"]) in money
    assert "of $1" in money and "of $20" in money
    assert usd(spent["today"]) in window.run("return document.querySelector('#days-table').textContent")
    assert "test-model" in window.text("#models")
    assert f"ANTHROPIC_BASE_URL={stack.url}" in window.text("#connect")
    assert window.complaints() == []


def test_twin_a_call_that_is_not_on_the_page_yet_is_missed(
    stack: Stack, window: Browser, spent: dict[str, Decimal]
) -> None:
    show(window, f"{stack.url}/usage", stack.key(TENANT))
    assert usd(spent["today"] + Decimal("0.01")) not in window.text("#money")


def test_an_open_page_outlives_a_restart_of_every_process(
    stack: Stack, window: Browser, spent: dict[str, Decimal]
) -> None:
    show(window, f"{stack.url}/usage", stack.key(TENANT))
    stack.docker("restart", *(row.id for row in stack.compose.containers() if row.service.startswith("gateway-")))
    window.run("document.querySelector('#money').replaceChildren()")

    def read_again() -> bool:
        window.run("document.querySelector('#refresh').click()")
        window.wait_for(SHOWN)
        return usd(spent["today"]) in window.text("#money") and not window.sees("#problem")

    eventually(read_again, within=60, every=1)
    assert [line for line in window.complaints() if "status of 50" not in line] == [], "nobody answered for a moment"


def test_the_operator_reads_what_runs_and_who_spends(stack: Stack, window: Browser, spent: dict[str, Decimal]) -> None:
    show(window, f"{stack.admin_url}/console", stack.secret("litellm_master_key"))
    servers = window.text("#servers")
    names = stack.replicas + [f"gateway-{number}" for number in range(1, stack.deployment.settings.gateways + 1)]
    assert [name for name in names if name not in servers] == []
    assert stack.key(TENANT) not in window.run("return document.documentElement.outerHTML")
    rows = window.run("return [...document.querySelectorAll('#tenants tr')].map((row) => row.textContent)")
    [row] = [row for row in rows if TENANT in row]
    assert usd(spent["this month"]) in row
    assert window.complaints() == []


def test_the_console_shows_the_rest_while_prometheus_is_away(
    stack: Stack, window: Browser, spent: dict[str, Decimal]
) -> None:
    prometheus = next(row.name for row in stack.compose.containers() if row.service == "prometheus")
    show(window, f"{stack.admin_url}/console", stack.secret("litellm_master_key"))
    assert "Alerts are not known" not in window.text("#alerts"), "twin: with Prometheus they are"

    def panels() -> list[str]:
        window.run("document.querySelector('#refresh').click()")
        window.wait_for(SHOWN)
        shown = "[...document.querySelectorAll('#now article, #charts article')].map((one) => one.innerText)"
        found: list[str] = window.run(f"return {shown}")
        return found

    stack.docker("stop", prometheus)
    try:
        # A process keeps the answers of the last scrape for its interval.
        eventually(lambda: all("Prometheus cannot be reached" in text for text in panels()), within=60, every=2)
        assert "Alerts are not known" in window.text("#alerts")
        assert "litellm-1" in window.text("#servers") and usd(spent["this month"]) in window.text("#tenants")
        assert not window.sees("#problem")
    finally:
        stack.docker("start", prometheus)
    eventually(lambda: not any("cannot be reached" in text for text in panels()), within=60, every=2)
    eventually(stack.ready, within=60)
