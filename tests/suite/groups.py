"""Which tests run one after another in the same lane, and which group begins first.

A lane is a process of pytest-xdist. Fixtures of session scope exist once per lane, so tests that share one must share a
group: else two lanes would start the same stack, or the same gateway.
"""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
# These folders need a whole stack. Those of a lane share it, in this order: the clients leave it on LiteLLM's route.
# The files that change or remove containers come last of all.
ON_THE_STACK = ("docs", "stack", "clients")
LAST = ("test_contract.py", "test_rotation.py", "test_backup.py", "test_rollout.py", "test_lifecycle.py")
# Tests that change the stack's containers wait for replicas, and are as long as half of the run. All others have a
# stack of their own in another lane meanwhile.
STACK, REQUESTS = "stack that changes", "stack that stays"
# The longest groups first: a long one that began last would run alone. Groups that are not named follow.
_NEXT = ("litellm", "nginx", "observability", "direct", "backends", "stack_parts", "images", "acme", "backup")
FIRST = (STACK, REQUESTS, *(f"contract/{name}" for name in _NEXT))


def group(file: Path) -> str:
    """The name of the group: one on a stack, a folder below contract/, or the file itself where nothing is shared."""
    parts = file.relative_to(TESTS).parts
    if parts[0] in ON_THE_STACK:
        return STACK if file.name in LAST else REQUESTS
    return "/".join(parts[:2])


def within_the_stack(file: Path) -> tuple[int, int]:
    """Where a file stands among those of the shared stack; (-1, -1) for files that do not use it."""
    folder = file.relative_to(TESTS).parts[0]
    if folder not in ON_THE_STACK:
        return -1, -1
    return (LAST.index(file.name) if file.name in LAST else -1), ON_THE_STACK.index(folder)


def turn(file: Path) -> int:
    """When the group of a file begins, in a run with lanes."""
    name = group(file)
    return FIRST.index(name) if name in FIRST else len(FIRST)
