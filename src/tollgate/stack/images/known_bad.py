"""LiteLLM versions that must not run, and why.

If images/versions.env pins one, a deploy refuses it before it pulls, builds or renders anything.
"""

from __future__ import annotations

import re

# On 2026-03-24 somebody stole the project's credentials and published these releases. They steal secrets.
BACKDOORED = {(1, 82, 7), (1, 82, 8)}
# The version with the fix, and what an attacker can do in older versions.
FIXED_IN = (
    ((1, 83, 7), "SQL injection without any key (CVE-2026-42208)"),
    ((1, 83, 14), "any user can become administrator (CVE-2026-47101)"),
    ((1, 84, 0), "the Host header bypasses authentication (CVE-2026-49468)"),
)
HINT = "git has the tested version: `git diff images/versions.env` shows what was changed"
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?!\d)")


def why_not(version: str) -> str:
    """Why this LiteLLM must not run; empty if no reason is known."""
    match = _VERSION.search(version)
    if match is None:
        return ""
    numbers = tuple(int(part) for part in match.groups())
    if numbers in BACKDOORED:
        return "is backdoored: it steals credentials (MAL-2026-2144)"
    for fixed, what in FIXED_IN:
        if numbers < fixed:
            return f"{what}, fixed in {'.'.join(map(str, fixed))}"
    return ""
