"""One real request as a tenant would send it, through nginx: what makes `deploy` and `doctor` say that it works."""

from __future__ import annotations

import re
import time

import httpx

from tollgate.config.secret import Secret
from tollgate.config.tenants import Tenant
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.compose import Compose
from tollgate.stack.configuration import Configuration
from tollgate.stack.masking import mask
from tollgate.stack.tenants import key_of

# Served by the embedded provider: free, and there without any provider key.
MODEL = "test-model"
# A replica that has just become healthy may still load; a client would retry as well.
TRIES, TIMEOUT_S = 5, 30.0
# A busy tenant's deploy must not fail because the tenant is busy. What an upstream's limits sound like is not here.
OWN_LIMIT = re.compile(r"billing_error|has used its [\d,]+ (request|token)|Too many requests at once")


def example_tenant(configuration: Configuration) -> Tenant | None:
    """The tenant to try with: one that may use the test model, `example` before others; None where there is none."""
    able = [tenant for tenant in configuration.tenants if may_use(tenant, MODEL)]
    return min(able, key=lambda tenant: (tenant.id != "example", tenant.id), default=None)


def may_use(tenant: Tenant, model: str) -> bool:
    """A tenant without `allowed_models` may use every model, a suspended one none."""
    return not tenant.suspended and (tenant.models is None or model in tenant.models)


def send(site: Site, compose: Compose, configuration: Configuration) -> str:
    """Send it and say what came back. TollgateError with the gateway's own words when it was refused."""
    tenant = example_tenant(configuration)
    if tenant is None:
        return f"skipped: no tenant may use {MODEL}"
    key = key_of(site, tenant)
    if key is None:
        raise TollgateError(f"tenant {tenant.id} has no key yet", "run `make deploy`, which makes it")
    host, port = compose.address("nginx", 4000)
    hint = "`make doctor` looks at each part; `make logs S=nginx` and `make logs S=litellm-1` tell more"
    return ask(f"http://{host}:{port}", key, f"tenant {tenant.id}", hint)


def ask(url: str, key: Secret, who: str, hint: str, *, model: str = MODEL, timeout: float = TIMEOUT_S) -> str:
    """POST /v1/messages as a client does, a few times where that may help; what came back, for a person."""
    body = {"model": model, "max_tokens": 32, "messages": [{"role": "user", "content": "Say hello."}]}
    headers = {"Authorization": f"Bearer {key.reveal()}", "anthropic-version": "2023-06-01"}
    problem = ""
    for attempt in range(TRIES):
        began = time.monotonic()
        try:
            # A proxy for the outside must not see requests to this machine.
            answer = httpx.post(f"{url}/v1/messages", json=body, headers=headers, timeout=timeout, trust_env=False)
        except httpx.TransportError as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            if answer.status_code == 200 and answer.json().get("content"):
                milliseconds = (time.monotonic() - began) * 1000
                return f"200 for {who} from {model} in {milliseconds:.0f} ms"
            problem = f"HTTP {answer.status_code}: {mask(answer.text[:300])}"
            if answer.status_code == 429 and OWN_LIMIT.search(answer.text):
                return f"429: {who} is at a limit of its own, which the gateway keeps"
            if answer.status_code < 500:
                break
        time.sleep(0.5 * (attempt + 1))
    raise TollgateError(f"POST {url}/v1/messages as {who}: {problem}", hint)
