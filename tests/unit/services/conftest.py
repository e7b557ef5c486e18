"""A Redis of the machine for the files that need one, a new one for each file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.redis_server import PROGRAM, redis_server


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    if PROGRAM is None:
        pytest.skip("no redis-server here")
    with redis_server() as found:
        yield found
