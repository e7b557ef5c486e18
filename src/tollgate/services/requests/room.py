"""Limits the memory of all request bodies in one process, and of one tenant's bodies."""

from __future__ import annotations

# The rest of a replica's memory limit (2 GB) is for the process and the parsed bodies, which are larger than the text.
TOTAL = 192 * 1024 * 1024
# Small requests always pass, so a client that fills the room with large requests delays only large requests.
SMALL = 256 * 1024


class Room:
    """Bytes of the bodies that are being read or processed, by tenant."""

    def __init__(self, total: int = TOTAL) -> None:
        self._total = total
        self._taken: dict[str, int] = {}

    @property
    def taken(self) -> int:
        return sum(self._taken.values())

    def has(self, tenant: str, held: int, more: int) -> bool:
        """Whether a request that has `held` bytes may take `more`. One tenant gets at most half of the room."""
        if held + more <= SMALL:
            return True
        return self.taken + more <= self._total and self._taken.get(tenant, 0) + more <= self._total // 2

    def take(self, tenant: str, size: int) -> None:
        self._taken[tenant] = self._taken.get(tenant, 0) + size

    def give_back(self, tenant: str, size: int) -> None:
        left = self._taken.get(tenant, 0) - size
        if left > 0:
            self._taken[tenant] = left
        else:
            self._taken.pop(tenant, None)
