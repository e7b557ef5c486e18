"""Journals for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.services.gateway.ledger.journals import Make
from tollgate.services.gateway.ledger.journal import Journal


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Journals whose thread syncs only when a test says so."""
    made: list[Journal] = []

    def journal(**options: Any) -> Journal:
        made.append(Journal(tmp_path, "gateway-1", **{"sync_every": 3600.0, **options}))
        return made[-1]

    yield journal
    for one in made:
        one.close()
