"""For every test session: remember it, so that what it starts can be found if it is killed; and mind Docker's ports."""

from __future__ import annotations

import pytest
from testcontainers.core.labels import SESSION_ID

from tests.support.ports import start_again_on_a_taken_port
from tests.support.sweep import remember


def pytest_sessionstart(session: pytest.Session) -> None:
    start_again_on_a_taken_port()
    if not session.config.option.collectonly:
        remember(SESSION_ID)
