from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client_package.gateway import MODELS, USAGE, Front, running


@pytest.fixture(scope="session")
def _server() -> Iterator[Front]:
    with running() as front:
        yield front


@pytest.fixture
def gateway(_server: Front, monkeypatch: pytest.MonkeyPatch) -> Front:
    """As new for each test; the environment names no gateway and no proxy."""
    for name in ("LITELLM_BASE_URL", "LITELLM_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    _server.models, _server.usage, _server.healthy = list(MODELS), dict(USAGE), True
    _server.paths, _server.ports, _server.bodies, _server.refusals = [], [], [], {}
    return _server
