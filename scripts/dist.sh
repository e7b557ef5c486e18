#!/usr/bin/env bash
# Builds the wheel of tollgate-client into var/dist. The same sources give the same bytes, on any machine.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

main() {
    local out="${1:-$PWD/var/dist}" python="$PWD/.venv/bin/python"
    # The time of every file in the wheel: that of the last commit of the package.
    SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct -- client)}"
    export SOURCE_DATE_EPOCH
    mkdir -p "$out"
    (cd client && "$python" -m hatchling build --target wheel --directory "$out" >/dev/null)
    sha256sum "$out"/tollgate_client-*.whl
}

main "$@"
