"""The ledger's single requests do not stay for ever: LiteLLM deletes what is older than the rendered retention."""

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


def test_what_is_older_than_400_days_is_deleted_and_nothing_else(running: Gateway) -> None:
    mark = uuid.uuid4().hex
    for days in (0, 399, 401, 900):
        running.sql(INSERT, f"{mark}-{days}", days, days)

    def left() -> set[str]:
        found = running.sql('SELECT request_id FROM "LiteLLM_SpendLogs" WHERE request_id LIKE %s', f"{mark}-%")
        return {row[0].rpartition("-")[2] for row in found}

    assert {"0", "399"} <= left(), "twin: they were written"
    eventually(lambda: not {"401", "900"} & left(), within=120, every=1)
    assert left() == {"0", "399"}
