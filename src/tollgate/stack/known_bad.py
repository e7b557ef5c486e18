"""LiteLLM versions that must not run, and why.

A pin in images/versions.env that names one is refused before anything is pulled, built or rendered.
"""

from __future__ import annotations

import re

# Published by a thief of the project's credentials on 2026-03-24; they steal those of whoever installs them.
BACKDOORED = {(1, 82, 7), (1, 82, 8)}
# Fixed in: what an attacker can do before.
FIXED_IN = (
    ((1, 83, 7), "SQL injection without any key (CVE-2026-42208)"),
    ((1, 83, 14), "any user can become administrator (CVE-2026-47101)"),
    ((1, 84, 0), "authentication passed by through the Host header (CVE-2026-49468)"),
)
HINT = "the line this kit is tested with is in git: `git diff images/versions.env` shows what was changed"
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?!\d)")


def why_not(version: str) -> str:
    """Why this LiteLLM must not run; empty where nothing is known against it."""
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
