#!/usr/bin/env bash
# Every test, from a fresh clone: prepares engine and images as `make deploy` does, runs pytest, removes what it made.
# `scripts/test.sh tests/unit` or `make test T=tests/unit` narrows it; arguments go to pytest.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

main() {
    # Testcontainers' own reaper image can only come from a registry; each fixture removes what it started.
    export TESTCONTAINERS_RYUK_DISABLED=true
    export PYTHONDONTWRITEBYTECODE=1
    local started=$SECONDS
    # Whatever happens to pytest: nothing it started stays.
    trap 'command -v docker >/dev/null && .venv/bin/python -m tests.support.sweep' EXIT
    echo "==> static checks, unit and golden tests"
    scripts/check.sh
    echo "==> Docker and the images, as make deploy would have them"
    .venv/bin/tollgate images
    echo "==> tests with containers"
    .venv/bin/python -m pytest -m docker --durations=15 "$@"
    echo "==> all tests: $((SECONDS - started)) s"
}

main "$@"
