#!/usr/bin/env bash
# The stack by the verbs people know: start, stop, restart, status, logs, clean. Thin over the `tollgate` command.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/deploy.sh COMMAND [ARGUMENTS]

  start      deploy, or go on from where an earlier deploy stopped
  stop       stop the containers, keep them and their data
  restart    stop and start the containers
  status     what runs, whether it is healthy, and where it is
  logs       follow the logs; a service name narrows it: logs litellm-1
  clean      delete containers AND DATA; asks, or CONFIRM=yes
TEXT
}

main() {
    local root command="${1:-}"
    root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
    [ $# -gt 0 ] && shift
    case "$command" in
        start) command=deploy ;;
        stop | restart | status | logs) ;;
        clean) [ "${CONFIRM:-}" = yes ] && set -- --yes "$@" ;;
        -h | --help | help)
            usage
            return
            ;;
        *)
            usage >&2
            printf 'error: expected a command, found "%s"\n' "$command" >&2
            return 1
            ;;
    esac
    "$root/scripts/bootstrap.sh"
    exec "$root/.venv/bin/tollgate" "$command" "$@"
}

main "$@"
