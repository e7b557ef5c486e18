"""The holder of a key, and the look-up of keys: what a guard needs of either."""

from __future__ import annotations

from typing import Protocol


class KeysAwayError(Exception):
    """No memory knows the key, and the database does not answer."""


class Holder(Protocol):
    """`operator` means the master key; `closed` means that the key is revoked or expired, or its tenant suspended."""

    @property
    def tenant(self) -> str: ...
    @property
    def operator(self) -> bool: ...
    @property
    def closed(self) -> bool: ...


class FindsKeys(Protocol):
    async def find(self, key: str, *, remembered: bool = False) -> Holder | None:
        """The holder of the key; None for an unknown key. With `remembered` it asks no database.

        Raises KeysAwayError.
        """
