#!/bin/sh
# Started by entrypoint.sh: asks each replica all the time whether it is alive. A file /run/nginx/silent/<replica> says
# that it is not; what follows from that is the entrypoint's to decide. Why, in docs/decisions/0005.
set -eu

conf=/etc/nginx/tollgate
run=/run/nginx
# A replica that is merely busy answers within seconds; one that was silent is back after two answers in a row.
check_every=2
check_timeout=3
failures_allowed=3
answers_wanted=2
names=''

say() {
    printf '%s checks: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >&2
}

# The status of curl: 7 is a refused connection, 28 no answer in time.
ask() {
    status=0
    curl -sf -o /dev/null --noproxy '*' --max-time "$check_timeout" "http://$2:4000/health/liveliness" || status=$?
    printf '%s\n' "$status" >"$run/checks/$1.now"
}

# How many failures a replica has in a row, then how many answers.
judge() {
    read -r status <"$run/checks/$1.now"
    failures=0 answers=0
    [ ! -f "$run/checks/$1" ] || read -r failures answers <"$run/checks/$1"
    case $status in
        0) failures=0 answers=$((answers + 1)) ;;
        # Whoever refuses is starting or gone: nginx passes it over by itself, and nobody waits for it.
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

# All at once: a silent replica delays the question to no other.
round() {
    ! given=$(cat "$conf/replicas" 2>/dev/null) || names=$given
    asked=''
    asks=''
    for name in $names; do
        # A drained one is not asked: whoever took it out waits for its last connection to end, replaces it and checks it.
        if [ -e "$run/drain/$name" ]; then
            rm -f "$run/checks/$name" "$run/silent/$name"
        elif [ -f "$run/known/$name" ] && read -r address <"$run/known/$name"; then
            ask "$name" "$address" &
            asks="$asks $!"
            asked="$asked $name"
        fi
    done
    for one in $asks; do
        wait "$one" || true
    done
    for name in $asked; do
        judge "$name"
    done
}

mkdir -p "$run/checks" "$run/silent"
while :; do
    round
    sleep "$check_every"
done
