"""Sends one real request through nginx, as a tenant would. `deploy` and `doctor` use it to check the gateway."""

from __future__ import annotations

import re
import time

import httpx

from tollgate.config.gateway.providers import EMBEDDED
from tollgate.config.secret import Secret
from tollgate.config.tenant.model import Tenant
from tollgate.errors import TollgateError
from tollgate.litellm.client import TRUSTS_NOBODY
from tollgate.stack.configuration import Configuration
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.masking import mask
from tollgate.stack.tenants.tenancy import key_of

# The embedded provider serves it, unless gateway.yaml says otherwise: it is free and needs no provider key.
MODEL = "test-model"
# A replica that has just become healthy may still load modules. A client would retry too.
TRIES, TIMEOUT_S = 5, 30.0
# A deploy must not fail because the tenant has reached its own limit. These patterns match no upstream's limit.
OWN_LIMIT = re.compile(r"billing_error|has used its [\d,]+ (request|token)|Too many requests at once")


def example_tenant(configuration: Configuration) -> Tenant | None:
    """A tenant that may use the test model, `example` if possible; None if no tenant may use it."""
    able = [tenant for tenant in configuration.tenants if may_use(tenant, MODEL)]
    return min(able, key=lambda tenant: (tenant.id != "example", tenant.id), default=None)


def may_use(tenant: Tenant, model: str) -> bool:
    """Whether the tenant may use `model`. Without `allowed_models` it may use every model; if suspended, none."""
    return not tenant.suspended and (tenant.models is None or model in tenant.models)


def embedded(configuration: Configuration) -> bool:
    """Whether the model of the request needs only the embedded provider: no local backend, no key, no money."""
    catalogue = configuration.catalogue
    model = catalogue.models.get(catalogue.aliases.get(MODEL, MODEL))
    return model is not None and all(target.model.startswith(f"{EMBEDDED}/") for target in model.targets)


def send(deployment: Deployment, configuration: Configuration) -> str:
    """Send the request and return a line about the answer. A refusal is a TollgateError with the gateway's message."""
    if not embedded(configuration):
        return f"skipped: {MODEL} is not the embedded provider's in config/gateway.yaml"
    tenant = example_tenant(configuration)
    if tenant is None:
        return f"skipped: no tenant may use {MODEL}"
    key = key_of(deployment.site, tenant)
    if key is None:
        raise TollgateError(f"tenant {tenant.id} has no key yet", "run `make deploy`, which makes it")
    url = deployment.public_url
    hint = "`make doctor` checks each part; `make logs S=nginx` and `make logs S=litellm-1` show more"
    return ask(url, key, f"tenant {tenant.id}", hint)


def ask(url: str, key: Secret, who: str, hint: str, *, model: str = MODEL, timeout: float = TIMEOUT_S) -> str:
    """POST /v1/messages as a client does. Retry 5xx answers and network errors. Returns a line about the answer."""
    body = {"model": model, "max_tokens": 32, "messages": [{"role": "user", "content": "Say hello."}]}
    headers = {"Authorization": f"Bearer {key.reveal()}", "anthropic-version": "2023-06-01"}
    problem = ""
    for attempt in range(TRIES):
        began = time.monotonic()
        try:
            # trust_env=False: a proxy must not see requests to this machine.
            answer = httpx.post(
                f"{url}/v1/messages", json=body, headers=headers, timeout=timeout, trust_env=False, verify=TRUSTS_NOBODY
            )
        except httpx.TransportError as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            if answer.status_code == 200 and answer.json().get("content"):
                milliseconds = (time.monotonic() - began) * 1000
                return f"200 for {who} from {model} in {milliseconds:.0f} ms"
            problem = f"HTTP {answer.status_code}: {mask(answer.text[:300])}"
            if answer.status_code == 429 and OWN_LIMIT.search(answer.text):
                return f"429: {who} has reached its own limit, and the gateway enforces it"
            if answer.status_code < 500:
                break
        time.sleep(0.5 * (attempt + 1))
    raise TollgateError(f"POST {url}/v1/messages as {who}: {problem}", hint)
