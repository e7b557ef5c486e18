"""A key that is blocked, deleted, expired or renewed, and a budget that both routes spend."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.contract.direct.asking import ask, rows, spent
from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.tenants import Tenants, key_of, wanted
from tests.support.eventually import eventually
from tollgate.reconcile.desired import key_hash

pytestmark = pytest.mark.docker

EXPIRE = "UPDATE \"LiteLLM_VerificationToken\" SET expires = now() AT TIME ZONE 'utc' WHERE token = %s RETURNING token"


@pytest.mark.parametrize(
    ("how", "words"),
    [("block", "was revoked"), ("delete", "does not know this key"), ("expire", "expired on")],
)
def test_a_key_that_is_closed_is_refused_at_once(running: Gateway, tenants: Tenants, how: str, words: str) -> None:
    tenants.apply(wanted("tenant: {id: acme}"))
    key = key_of("acme")
    assert {ask(running, key, process=process).status_code for process in (0, 1)} == {200}
    if how == "block":
        running.client.update_key(key_hash(key), {"blocked": True})
    elif how == "delete":
        running.client.delete_key(key_hash(key))
    else:
        assert running.sql(EXPIRE, key_hash(key))

    def refused() -> bool:
        answers = [ask(running, key, process=process) for process in (0, 1)]
        return all(answer.status_code == 401 and words in answer.json()["error"]["message"] for answer in answers)

    eventually(refused, within=20)


def test_a_suspended_tenant_is_refused_at_once_and_resumed(running: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted("tenant: {id: beta}"))
    key = key_of("beta")
    assert ask(running, key).status_code == 200
    for blocked, status in ((True, 401), (False, 200)):
        running.sql("UPDATE \"LiteLLM_TeamTable\" SET blocked = %s WHERE team_id = 'beta' RETURNING team_id", blocked)
        eventually(lambda status=status: ask(running, key).status_code == status, within=20)  # type: ignore[misc]


def test_a_tenant_that_is_created_again_begins_at_zero(running: Gateway, tenants: Tenants) -> None:
    file = "tenant: {id: again}\nbudget: {daily_limit: 0.0001}\nrate_limits: {requests_per_hour: 50}"
    tenants.apply(wanted(file))
    key = key_of("again")
    eventually(lambda: ask(running, key).status_code == 429, within=20)
    eventually(lambda: spent(running, key)["days"] > Decimal("0.0001"), within=60)
    tenants.apply(wanted(), allow_delete=True)
    eventually(lambda: ask(running, key).status_code == 401, within=20)
    tenants.apply(wanted(file))
    # One answer spends its whole budget again.
    assert ask(running, key).status_code == 200


def test_both_routes_spend_one_budget(running: Gateway, tenants: Tenants) -> None:
    """The budget is spent through LiteLLM; then the direct route refuses, though it counted nothing itself."""
    tenants.apply(wanted("tenant: {id: mixed, owner: lead@example.org}\nbudget: {daily_limit: 0.0005}"))
    key = key_of("mixed")
    eventually(lambda: running.ask(key).status_code == 429, within=60, every=0.1)
    eventually(lambda: sum(row[3] for row in rows(running, key)) >= Decimal("0.0005"), within=60)
    answer = ask(running, key)
    assert answer.status_code == 429 and answer.json()["error"]["type"] == "billing_error"
