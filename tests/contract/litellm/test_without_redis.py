"""While Redis is away, a replica counts alone from zero and logs that. After Redis is back, its counters count again.

Its name makes it the last file: LiteLLM's own circuit breaker does not use Redis for a minute after it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.litellm.gateway import Gateway
from tests.support.eventually import eventually
from tollgate.config.secret import Secret

pytestmark = pytest.mark.docker


def test_a_frozen_redis_stops_no_request_and_lifts_no_limit_for_good(
    running: Gateway, handmade: Callable[..., Secret]
) -> None:
    key = handmade(limits={"requests_per_hour": 2, "max_parallel_requests": 1})
    redis = running.containers["redis"].get_wrapped_container()
    went, came = log(running).count("Redis is away"), log(running).count("Redis is back")
    assert [running.ask(key).status_code for _ in range(3)] == [200, 200, 429]
    redis.pause()
    try:
        assert [running.ask(key).status_code for _ in range(3)] == [200, 200, 429]
    finally:
        redis.unpause()

    answers = set()

    def back() -> bool:
        """Redis still has the two requests of this hour, so no request may pass here."""
        answers.add(running.ask(key).status_code)
        return log(running).count("Redis is back") > came

    eventually(back, within=60, every=1)
    assert 429 in answers and 200 not in answers
    assert log(running).count("Redis is away") == went + 1


def log(running: Gateway) -> str:
    out, err = running.containers["litellm-1"].get_logs()
    return str((out + err).decode())
