from __future__ import annotations

from tests.unit.services.gateway.conftest import server
from tests.unit.services.gateway.own.conftest import books, migrated_server

__all__ = ["books", "migrated_server", "server"]
