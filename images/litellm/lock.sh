#!/bin/sh
# Make versions/*/requirements.lock, the lists of their migrations and engine/package-lock.json again. Needs uv and npm.
# No file records where a package was downloaded from: each machine uses the index it is configured for.
# A new version: `mkdir versions/1.2.3`, then this.
set -eu
cd "$(dirname "$0")"
for directory in versions/*; do
    version=${directory#versions/} lock=$directory/requirements.lock
    printf 'litellm[proxy]==%s\n' "$version" | uv pip compile --universal --python-version 3.13 --generate-hashes \
        --no-emit-index-url --no-annotate --custom-compile-command images/litellm/lock.sh --override overrides.txt \
        --output-file "$lock" --quiet "$@" requirements.in -
    extras=$(sed -n 's/^\(litellm-proxy-extras==[^ ]*\).*/\1/p' "$lock")
    PYTHONPATH=../../src uv run --no-project --quiet --with "$extras" python -m tollgate.migrate.releases \
        "$version" "$extras" >"../../src/tollgate/migrate/releases/$version.txt"
done
cd engine
npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved --no-audit --no-fund
