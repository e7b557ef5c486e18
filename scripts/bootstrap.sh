#!/usr/bin/env bash
# Makes .venv from the lock file, once and again only when the lock, the Python or the checkout's place changes, or when
# an earlier run was interrupted. `--dev` adds what tests and checks need.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() {
    printf 'error: %s\nhint:  %s\n' "$1" "$2" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# The first Python of at least 3.11; Debian 12 and 13 and Ubuntu 24.04 have it as python3.
find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "expected Python 3.11 or newer, found $(python3 --version 2>&1 || echo none)" \
        "install python3.11 or newer (on Ubuntu 22.04: apt-get install python3.11 python3.11-venv)"
}

# Debian and Ubuntu package the venv module apart from Python.
ensure_venv_module() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null && return
    local package
    package="$("$1" -c 'import sys; print(f"python3.{sys.version_info.minor}-venv")')"
    echo "installing $package (Python's venv module is missing)"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null \
        || die "could not install $package" "install it by hand, then run the command again"
}

# Where .venv is and which Python runs it; nothing when it does not run. Either changed, the environment is of no use.
place() {
    local version
    version="$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" || return 0
    echo "$(pwd -P) python$version"
}

# The lock that was installed into it.
contents() {
    echo "$1 $(cat requirements.lock "$1" pyproject.toml | sha256sum | cut -d' ' -f1)"
}

main() {
    local lock=requirements.lock stamp=.venv/.installed found_place='' found_contents='' here python
    [ "${1:-}" = --dev ] && lock=requirements-dev.lock
    # A stamp of another form has one line, or none: then there is nothing to go on from.
    if [ -f "$stamp" ]; then
        { read -r found_place && read -r found_contents; } <"$stamp" || found_place=''
    fi
    here="$(place)"
    if [ -z "$here" ] || [ "$found_place" != "$here" ]; then
        python="$(find_python)"
        ensure_venv_module "$python"
        echo "making .venv ($("$python" --version))"
        "$python" -m venv --clear .venv
        here="$(place)"
    elif [ "$found_contents" = "$(contents "$lock")" ] \
        || [ "$found_contents" = "$(contents requirements-dev.lock)" ]; then
        # A development environment has everything the plain one has.
        return
    fi
    # No stamp until all of it is in: after an interrupted run it is made again.
    rm -f "$stamp"
    echo "installing $lock"
    .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --requirement "$lock" \
        || die "pip could not install $lock" \
            "look at pip's message above; behind a proxy set PIP_INDEX_URL, PIP_CERT or HTTPS_PROXY"
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
    printf '%s\n' "$here" "$(contents "$lock")" >"$stamp"
}

main "$@"
