"""The lines in a container's log that the stack tests count as a crash."""

from __future__ import annotations

import pytest

from tests.support.logs import UPSTREAM_FAULTS, trouble

HANDLER = (
    "litellm-1 | litellm.proxy.proxy_server._handle_llm_api_exception(): Exception occured - litellm_call_id=7e-6 - "
)
STACK = ' "stacktrace": "Traceback (most recent call last): ..."'
FAULTS = [
    HANDLER + "litellm.InternalServerError: InternalServerError: Hosted_vllmException - Internal server error" + STACK,
    HANDLER + "litellm.BadRequestError: Hosted_vllmException - Invalid request" + STACK,
    "litellm-2 | async_data_generator(): Exception occured - Response payload is not completed: <Transfer...>" + STACK,
]
CRASHES = [
    HANDLER + "'NoneType' object has no attribute 'usage'" + STACK,
    HANDLER + "litellm.InternalServerError: InternalServerError: OpenAIException - Internal server error" + STACK,
    "litellm-3 | litellm.proxy.utils: could not write spend" + STACK,
    "postgres | FATAL: out of memory",
    "postgres | FATAL:  the database system is in recovery mode",
]
ORDINARY = [
    "postgres | 2026-11-21 10:00:00.000 UTC [31] FATAL:  the database system is starting up",
    "postgres | 2026-11-21 10:00:00.000 UTC [31] FATAL:  connection to client lost",
]


@pytest.mark.parametrize("line", FAULTS)
def test_an_upstream_fault_is_trouble_unless_it_was_asked_for(line: str) -> None:
    assert trouble([line]) == [line]
    assert trouble([line], [UPSTREAM_FAULTS]) == []


@pytest.mark.parametrize("line", ORDINARY)
def test_who_asks_too_early_or_goes_too_early_is_no_crash(line: str) -> None:
    assert trouble([line]) == []


@pytest.mark.parametrize("line", CRASHES)
def test_a_crash_is_trouble_also_where_upstream_faults_are_asked_for(line: str) -> None:
    assert trouble([line], [UPSTREAM_FAULTS]) == [line]
