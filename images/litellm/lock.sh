#!/bin/sh
# Make requirements.lock and engine/package-lock.json again after a version changed. Needs uv and npm.
# Neither file records where a package was downloaded from: each machine uses the index it is configured for.
set -eu
cd "$(dirname "$0")"
uv pip compile --universal --python-version 3.13 --generate-hashes --no-emit-index-url --no-annotate \
    --custom-compile-command images/litellm/lock.sh --override overrides.txt --output-file requirements.lock \
    --quiet "$@" requirements.in
cd engine
npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved --no-audit --no-fund
