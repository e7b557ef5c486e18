#!/usr/bin/env bash
# Brings an archive back: scripts/restore.sh FILE [--identity AGE_KEY]. Thin over the `tollgate` command.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/bootstrap.sh
exec .venv/bin/tollgate restore "$@"
