#!/usr/bin/env bash
# One backup, as a cron job would take it: scripts/backup.sh --keep 14. Thin over the `tollgate` command.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/bootstrap.sh
exec .venv/bin/tollgate backup "$@"
