"""A tenant's key never reads another's anything, whatever route it asks a replica for, past nginx as on 4001.

nginx has none of these routes on its public port (tests/contract/nginx/test_routes.py); here the keys themselves hold.
"""

from __future__ import annotations

import httpx
import pytest

from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.tenants import Tenants, key_of, wanted
from tests.support import plain
from tests.support.eventually import eventually
from tollgate.reconcile.desired import key_hash

pytestmark = pytest.mark.docker

# Texts that are only in the other tenant's rows.
MARK, OWNER, LABEL = "the words nobody else wrote", "lead@beta.example", "centre-4711-of-beta"
BETA = (
    f"tenant: {{id: beta, owner: {OWNER}}}\nallowed_models: [test-model, dead-model]\nmetadata: {{centre: {LABEL}}}\n"
)
ACME = "tenant: {id: acme}\nallowed_models: [test-model]"

READ = [
    "/key/info?key={key}",
    "/v2/key/info",
    "/key/list",
    "/key/list?team_id=beta&return_full_object=true",
    "/key/aliases",
    "/team/info?team_id=beta",
    "/team/list",
    "/v2/team/list",
    "/team/available",
    "/team/daily/activity?team_ids=beta",
    "/team/beta/callback",
    "/team/permissions_list?team_id=beta",
    "/user/info",
    "/user/info?user_id=default_user_id",
    "/user/list",
    "/user/daily/activity",
    "/user/get_users",
    "/organization/list",
    "/organization/info?organization_id=beta",
    "/customer/list",
    "/customer/info?end_user_id=beta",
    "/budget/list",
    "/tag/list",
    "/spend/logs",
    "/spend/logs?api_key={key}",
    "/spend/logs?request_id={request}",
    "/spend/logs/v2?team_id=beta",
    "/spend/logs/ui?team_id=beta&start_date=2020-01-01&end_date=2100-01-01",
    "/spend/logs/ui/{request}?start_date=2020-01-01",
    "/spend/keys",
    "/spend/users",
    "/spend/tags",
    "/global/spend",
    "/global/spend/keys",
    "/global/spend/teams",
    "/global/spend/logs",
    "/global/spend/report?start_date=2020-01-01&end_date=2100-01-01",
    "/global/activity?start_date=2020-01-01&end_date=2100-01-01",
    "/model/info",
    "/v1/model/info",
    "/v2/model/info",
    "/model_group/info",
    "/models/dead-model",
    "/v1/models/dead-model",
    "/v1/models?team_id=beta",
    "/v1/models?return_wildcard_routes=true&include_metadata=true",
    "/v1/responses/{request}",
    "/v1/responses/{request}/input_items",
    "/v1/files",
    "/v1/files/{request}",
    "/v1/files/{request}/content",
    "/v1/batches",
    "/v1/batches/{request}",
    "/v1/messages/batches/{request}",
    "/v1/fine_tuning/jobs",
    "/v1/assistants",
    "/v1/threads/{request}",
    "/v1/vector_stores",
    "/v1/containers",
    "/v1/mcp/server",
    "/credentials",
    "/config/yaml",
    "/get/config/callbacks",
    "/audit",
    "/health/history",
    "/health/latest",
    "/cache/ping",
    "/cache/redis/info",
    "/debug/memory/summary",
    "/in_product_nudges",
    "/active/callbacks",
    "/prompts/list",
    "/guardrails/list",
    "/anthropic/v1/models",
    "/openai/v1/models",
]
OWN = {"/v1/models?team_id=beta", "/v1/models?return_wildcard_routes=true&include_metadata=true"}
WRITE = {
    "/key/update": {"key": "{key}", "max_budget": 1000},
    "/key/block": {"key": "{key}"},
    "/key/delete": {"keys": ["{key}"]},
    "/key/{key}/regenerate": {},
    "/key/generate": {"team_id": "beta"},
    "/team/update": {"team_id": "beta", "max_budget": 1000},
    "/team/delete": {"team_ids": ["beta"]},
    "/team/member_add": {"team_id": "beta", "member": {"role": "admin", "user_id": "me"}},
    "/user/new": {"user_role": "proxy_admin"},
    "/model/new": {"model_name": "x", "litellm_params": {"model": "openai/x"}},
    "/config/update": {},
    "/cache/flushall": {},
    "/v1/responses/{request}/cancel": {},
    "/v1/batches/{request}/cancel": {},
}


@pytest.fixture
def seen(tenants: Tenants, gateway: Gateway) -> dict[str, str]:
    """Two tenants. The values are the other one's: its key's hash and the id of its request."""
    tenants.apply(wanted(ACME, BETA))
    assert gateway.ask(key_of("beta"), text=MARK).status_code == 200
    query = 'SELECT request_id FROM "LiteLLM_SpendLogs" WHERE team_id = \'beta\' ORDER BY "startTime" DESC LIMIT 1'
    ((request,),) = eventually(lambda: gateway.sql(query), within=60, every=0.5)
    return {"key": key_hash(key_of("beta")), "request": str(request)}


def told(answer: httpx.Response, asked: str, seen: dict[str, str]) -> list[str]:
    """The other tenant's values that are in the answer but not in the request."""
    theirs = (MARK, OWNER, LABEL, *seen.values(), "beta", "dead-model")
    return [word for word in theirs if word in answer.text and word not in asked]


def test_a_tenants_key_cannot_read_another_tenants_data(gateway: Gateway, seen: dict[str, str]) -> None:
    answered = {}
    for path in READ:
        asked = path.format(**seen)
        answer = gateway.get(key_of("acme"), asked)
        assert told(answer, asked, seen) == [], asked
        if answer.is_success:
            answered[path] = answer.text[:200]
    # Its own list of models, whosever it asks for; and below /health, which nginx shows nobody, on 4001 either.
    assert {path for path in answered if not path.startswith("/health/")} <= OWN, answered


def test_a_tenants_key_cannot_change_another_tenants_data(gateway: Gateway, seen: dict[str, str]) -> None:
    # A replica writes the spend of the other tenant's own request seconds later. That is not a change by this key.
    rows = "SELECT to_jsonb(t) - '{{spend,total_spend,updated_at,last_active}}'::text[] FROM \"{}\" t ORDER BY 1"
    tables = ("LiteLLM_TeamTable", "LiteLLM_VerificationToken", "LiteLLM_UserTable", "LiteLLM_ProxyModelTable")
    before = [gateway.sql(rows.format(table)) for table in tables]
    for path, body in WRITE.items():
        sent = {name: value.format(**seen) if isinstance(value, str) else value for name, value in body.items()}
        if "keys" in sent:
            sent["keys"] = [seen["key"]]
        url = gateway.url + path.format(**seen)
        answer = plain.post(url, json=sent, headers={"x-api-key": key_of("acme").reveal()}, timeout=60)
        assert answer.status_code in (401, 403, 404), (path, answer.status_code, answer.text[:200])
    assert [gateway.sql(rows.format(table)) for table in tables] == before


def test_twin_the_master_key_can_read_it(gateway: Gateway, seen: dict[str, str]) -> None:
    """Without data on these routes, the test above could not fail."""
    read = {
        path: gateway.get(gateway.master_key, path.format(**seen)) for path in (*READ[:8], "/spend/logs?api_key={key}")
    }
    telling = [path for path, answer in read.items() if told(answer, path.format(**seen), seen)]
    assert len(telling) >= 4, {path: answer.status_code for path, answer in read.items()}
