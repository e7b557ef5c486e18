"""Errors that LiteLLM logs wait for the answer: a refusal makes them information, anything else leaves them errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.services.replica.test_refusals import WRONG_KEY, answers, piece, start
from tollgate.services.hooks.ongoing import CURRENT, Ongoing
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.replica.refused_log import LOGGERS, MOST, Wait, log_refusals_as_information, release

SPENT = Refusal(429, "billing_error", "budget_exceeded", "The budget is spent.")
BROKEN = Refusal(502, "api_error", "provider_failed", "The provider failed.")
WRONG = Refusal(400, "invalid_request_error", "invalid_request", "The provider says that it is wrong.", counts=True)
LIMITED = Refusal(429, "rate_limit_error", "provider_limited", "The provider limits the gateway.", counts=True)


@pytest.fixture
def request_() -> Iterator[Ongoing]:
    """A running request."""
    log_refusals_as_information()
    ongoing = Ongoing()
    token = CURRENT.set(ongoing)
    yield ongoing
    CURRENT.reset(token)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        for added in [each for each in logger.filters if isinstance(each, Wait)]:
            logger.removeFilter(added)


def fail() -> None:
    try:
        raise ValueError("Key is blocked")
    except ValueError:
        logging.getLogger("LiteLLM Proxy").exception("Exception occured")


@pytest.mark.parametrize(
    ("refusal", "level"),
    [(SPENT, "INFO"), (WRONG, "INFO"), (BROKEN, "ERROR"), (LIMITED, "ERROR"), (None, "ERROR")],
    ids=["refused", "the client's mistake", "twin: failed", "twin: the provider limits", "twin: answered, or gone"],
)
def test_the_answer_decides(
    request_: Ongoing, caplog: pytest.LogCaptureFixture, refusal: Refusal | None, level: str
) -> None:
    caplog.set_level(logging.INFO)
    fail()
    assert caplog.records == []
    release(request_, refusal)
    [record] = caplog.records
    assert record.levelname == level
    assert (record.exc_info is None) is (level == "INFO"), "a refusal needs no traceback"
    assert record.getMessage() == "Exception occured", "the line itself stays"


def test_an_error_after_the_answer_began_does_not_wait(request_: Ongoing, caplog: pytest.LogCaptureFixture) -> None:
    release(request_)
    fail()
    release(request_, SPENT)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_other_lines_do_not_wait(request_: Ongoing, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    logging.getLogger("LiteLLM Proxy").warning("slow")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_an_error_outside_a_request_does_not_wait(request_: Ongoing, caplog: pytest.LogCaptureFixture) -> None:
    token = CURRENT.set(Ongoing(errors=None))
    fail()
    CURRENT.reset(token)
    assert len(caplog.records) == 1
    assert request_.errors == []


def test_a_request_holds_few(request_: Ongoing, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(MOST + 5):
        fail()
    assert len(caplog.records) == 5
    release(request_, SPENT)
    assert len(caplog.records) == MOST + 5


@pytest.mark.parametrize(
    ("path", "messages", "level"),
    [
        ("/v1/messages", (start(401), piece(WRONG_KEY, more=False)), "INFO"),
        ("/v1/messages", (start(500), piece(b"{}", more=False)), "ERROR"),
        ("/v1/messages", (start(200), piece(b"{}", more=False)), "ERROR"),
        ("/v1/messages", (), "ERROR"),
        ("/team/new", (start(400), piece(b"{}", more=False)), "ERROR"),
    ],
    ids=["refused", "twin: failed", "twin: answered", "twin: the client left", "twin: an admin's call"],
)
def test_the_layer_logs_what_waited(
    request_: Ongoing, caplog: pytest.LogCaptureFixture, path: str, messages: tuple[Any, ...], level: str
) -> None:
    async def fails() -> None:
        fail()
        assert caplog.records == []

    caplog.set_level(logging.INFO)
    answers(*messages, path=path, before=fails)
    assert [record.levelname for record in caplog.records] == [level]
