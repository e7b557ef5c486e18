"""The access log has requests and failed checks, not the checks that pass."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tollgate.services.replica.access_log import ALIVE, WithoutChecks

# As uvicorn logs a request.
FORMAT = '%s - "%s %s HTTP/%s" %d'


def kept(*args: Any) -> bool:
    return WithoutChecks().filter(logging.LogRecord("uvicorn.access", logging.INFO, "", 0, FORMAT, args, None))


def test_a_check_that_passes_is_left_out() -> None:
    assert not kept("10.0.0.1:4000", "GET", ALIVE, "1.1", 200)


@pytest.mark.parametrize(
    "args",
    [
        ("10.0.0.1:4000", "GET", ALIVE, "1.1", 503),
        ("10.0.0.1:4000", "GET", "/v1/models", "1.1", 200),
        ("10.0.0.1:4000", "POST", "/v1/messages", "1.1", 200),
        (),
    ],
)
def test_twin_everything_else_stays(args: tuple[Any, ...]) -> None:
    assert kept(*args)
