#!/bin/sh
# The base of every local build: a minimal Debian with CA certificates, as a tar file for `docker import`.
# usage: build.sh SUITE OUTPUT.tar [SOURCE_LINE...]   (no source line: mmdebstrap's own default archive)
# Needs root. PATH, locale and user set-up come from the `docker import` that follows.
set -eu
suite=$1
output=$2
shift 2

# The archive the host uses may be a frozen mirror whose Release files have expired: follow the host's decision.
valid=$(apt-config dump --format '%v' Acquire::Check-Valid-Until 2>/dev/null || true)
date=$(apt-config dump --format '%v' Acquire::Check-Date 2>/dev/null || true)

bootstrap() {
    mmdebstrap \
        --variant=minbase \
        --include=ca-certificates \
        --aptopt="Acquire::Check-Valid-Until \"${valid:-true}\"" \
        --aptopt="Acquire::Check-Date \"${date:-true}\"" \
        --aptopt='Acquire::Languages "none"' \
        --aptopt='Acquire::Retries "3"' \
        --aptopt='APT::Install-Recommends "false"' \
        --aptopt='APT::Install-Suggests "false"' \
        --dpkgopt='force-unsafe-io' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        "$suite" "$output" "$@"
}

if [ $# -gt 0 ]; then
    printf '%s\n' "$@" | bootstrap -
else
    bootstrap
fi
