#!/usr/bin/env bash
# Resolves every lock file again, with hashes and without download addresses. `make lock ARGS=--upgrade` takes newer ones.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

compile() {
    uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url "$@"
}

main() {
    export PATH="$PWD/.venv/bin:$PATH"
    compile pyproject.toml --output-file requirements.lock "$@"
    compile pyproject.toml --extra dev --constraints requirements.lock --output-file requirements-dev.lock "$@"
    compile images/tollgate/requirements.in --python-version 3.13 --no-annotate \
        --output-file images/tollgate/requirements.lock "$@"
    compile images/llama-cpp/requirements.in --python-version 3.13 --no-annotate \
        --output-file images/llama-cpp/requirements.lock "$@"
    compile tests/clients/requirements.in --python-version 3.11 --output-file tests/clients/requirements.lock "$@"
    compile scripts/scan.in --python-version 3.11 --output-file scripts/scan.lock "$@"
    if command -v npm >/dev/null; then
        images/litellm/lock.sh "$@"
    else
        echo "npm is not installed: images/litellm/ stays as it is" >&2
    fi
}

main "$@"
