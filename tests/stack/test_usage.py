"""`tenant usage` and `tenant report` on the running stack: to the cent what the embedded provider counted."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.stack.requests import chat, message
from tests.support import plain
from tests.support.clock import until_the_hour_has_left
from tests.support.eventually import eventually
from tests.support.stack import Stack

TENANT = "bookkeeper"
# config/gateway.yaml, USD a token.
IN, OUT = Decimal("0.000001"), Decimal("0.000005")
CALLS = 9


def usage(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack.cli("tenant", "usage", TENANT, "--json").stdout, parse_float=Decimal)
    return found


def window(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["windows"] if one["window"] == name)


def spend(stack: Stack) -> Decimal:
    """Requests of both APIs over all replicas; what they cost by the tokens that the provider reported."""
    cost = Decimal(0)
    headers = {"Authorization": f"Bearer {stack.key(TENANT)}", "anthropic-version": "2023-06-01"}
    with plain.Client(base_url=stack.url, headers=headers, timeout=60, trust_env=False) as client:
        for number in range(CALLS):
            words = f"count me, number {number}"
            path, body = ("/v1/messages", message(words)) if number % 3 else ("/v1/chat/completions", chat(words))
            used = client.post(path, json=body).raise_for_status().json()["usage"]
            tokens_in = used["input_tokens"] if "input_tokens" in used else used["prompt_tokens"]
            tokens_out = used["output_tokens"] if "output_tokens" in used else used["completion_tokens"]
            cost += tokens_in * IN + tokens_out * OUT
    return cost


def check_usage_page(stack: Stack, found: dict[str, Any]) -> None:
    """With gateway processes the tenant reads the same figures through nginx. Otherwise nginx names the setting."""
    headers = {"Authorization": f"Bearer {stack.key(TENANT)}"}
    answer = plain.get(f"{stack.url}/gateway/usage", headers=headers, timeout=60, trust_env=False)
    page = plain.get(f"{stack.url}/usage", timeout=60, trust_env=False)
    if not stack.deployment.settings.gateways:
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "gateways_off")
        assert page.status_code == 404
        return
    told = answer.raise_for_status().json()
    spent = [Decimal(entry["spent"]) for entry in told["money"] if entry["scope"] == "tenant"]
    assert spent == [one["spend_usd"] for one in found["windows"]]
    assert "script-src 'self'" in page.raise_for_status().headers["content-security-policy"]


def test_what_was_sent_is_what_the_ledger_shows(stack: Stack, tmp_path: Path) -> None:
    until_the_hour_has_left(150)  # what is spent today is still today's when it is shown
    assert window(usage(stack), "this month")["requests"] == 0, "nobody else spends as this tenant"
    cost = spend(stack)

    def booked() -> dict[str, Any]:
        found = usage(stack)
        assert window(found, "this month")["requests"] == CALLS
        return found

    found = eventually(booked, within=90, every=1)
    for name in ("today", "this month"):
        assert window(found, name)["spend_usd"] == cost
    assert (window(found, "today")["limit_usd"], window(found, "this month")["limit_usd"]) == (1, 20)
    assert [(model["model"], model["spend_usd"]) for model in found["models"]] == [("test-model", cost)]
    assert [(key["key"], key["spend_usd"]) for key in found["keys"]] == [("default", cost)]
    check_usage_page(stack, found)

    rows = list(csv.DictReader(io.StringIO(stack.cli("tenant", "usage", TENANT, "--csv").stdout)))
    assert sum(Decimal(row["spend_usd"]) for row in rows) == cost and {row["key"] for row in rows} == {"default"}
    lines = json.loads(stack.cli("tenant", "usage", "--json").stdout, parse_float=Decimal)
    mine = next(line for line in lines if line["tenant"] == TENANT)
    assert window(mine, "this month")["spend_usd"] == cost

    shown = [stack.cli("tenant", "usage", TENANT).stdout, stack.cli("tenant", "usage").stdout]
    page = tmp_path / "report.html"
    stack.cli("tenant", "report", TENANT, "--html", str(page))
    shown += [stack.cli("tenant", "report", TENANT).stdout, page.read_text()]
    assert "Bookkeeper &amp; &lt;Sons&gt;" in page.read_text() and "<Sons>" not in page.read_text()
    for text in shown:
        assert TENANT in text and not [name for name, value in stack.secret_values().items() if value in text]


def test_a_name_that_is_nearly_right_and_a_month_without_anything(stack: Stack) -> None:
    wrong = stack.cli("tenant", "usage", "bookeeper", check=False)
    assert wrong.returncode == 1 and "did you mean bookkeeper?" in wrong.stderr
    empty = stack.cli("tenant", "report", TENANT, "--month", "2026-01").stdout
    assert "Nothing in the ledger for January 2026" in empty


def test_status_says_how_much_room_the_ledger_takes(stack: Stack) -> None:
    room = json.loads(stack.cli("status", "--json").stdout)["ledger"]
    assert room["bytes"] > 1_000_000 and room["log_rows"] >= CALLS
    assert "single requests logged, the oldest of " in stack.cli("status").stdout
