#!/bin/sh
# Runs nginx and keeps its list of replicas equal to what Docker's DNS says; why, in docs/decisions/0005.
#   entrypoint.sh        run: first list, nginx, then look again each second and reload on a change
#   entrypoint.sh test   write the list once and check the whole configuration
# SIGTERM or SIGQUIT: finish the running requests (a second one: stop at once). SIGINT: stop at once. SIGHUP: reload.
# A file /run/nginx/drain/<replica> takes that replica out of rotation; removing it brings it back. The list nginx works
# with is /run/nginx/in-use.conf; /run/nginx/upstreams.conf is the list it was last told to load. A file
# /run/nginx/silent/<replica> (checks.sh) takes a replica out too, while there is another one that answers.
# With TLS=acme, /run/acme/tls.pem is what the acme service has fetched, and a new one is taken as soon as it is there.
set -eu

conf=/etc/nginx/tollgate
run=/run/nginx
upstreams=$run/upstreams.conf
fetched=/run/acme
# How long every name must have been unknown before we believe that all replicas are gone and not just the DNS.
patience=10
silent_rounds=0
reload_wanted=''
awaited=''
stopping=''
names=''
names_missing=''
nginx=''
checks=''

say() {
    printf '%s entrypoint: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >&2
}

# The directory may be replaced while we read it, and a list of no names is no list: keep the one we had.
read_names() {
    if given=$(cat "$conf/replicas" 2>/dev/null) && [ -n "$given" ]; then
        names=$given
        names_missing=''
    elif [ -z "$names_missing" ]; then
        names_missing=yes
        say "cannot read $conf/replicas; its names stay as they were"
    fi
}

# One answer a replica in $run/lookup: the status of the lookup (124: no answer in time) and the address. All at once,
# so that one slow name delays no other. The dot at the end keeps search domains out: under a wildcard DNS entry the
# name of a stopped replica would else resolve to a stranger, who would be sent requests with keys in them.
look_up() {
    read_names
    lookups=''
    for name in $names; do
        {
            status=0
            answer=$(timeout 2 getent ahostsv4 "$name." 2>/dev/null) || status=$?
            printf '%s %s\n' "$status" "${answer%% *}" >"$run/lookup/$name"
        } &
        lookups="$lookups $!"
    done
    for lookup in $lookups; do
        wait "$lookup" || true
    done
}

# Bring $run/known up to date: a new address is taken, an unknown name is dropped, a lookup without an answer changes
# nothing. While no name at all resolves, nothing is dropped until patience runs out.
learn() {
    found=''
    for name in $names; do
        read -r status address <"$run/lookup/$name" || continue
        [ "$status" = 0 ] && found=yes
    done
    if [ -n "$found" ]; then
        silent_rounds=0
    else
        silent_rounds=$((silent_rounds + 1))
        [ "$silent_rounds" -ge "$patience" ] || return 0
    fi
    for name in $names; do
        read -r status address <"$run/lookup/$name" || continue
        case $status in
            0) printf '%s\n' "$address" >"$run/known/$name" ;;
            124) ;;
            *) rm -f "$run/known/$name" ;;
        esac
    done
}

# Is there a replica in rotation that is not silent? If there is none, the fault is hardly in the replicas, and to take
# the last ones out would help nobody: then the checks count for nothing.
somebody_answers() {
    for name in $names; do
        if [ -f "$run/known/$name" ] && [ ! -e "$run/drain/$name" ] && [ ! -e "$run/silent/$name" ]; then
            return 0
        fi
    done
    return 1
}

servers() {
    printf '# written by entrypoint.sh\n'
    empty=yes
    believed=''
    ! somebody_answers || believed=yes
    for name in $names; do
        [ -f "$run/known/$name" ] || continue
        read -r address <"$run/known/$name"
        down=''
        [ -e "$run/drain/$name" ] && down=' down'
        [ -n "$believed" ] && [ -e "$run/silent/$name" ] && down=' down'
        # Two failures within 5 s: a replica that is starting or gone is left alone for as long, but one odd request
        # that breaks a connection on each replica does not leave the gateway without any.
        printf 'server %s:4000 max_fails=2 fail_timeout=5s%s; # %s\n' "$address" "$down" "$name"
        empty=''
    done
    # nginx does not start with an empty list; nothing listens here, so clients get our "unavailable" at once.
    [ -z "$empty" ] || printf 'server 127.0.0.1:1 down;\n'
}

check() {
    nginx -t -q -c "$conf/nginx.conf"
}

publish() {
    printf '%s\n' "$list" >"$upstreams.new"
    mv "$upstreams.new" "$upstreams"
}

