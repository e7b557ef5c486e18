#!/usr/bin/env bash
# Tenants by the verbs people know: create, list, show, update, delete ... Thin over `tollgate tenant`.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/manage-tenants.sh COMMAND [ARGUMENTS]        COMMAND --help tells more

  create ID [KEY] DAILY_USD "MODEL,MODEL"   a new tenant, at once; without KEY one is generated
  list | show ID                            what there is
  update ID --daily 50 --models a,b ...     change it; comments in its file stay
  suspend ID | resume ID                    refuse its requests for a while
  delete ID [--allow-delete]                take it away
  connect ID [--format env|settings|managed|helper]   what its members paste
  key add|list|remove ID [NAME]             further keys, one a person or CI job
  usage [ID] | report ID                    what was spent
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
    exec "$root/.venv/bin/tollgate" tenant "$@"
}

main "$@"
