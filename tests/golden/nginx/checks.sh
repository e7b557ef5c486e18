#!/bin/sh
# rendered from nginx/checks.sh, do not edit
# entrypoint.sh starts this. It checks each replica's liveliness and writes /run/nginx/silent/<replica> for one that
# does not answer. The entrypoint decides what follows. docs/decisions/0005 gives the reasons.
set -eu

conf=/etc/nginx/tollgate
run=/run/nginx
drain=/run/drain
# A busy replica answers within seconds. A silent replica is back after two answers in a row.
check_every=2
check_timeout=3
failures_allowed=3
answers_wanted=2
names=''

say() {
    printf '%s checks: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >&2
}

# Writes "NUMBER STATUS" for each URL, numbered from 0. The status is curl's: 7 is a refused connection, 28 is a timeout.
# One process asks all replicas at the same time, so that a silent one delays no other.
ask() {
    curl -sfZ --noproxy '*' --max-time "$check_timeout" -w '%{urlnum} %{exitcode}\n' "$@" || true
}

# judge REPLICA STATUS: counts the failures in a row, or the answers in a row.
judge() {
    failures=0 answers=0
    [ ! -f "$run/checks/$1" ] || read -r failures answers <"$run/checks/$1"
    case $2 in
        0) failures=0 answers=$((answers + 1)) ;;
        # A replica that refuses connections is starting or gone. nginx skips it without delay.
        7) answers=0 ;;
        *) failures=$((failures + 1)) answers=0 ;;
    esac
    printf '%s %s\n' "$failures" "$answers" >"$run/checks/$1"
    if [ "$failures" -ge "$failures_allowed" ] && [ ! -e "$run/silent/$1" ]; then
        : >"$run/silent/$1"
        say "$1 takes connections and answers no health check"
    elif [ "$answers" -ge "$answers_wanted" ] && [ -e "$run/silent/$1" ]; then
        rm -f "$run/silent/$1"
        say "$1 answers its health checks again"
    fi
}

# The name that stands at a place of a list; the first is 0.
place() {
    shift "$(($1 + 1))"
    printf '%s' "$1"
}

round() {
    ! given=$(cat "$conf/replicas" 2>/dev/null) || names="$given $(cat "$conf/gateways" 2>/dev/null || true)"
    asked=''
    set --
    for name in $names; do
        # Do not check a drained replica: the command that drained it replaces it and checks it.
        if [ -e "$drain/$name" ]; then
            rm -f "$run/checks/$name" "$run/silent/$name"
        elif [ -f "$run/known/$name" ] && read -r address <"$run/known/$name"; then
            port=4000
            case $name in gateway-*) port=4100 ;; esac
            set -- "$@" -o /dev/null "http://$address:$port/health/liveliness"
            asked="$asked $name"
        fi
    done
    [ -n "$asked" ] || return 0
    ask "$@" | while read -r number status; do
        # One word for each name.
        # shellcheck disable=SC2086
        judge "$(place "$number" $asked)" "$status"
    done
}

mkdir -p "$run/checks" "$run/silent"
while :; do
    round
    sleep "$check_every"
done
