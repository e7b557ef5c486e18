"""Sizes in units that people read."""

from __future__ import annotations


def room(size: int) -> str:
    """`size` in bytes as text, in KiB, MiB, GiB or TiB."""
    for unit, letters in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")):
        if size >= unit:
            return f"{size / unit:.1f} {letters}"
    return f"{size / 2**10:.0f} KiB"
