"""nginx's configuration: the routes for clients, the hidden headers, and the files.

Everything lands in var/rendered/nginx, which the container sees as /etc/nginx/tollgate. The tables here are the one
place a route is written, and nginx_errors.py the one for an error; nginx/ says what is done with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from tollgate.render import nginx_errors
from tollgate.render.output import Rendered, fill
from tollgate.render.times import Times

PROXY_BACKEND = "LITELLM_MESSAGES"  # /gateway/health contains it: clients of an older kit look for it


class Edge(Protocol):
    """The operator's limits from config/gateway.yaml. Times in seconds, the body in MiB."""

    @property
    def requests_per_second(self) -> int: ...
    @property
    def burst(self) -> int: ...
    @property
    def connections_per_address(self) -> int: ...
    @property
    def max_body_mb(self) -> int: ...
    @property
    def read_timeout_s(self) -> float: ...
    @property
    def connect_timeout_s(self) -> float: ...


@dataclass(frozen=True)
class Route:
    """One path of the public listener. `name` is its label in logs; `query` False drops the query string."""

    path: str
    name: str
    upstream: str
    method: str = "POST"
    query: bool = True


# Every other path answers 404 on port 4000. /v1/responses is left out on purpose: it is stateful, its answers are
# stored in the operator's provider account, and the clients of this gateway do not need it.
ROUTES = (
    Route("/v1/messages", "messages", "/v1/messages"),
    # Clients of an older kit call this with "stream": true in the body. LiteLLM reads only the body.
    Route("/v1/messages/stream", "messages", "/v1/messages"),
    Route("/v1/messages/count_tokens", "count_tokens", "/v1/messages/count_tokens"),
    Route("/v1/chat/completions", "chat_completions", "/v1/chat/completions"),
    Route("/chat/completions", "chat_completions", "/v1/chat/completions"),
    Route("/v1/completions", "completions", "/v1/completions"),
    Route("/completions", "completions", "/v1/completions"),
    Route("/v1/embeddings", "embeddings", "/v1/embeddings"),
    Route("/embeddings", "embeddings", "/v1/embeddings"),
    Route("/v1/models", "models", "/v1/models", method="GET"),
    Route("/models", "models", "/v1/models", method="GET"),
    # Drop the query: with ?model= LiteLLM would check one deployment instead of answering from its background checks.
    Route("/health", "health", "/health", method="GET", query=False),
)
# The gateway processes answer these themselves. With GATEWAYS=0 nobody does, and nginx says so.
OWN_ROUTES = (
    Route("/gateway/usage", "usage", "/gateway/usage", method="GET", query=False),
    Route("/usage", "usage_page", "/usage", method="GET", query=False),
    Route("/usage/page.css", "usage_page", "/usage/page.css", method="GET", query=False),
    Route("/usage/page.js", "usage_page", "/usage/page.js", method="GET", query=False),
    Route("/usage/usage.js", "usage_page", "/usage/usage.js", method="GET", query=False),
)
# The gateway processes' page for the operator. Only the admin listener has it.
CONSOLE_ROUTES = tuple(
    Route(path, "console", path, method="GET", query=False)
    for path in (
        "/console",
        *("/console/page.css", "/console/page.js", "/console/console.css", "/console/console.js"),
        *("/console/state", "/console/panels"),
    )
)


# LiteLLM 1.108.10 adds these to answers (proxy/common_request_processing.py, get_custom_headers). It also passes on the
# providers' headers as llm_provider-*; the names are those of Anthropic, OpenAI and OpenRouter.
_LITELLM = (
    "adaptive-router-model cache-key callback-duration-ms classifier-cost fastest_response_batch_completion "
    "key-max-budget key-rpm-limit key-spend key-tpm-limit model-api-base model-id model-name model-region "
    "overhead-duration-ms response-cost response-cost-cache-creation response-cost-cache-read "
    "response-cost-discount-amount response-cost-input response-cost-margin-amount response-cost-margin-percent "
    "response-cost-original response-cost-output response-cost-reasoning response-cost-tool-usage "
    "response-duration-ms timeout timing-llm-api-ms timing-message-copy-ms timing-post-processing-ms "
    "timing-pre-processing-ms version applied-guardrails applied-policies policy-sources priority saturation "
    "rate-limiter-version request-prioritization-used semantic-similarity"
)
_PROVIDER = (
    "anthropic-organization-id anthropic-workspace-id openai-organization openai-project openai-processing-ms "
    "openai-version set-cookie server via cf-ray cf-cache-status alt-svc strict-transport-security "
    "x-envoy-upstream-service-time content-security-policy x-robots-tag traceresponse"
)
_ANTHROPIC_LIMITS = [
    f"anthropic-ratelimit-{kind}-{part}"
    for kind in ("requests", "tokens", "input-tokens", "output-tokens")
    for part in ("limit", "remaining", "reset")
]
HIDDEN_HEADERS = (
    *(f"x-litellm-{name}" for name in _LITELLM.split()),
    *(f"llm_provider-{name}" for name in _PROVIDER.split()),
    *(f"llm_provider-{name}" for name in _ANTHROPIC_LIMITS),
    *_ANTHROPIC_LIMITS,
    "anthropic-organization-id",
    "openai-organization",
    # nginx sends its own instead.
    "request-id",
    "x-request-id",
    "x-content-type-options",
)


