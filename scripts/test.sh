#!/usr/bin/env bash
# Every test, from a fresh clone: prepares engine and images as `make deploy` does, runs pytest, removes what it made.
# With arguments (`make test T=tests/unit`) pytest gets them alone and nothing is prepared: a test that needs an image
# makes it available itself.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

exec .venv/bin/python -m tests.suite "$@"
