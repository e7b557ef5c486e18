"""LiteLLM deletes single requests from the ledger when they are older than the rendered retention."""

from __future__ import annotations

import uuid

import pytest

from tests.contract.litellm.gateway import Gateway
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker

INSERT = """
INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, api_key, spend, "startTime", "endTime")
VALUES (%s, 'acompletion', 'k', 1, now() - %s * interval '1 day', now() - %s * interval '1 day') RETURNING request_id
"""

# The daily sums of single requests. Usage and reports of past months read them.
DAY = """
INSERT INTO "LiteLLM_DailyTeamSpend" (id, team_id, date, api_key, spend, updated_at)
VALUES (%s, %s, to_char(now() - %s * interval '1 day', 'YYYY-MM-DD'), 'k', 1, now()) RETURNING id
"""


def test_only_requests_older_than_400_days_are_deleted(running: Gateway) -> None:
    mark = uuid.uuid4().hex
    for days in (0, 399, 401, 900):
        running.sql(INSERT, f"{mark}-{days}", days, days)
        running.sql(DAY, f"{mark}-{days}", mark, days)

    def left() -> set[str]:
        rows = running.sql('SELECT request_id FROM "LiteLLM_SpendLogs" WHERE request_id LIKE %s', f"{mark}-%")
        return {row[0].rpartition("-")[2] for row in rows}

    assert {"0", "399"} <= left(), "twin: they were written"
    eventually(lambda: not {"401", "900"} & left(), within=200, every=1)
    assert left() == {"0", "399"}
    days = running.sql('SELECT count(*) FROM "LiteLLM_DailyTeamSpend" WHERE team_id = %s', mark)
    assert days[0][0] == 4, "the sums of each day stay for ever"
