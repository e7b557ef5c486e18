"""Shared parts of both SDKs' tests."""

from __future__ import annotations

import pytest

# One red pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
