"""The paid requests, as the provider, the clients and three tables of the ledger record them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from tests.chaos.load import MARK, WELL, Load
from tests.support.stack import Stack

TENANT = "contractor"
# How long rows may still come in after the last answer: LiteLLM writes every few seconds, and tries again after errors;
# a replica that is killed while it writes leaves a lock that others respect for a minute.
BOOKED_WITHIN_S = 100
# A line that was not lost rarely comes later than these seconds.
USUALLY_WITHIN_S = 25
# A test's requests cost some 0.00003 USD each: the whole difference has to be far below a cent to mean anything.
EXACT = Decimal("0.000001")

_LEDGER = f"""
SELECT json_build_object(
  'rows', (SELECT count(*) FROM "LiteLLM_SpendLogs" WHERE team_id = '{TENANT}' AND status = 'success'),
  'logs', (SELECT coalesce(sum(spend), 0)::numeric::text FROM "LiteLLM_SpendLogs" WHERE team_id = '{TENANT}'),
  'days', (SELECT coalesce(sum(spend), 0)::numeric::text FROM "LiteLLM_DailyTeamSpend" WHERE team_id = '{TENANT}'),
  'team', (SELECT spend::numeric::text FROM "LiteLLM_TeamTable" WHERE team_id = '{TENANT}'))
"""  # noqa: S608  a constant
_RECORDED = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/_recorded?limit=1000').read().decode())"
_FORGET = "import urllib.request as r; r.urlopen(r.Request('http://127.0.0.1:8080/_recorded', method='DELETE')).read()"


@dataclass(frozen=True)
class Books:
    """Calls, and USD by the lines of the ledger, by its daily sums (what `usage` shows) and by the tenant's own row."""

    rows: int
    logs: Decimal
    days: Decimal
    team: Decimal

    @property
    def agrees(self) -> bool:
        return max(abs(self.logs - self.days), abs(self.logs - self.team)) <= EXACT

    def since(self, before: Books) -> Books:
        return Books(self.rows - before.rows, self.logs - before.logs, self.days - before.days, self.team - before.team)


def container(stack: Stack, service: str) -> str:
    return next(row.name for row in stack.compose.containers() if row.service == service)


def psql(stack: Stack, *statements: str) -> str:
    each = [word for statement in statements for word in ("-c", statement)]
    return stack.docker("exec", container(stack, "postgres"), "psql", "-XqAt", "-U", "litellm", "-d", "litellm", *each)


def books(stack: Stack) -> Books:
    found = json.loads(psql(stack, _LEDGER))
    return Books(int(found["rows"]), *(Decimal(found[name]) for name in ("logs", "days", "team")))


def forget_recorded(stack: Stack) -> None:
    stack.python("provider", _FORGET)


def answered_by_provider(stack: Stack) -> int:
    """How many of the clients' calls the provider has answered to the end, since it forgot."""
    requests = json.loads(stack.python("provider", _RECORDED))["requests"]
    if len(requests) >= 1000:
        raise AssertionError("the provider keeps 1000 requests: the load is too heavy to be counted")
    return sum(
        1 for one in requests if one["status"] == 200 and one["ended"] == "complete" and MARK in json.dumps(one["body"])
    )


def answered_to_clients(load: Load) -> tuple[int, Decimal]:
    well = [one for one in load.asked if one.outcome == WELL]
    return len(well), sum((one.cost for one in well), Decimal(0))


def settled(read: Callable[[], Books], calls: int, cost: Decimal, excused: Callable[[Books], bool]) -> Books:
    """The books once they have everything, after a while all but what is `excused`, or what they have at the end."""
    began = time.monotonic()
    while True:
        try:
            found = read()
        except subprocess.CalledProcessError:
            found = None
        if found and found.rows >= calls and found.logs >= cost - EXACT and found.agrees:
            return found
        waited = time.monotonic() - began
        if found and waited > USUALLY_WITHIN_S and excused(found):
            return found
        if waited > BOOKED_WITHIN_S:
            if found is None:
                raise AssertionError(f"the ledger could not be read within {BOOKED_WITHIN_S} s")
            return found
        time.sleep(1)