def _time(seconds: float) -> str:
    """A time for nginx, in whole seconds or milliseconds, because nginx accepts no fractions."""
    return f"{seconds:.0f}s" if float(seconds).is_integer() else f"{math.ceil(seconds * 1000)}ms"


def _values(
    edge: Edge, replicas: int, gateways: int, version: str, tls: bool, acme: bool, direct: bool
) -> dict[str, Any]:
    return {
        "edge": edge,
        "doors": (False, True) if tls else (False,),
        "acme": acme,
        "gateways": gateways,
        # The upstream that serves clients.
        "serving": "gateway" if gateways else "litellm",
        # With ACME the certificate changes by itself. entrypoint.sh copies it after nginx has accepted it.
        "bundle": "/run/nginx/tls.pem" if acme else "/run/secrets/tls.pem",
        "routes": ROUTES,
        "own_routes": OWN_ROUTES,
        "console_routes": CONSOLE_ROUTES,
        "gateways_off": nginx_errors.GATEWAYS_OFF,
        "post_routes": sorted({route.name for route in ROUTES if route.method == "POST"}),
        "simple": nginx_errors.simple(edge.max_body_mb, edge.requests_per_second),
        "unreachable": nginx_errors.UNREACHABLE,
        "broken_off": nginx_errors.BROKEN_OFF,
        "silent": nginx_errors.SILENT,
        "hidden_headers": HIDDEN_HEADERS,
        "proxy_backend": PROXY_BACKEND,
        "version": version,
        # The route that is on, for /gateway/health.
        "route": "direct" if gateways and direct else "litellm",
        "burst": f" burst={edge.burst} nodelay" if edge.burst else "",  # nginx refuses burst=0
        "read_timeout": _time(edge.read_timeout_s),
        "connect_timeout": _time(edge.connect_timeout_s),
        "shutdown_timeout": _time(Times.of(edge.read_timeout_s).nginx_workers),
        # With more than three tries, one harmful request could reach every replica.
        # If no gateway process takes a connection, a replica must still be tried.
        "tries": max(3, gateways + 1) if gateways else min(replicas, 3),
    }


def _with_origin(text: str, source: str) -> str:
    """Add the source of a file, below the #! line if there is one."""
    note = f"# rendered from {source}, do not edit\n"
    if text.startswith("#!"):
        first, rest = text.split("\n", 1)
        return f"{first}\n{note}{rest}"
    return note + text


def render_nginx(
    root: Path,
    edge: Edge,
    replicas: int,
    version: str,
    *,
    gateways: int = 0,
    direct: bool = True,
    tls: bool = False,
    acme: bool = False,
) -> list[Rendered]:
    """Every file under var/rendered/nginx. `root` is the kit's checkout; the same values give the same bytes.

    With `gateways` requests go to that many gateway processes first. `direct` is False if these hand everything to
    LiteLLM.

    With `tls` clients are also served on 4443, with what is in /run/secrets/tls.pem; with `acme` too, that is only
    what stands in until /run/acme/tls.pem is there, and 4080 answers the ACME server's challenges.
    """
    source = root / "nginx"
    values = _values(edge, replicas, gateways, version, tls, acme, direct)
    files = []
    for path in sorted([source / "nginx.conf.j2", *source.glob("*.sh"), *(source / "snippets").iterdir()]):
        relative = path.relative_to(source)
        text = fill(path, **values) if path.suffix == ".j2" else path.read_text()
        target = PurePosixPath("nginx") / str(relative).removesuffix(".j2")
        files.append(
            Rendered(target, _with_origin(text, f"nginx/{relative}"), 0o755 if path.suffix == ".sh" else 0o644)
        )
    names = "".join(f"litellm-{number}\n" for number in range(1, replicas + 1))
    files.append(Rendered(PurePosixPath("nginx/replicas"), names))
    if gateways:
        processes = "".join(f"gateway-{number}\n" for number in range(1, gateways + 1))
        files.append(Rendered(PurePosixPath("nginx/gateways"), processes))
    return files
