#!/usr/bin/env bash
# Every test, from a fresh clone: prepares engine and images as `make deploy` does, runs pytest, removes what it made.
# With arguments (`make test T=tests/unit`) pytest gets them alone and nothing is prepared: a test that needs an image
# makes it available itself.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What this checkout's tests left in Docker, be it now or when an earlier run was killed.
sweep() {
    if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
        .venv/bin/python -m tests.support.sweep
    fi
}

main() {
    # Testcontainers' own reaper image can only come from a registry; each fixture removes what it started.
    export TESTCONTAINERS_RYUK_DISABLED=true
    export PYTHONDONTWRITEBYTECODE=1
    local started=$SECONDS
    # Whatever happens to pytest: nothing it started stays.
    trap sweep EXIT
    sweep
    if [ $# -gt 0 ]; then
        .venv/bin/python -m pytest "$@"
        return
    fi
    echo "==> static checks, unit and golden tests"
    scripts/check.sh
    echo "==> Docker and the images, as make deploy would have them"
    .venv/bin/tollgate images
    echo "==> tests with containers"
    .venv/bin/python -m pytest -m docker --durations=15
    echo "==> all tests: $((SECONDS - started)) s"
}

main "$@"
