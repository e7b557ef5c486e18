#!/usr/bin/env bash
# What CI runs without containers: format, lint, types, shell scripts, unit and golden tests. A missing tool fails.
# `--tools` only installs what the checks need.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# They come from the distribution: the packages for Python download a binary from elsewhere. The tests of the page
# /usage and /console need the browser and its driver.
ensure_tools() {
    local missing=() tool
    for tool in shellcheck shfmt; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
    command -v chromedriver >/dev/null || missing+=(chromium-driver)
    # A Redis for the tests of the limits. Unlike redis-server, this package starts no service.
    command -v redis-server >/dev/null || command -v redis-check-rdb >/dev/null || missing+=(redis-tools)
    [ "${#missing[@]}" -gt 0 ] || return 0
    echo "installing ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# The second type checker that the client package's guide must please. It needs Node.js, which nothing else here does.
ensure_pyright() {
    local lock=tests/client_package/pyright place=var/pyright
    command -v npm >/dev/null || return 0
    ! cmp -s "$lock/package-lock.json" "$place/package-lock.json" || return 0
    echo "installing pyright"
    rm -rf "$place" "$place.partial"
    mkdir -p "$place.partial"
    cp "$lock/package.json" "$lock/package-lock.json" "$place.partial"
    npm ci --prefix "$place.partial" --ignore-scripts --no-audit --no-fund --silent
    mv "$place.partial" "$place"
}

# The golden files of `tollgate tenant connect` are lines to paste, not scripts.
shell_files() {
    git ls-files -co --exclude-standard -- '*.sh' .ci/run ':!tests/golden/connect/*-env*.sh' | while read -r file; do [ -f "$file" ] && echo "$file"; done
}

main() {
    scripts/bootstrap.sh --dev
    ensure_tools
    ensure_pyright
    [ "${1:-}" != --tools ] || return 0
    local scripts
    mapfile -t scripts < <(shell_files)
    echo "--> ruff format"
    .venv/bin/ruff format --check --quiet src tests client
    echo "--> ruff"
    .venv/bin/ruff check --quiet src tests client
    echo "--> mypy --strict"
    .venv/bin/mypy
    echo "--> shellcheck, shfmt (${#scripts[@]} scripts)"
    shellcheck "${scripts[@]}"
    shfmt -d "${scripts[@]}"
    echo "--> unit and golden tests"
    .venv/bin/python -m pytest -p tests.suite.record -n 3 -m "not docker" -q tests
}

main "$@"
