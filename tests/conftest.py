"""For every test session: remember it, so that what it starts can be found if it is killed."""

from __future__ import annotations

import pytest
from testcontainers.core.labels import SESSION_ID

from tests.support.sweep import remember


def pytest_sessionstart(session: pytest.Session) -> None:
    if not session.config.option.collectonly:
        remember(SESSION_ID)
