#!/usr/bin/env bash
# New keys for a tenant, or new passwords for the stack itself. Thin over `tollgate rotate-keys`.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/rotate-keys.sh TENANT [--key NAME | --all] [--grace 24h] [--revoke-now]
       scripts/rotate-keys.sh --all                     every key of every tenant
       scripts/rotate-keys.sh --infrastructure          master key, Redis and Postgres passwords

The new key works at once, the old one until the grace is over; both spend one budget.
TEXT
}

main() {
    local root
    root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
    case "${1:-}" in
        '' | -h | --help | help)
            usage
            [ $# -gt 0 ] || return 1
            return
            ;;
    esac
    "$root/scripts/bootstrap.sh" >&2
    exec "$root/.venv/bin/tollgate" rotate-keys "$@"
}

main "$@"
