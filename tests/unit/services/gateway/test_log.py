"""A gateway process logs no traceback of an answer that it breaks off on purpose."""

from __future__ import annotations

import logging

import pytest

from tollgate.services.gateway.__main__ import is_news
from tollgate.services.gateway.app import BrokenOffError


@pytest.mark.parametrize(("error", "logged"), [(BrokenOffError(), False), (ValueError(), True), (None, True)])
def test_only_the_traceback_of_a_broken_answer_is_left_out(error: Exception | None, logged: bool) -> None:
    found = (type(error), error, None) if error else None
    record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "Exception in ASGI application", None, found)
    assert is_news(record) is logged
