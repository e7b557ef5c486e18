"""Reads what the containers logged and fails on what must never be there: crashes and secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from tests.support.containers import of_project
from tollgate.stack.containers.compose import SERVICE_LABEL, Compose

# `[emerg]` and `[alert]` are nginx's, FATAL and PANIC Postgres', the rest Python's, Node's and Go's.
TROUBLE = re.compile(
    r"Traceback \(most recent call last\)|\bpanic:|\bPANIC\b|\bFATAL\b|\[emerg\]|\[alert\]|UnhandledPromise"
)


# LiteLLM logs a refused credential as an exception with its stack. That is an ordinary answer and not a crash.
REFUSALS = re.compile(
    r"No api key passed in|Key not found in database|Invalid proxy server token|token_not_found_in_db"
    r"|Key is blocked|LiteLLM Virtual Key expected|Only proxy admin can be used|is not allowed to call this route"
)

# Postgres's lines about a client that connects while it starts (perhaps its own health check), or that was killed
# during an answer. About its own crash it would log PANIC, or "in recovery mode".
NOT_YET = re.compile(
    r"FATAL: +(the database system is (starting up|not yet accepting connections)|connection to client lost)"
)

# The same for what an upstream answered: its status, or a connection that broke, before the answer, after LiteLLM's
# first ping or within a stream. These two names are the embedded provider's, which stands in Anthropic's place as well
# (support/stack.py); an exception of LiteLLM's own has another name there, and stays a crash.
UPSTREAM_FAULTS = (
    r"(Exception occured - (litellm_call_id=\S+ - )?|request failed after its SSE keepalive had opened the response: "
    r"|Anthropic Adapter - mid-stream error: litellm\.MidStreamFallbackError: )"
    r"(litellm\.\w+: (\w+: )?(Hosted_vllm|Anthropic)Exception - |Response payload is not completed: )"
)

# Faults that the clients' tests ask for, also in OpenAI's shape, and after a stream has begun.
CLIENTS_FAULTS = (
    r"(Exception occured - |Anthropic Adapter - mid-stream error|failed after its SSE keepalive had opened)"
    r".*litellm\.\w+: .*(Hosted_vllm|Anthropic|OpenAI)(Exception|Error) - "
)


def since(compose: Compose, moment: str) -> list[str]:
    """Lines logged after `moment` (RFC 3339), each with its service's name in front.

    Asks the engine itself: `docker compose logs` takes seven times the CPU, and this runs after each test on a stack.
    """
    began = datetime.fromisoformat(moment).timestamp()
    return [
        f"{container.labels[SERVICE_LABEL]}  | {line}"
        for container in of_project(compose.project)
        for line in container.logs(since=max(began, 1)).decode(errors="replace").splitlines()
    ]


def trouble(lines: Iterable[str], allowed: Iterable[str] = ()) -> list[str]:
    """Lines that tell of a crash; `allowed` are regular expressions for what a test provokes on purpose."""
    patterns = [REFUSALS, NOT_YET, *(re.compile(pattern) for pattern in allowed)]
    return [line for line in lines if TROUBLE.search(line) and not any(pattern.search(line) for pattern in patterns)]


def leaks(text: str, secrets: Mapping[str, str]) -> list[str]:
    """Names of the secrets whose value stands in `text`."""
    return [name for name, value in secrets.items() if value and value in text]
