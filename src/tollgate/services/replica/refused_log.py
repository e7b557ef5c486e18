"""Logs a refused request at INFO. LiteLLM logs it at ERROR, mostly with a traceback, and so it hides real failures.

A refusal is expected: a limit works, a key was revoked, or a client made a mistake. nginx and the gateway process count
it. Only the answer says which of LiteLLM's errors were refusals. So errors of a request wait for the beginning of its
answer. Those of every other answer are logged as they are.
"""

from __future__ import annotations

import logging

from tollgate.services.hooks.ongoing import CURRENT, Ongoing
from tollgate.services.refusals.refusal import Refusal

LOGGERS = ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router")
# One request must not hold more.
MOST = 50
# The request is wrong, also if a provider noticed it first. A provider's 429 limits the gateway's account instead.
WRONG = (400, 413, 415, 422)


class Wait(logging.Filter):
    """Keeps the errors of a request that has no answer yet, and lets every other record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        ongoing = CURRENT.get(None)
        if ongoing is None or ongoing.errors is None or len(ongoing.errors) >= MOST:
            return True
        if record.levelno < logging.ERROR and not record.exc_info:
            return True
        ongoing.errors.append(record)
        return False


def release(ongoing: Ongoing, refusal: Refusal | None = None) -> None:
    """Log what waited. The answer has begun: it is `refusal`, or none. Later errors of this request do not wait."""
    waiting, ongoing.errors = ongoing.errors or (), None
    expected = refusal is not None and (refusal.status in WRONG or (refusal.status < 500 and not refusal.counts))
    for record in waiting:
        if expected:
            record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
            record.exc_info = record.exc_text = None
        # Its filters have seen it.
        logging.getLogger(record.name).callHandlers(record)


def log_refusals_as_information() -> None:
    """Let errors wait. After LiteLLM's import, so that LiteLLM's own filters come first."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(Wait())
