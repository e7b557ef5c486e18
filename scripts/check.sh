#!/usr/bin/env bash
# What CI runs without containers: format, lint, types, shell scripts, unit and golden tests. A missing tool fails.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Both come from the distribution: their packages for Python download a binary from elsewhere.
ensure_shell_tools() {
    command -v shellcheck >/dev/null && command -v shfmt >/dev/null && return
    echo "installing shellcheck and shfmt"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends shellcheck shfmt >/dev/null
}

# What `tollgate tenant connect` prints for a shell is lines to paste, not a script with a shell of its own.
shell_files() {
    git ls-files -co --exclude-standard -- '*.sh' .ci/run ':!tests/golden/connect/*-env*.sh' | while read -r file; do [ -f "$file" ] && echo "$file"; done
}

main() {
    ensure_shell_tools
    local scripts
    mapfile -t scripts < <(shell_files)
    echo "--> ruff format"
    .venv/bin/ruff format --check --quiet src tests
    echo "--> ruff"
    .venv/bin/ruff check --quiet src tests
    echo "--> mypy --strict"
    .venv/bin/mypy
    echo "--> shellcheck, shfmt (${#scripts[@]} scripts)"
    shellcheck "${scripts[@]}"
    shfmt -d "${scripts[@]}"
    echo "--> unit and golden tests"
    .venv/bin/python -m pytest -m "not docker" -q tests
}

main "$@"
