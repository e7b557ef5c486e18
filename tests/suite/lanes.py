"""How pytest-xdist shares the tests out with `-n`: a group at a time, each whole group to one lane.

Our own scheduler and not `--dist loadgroup`: xdist 3.8 writes the group into a field of the test that pytest 9.2 does
not read, so that each test would be a group of its own, and each lane would start a stack.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.suite.groups import TESTS, group


class Lanes(LoadScopeScheduling):
    """A lane that has at most two tests left takes the next group, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group(TESTS.parent / nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    # Groups begin in the order of groups.FIRST; xdist would begin with the one of most tests.
    config.option.loadscopereorder = False
    return Lanes(config, log)
