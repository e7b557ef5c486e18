"""Prints one release's list: `... releases 1.108.10 litellm-proxy-extras==0.4.110`. It needs that package installed."""

from __future__ import annotations

import sys

from tollgate.migrate.files import load, shipped_directory
from tollgate.migrate.releases import text

if __name__ == "__main__":
    version, package = sys.argv[1:3]
    sys.stdout.write(text(version, package, load(shipped_directory())))
