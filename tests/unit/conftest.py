"""For every unit test: what a command changes in this process is put back."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def own_exception_hook() -> Iterator[None]:
    before = sys.excepthook
    yield
    sys.excepthook = before