# nginx works on a copy of the certificate: one that it cannot use never takes the place of the one before, and is said
# once. Until the first one is fetched, the one that a deploy made stands in.
take_certificate() {
    [ -d "$fetched" ] || return 0
    newest=$fetched/tls.pem
    [ -s "$newest" ] || newest=/run/secrets/tls.pem
    if cmp -s "$newest" "$run/tls.pem" || cmp -s "$newest" "$run/tls-refused.pem"; then
        return 0
    fi
    rm -f "$run/tls-before.pem"
    [ ! -f "$run/tls.pem" ] || mv "$run/tls.pem" "$run/tls-before.pem"
    (umask 077 && cat "$newest" >"$run/tls.pem")
    if problem=$(check 2>&1); then
        reload_wanted=certificate
        rm -f "$run/tls-before.pem" "$run/tls-refused.pem"
        return 0
    fi
    mv "$run/tls.pem" "$run/tls-refused.pem"
    [ -f "$run/tls-before.pem" ] || (umask 077 && cat /run/secrets/tls.pem >"$run/tls-before.pem")
    mv "$run/tls-before.pem" "$run/tls.pem"
    say "kept the certificate before $newest: $problem"
}

# Write the list if it differs and reload if nginx takes it; otherwise keep the list that worked.
refresh() {
    look_up
    learn
    take_certificate
    before=$list
    list=$(servers)
    [ "$list" != "$before" ] || [ -n "$reload_wanted" ] || return 0
    reload_wanted=''
    publish
    if problem=$(check 2>&1); then
        awaited=reloaded
        leaving=$(workers)
        kill -HUP "$nginx"
    else
        list=$before
        publish
        say "kept the old configuration: $problem"
    fi
}

# The workers that take new connections, not those that only finish what they have. /proc, as not every image has ps.
workers() {
    grep -lzx 'nginx: worker process' /proc/[0-9]*/cmdline 2>/dev/null || true
}

# nginx takes a moment to start, and to reload: until its last old worker has stopped listening, requests may still be
# balanced over the old list. Only then say so, and put the list where whoever drains a replica can wait for it.
confirm() {
    [ -n "$awaited" ] || return 0
    listening=$(workers)
    [ -n "$listening" ] || return 0
    for worker in $leaving; do
        case $listening in *"$worker"*) return 0 ;; esac
    done
    cp "$upstreams" "$run/in-use.conf.new"
    mv "$run/in-use.conf.new" "$run/in-use.conf"
    say "$awaited; replicas: $(replicas_in_use)"
    awaited=''
}

replicas_in_use() {
    sed -n 's/^server \([^ ]*\) .*fail_timeout=5s\(.*\); # \(.*\)$/\3=\1\2/p' "$run/in-use.conf" | tr '\n' ' '
}

prepare() {
    mkdir -p "$run/lookup" "$run/known" "$run/drain"
    look_up
    learn
    list=$(servers)
    publish
    take_certificate
    reload_wanted=''
}

# nginx's error lines quote the request line. Query strings and anything that looks like a key go no further. We hold
# the pipe open ourselves (3), so that the filter can be started again and ends when we let go of it.
start_log_filter() {
    sed -u -e 's/?[^ ",]*/?[removed]/g' -e 's/sk-[A-Za-z0-9_-]\{4,\}/sk-[removed]/g' <"$run/errors" 3>&- >&2 &
    log_filter=$!
}

start_checks() {
    sh "$conf/checks.sh" 3>&- &
    checks=$!
}

finish() {
    [ -n "$nginx" ] || exit 0
    if [ -n "$stopping" ]; then
        kill -TERM "$nginx" 2>/dev/null || true
    else
        stopping=yes
        say "finishing the running requests"
        kill -QUIT "$nginx" 2>/dev/null || true
    fi
}

stop_now() {
    [ -n "$nginx" ] || exit 0
    stopping=yes
    kill -TERM "$nginx" 2>/dev/null || true
}

main() {
    # First of all: a process 1 without a handler ignores the signal.
    trap finish TERM QUIT
    trap stop_now INT
    trap 'reload_wanted=yes' HUP
    prepare
    rm -f "$run/errors" "$run/in-use.conf"
    mkfifo -m 600 "$run/errors"
    exec 3<>"$run/errors"
    start_log_filter
    nginx -c "$conf/nginx.conf" -g 'daemon off;' 2>&3 3>&- &
    nginx=$!
    awaited=started
    leaving=''
    start_checks

    while kill -0 "$nginx" 2>/dev/null; do
        # A signal ends `wait`, not `sleep`: traps run at once.
        sleep 1 &
        wait $! || true
        [ -n "$stopping" ] || refresh
        confirm
        kill -0 "$log_filter" 2>/dev/null || start_log_filter
        kill -0 "$checks" 2>/dev/null || start_checks
    done
    status=0
    wait "$nginx" || status=$?
    if [ -z "$stopping" ]; then
        # Its workers may live on and keep the pipe; they end with this container.
        say "nginx ended by itself with status $status"
        exit 1
    fi
    exec 3>&-
    wait "$log_filter" || true
    exit "$status"
}

case ${1:-run} in
    run) main ;;
    test)
        prepare
        [ -z "$names_missing" ] || exit 1
        check
        ;;
    *)
        say "expected run or test, found $1"
        exit 2
        ;;
esac
