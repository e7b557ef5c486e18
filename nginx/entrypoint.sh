#!/bin/sh
# Runs nginx and keeps its lists of gateway processes and replicas equal to Docker's DNS. docs/decisions/0005 gives the reasons.
#   entrypoint.sh        run: write the list, start nginx, then look up the names each second and reload after a change
#   entrypoint.sh test   write the list once and check the whole configuration
# SIGTERM or SIGQUIT: finish the running requests (a second one: stop at once). SIGINT: stop at once. SIGHUP: reload.
# /run/drain/<name>             this file takes a replica or a gateway process out of rotation until it is removed. A
#                               rollout writes it on the host (docs/decisions/0020).
# /run/nginx/silent/<replica>   checks.sh writes it; it takes the replica out while another one answers
# /run/nginx/upstreams.conf     the list of replicas that nginx was last told to load
# /run/nginx/gateways.conf      the same with the gateway processes before them, if there are any (GATEWAYS in .env)
# /run/nginx/in-use.conf        the list that nginx uses now
# /run/acme/tls.pem             with TLS=acme, the certificate from the acme service; nginx loads a new one at once
set -eu

conf=/etc/nginx/tollgate
run=/run/nginx
upstreams=$run/upstreams.conf
gateway_upstreams=$run/gateways.conf
fetched=/run/acme
drain=/run/drain
# After so many rounds without any name, the replicas are gone. Before that, it is probably only the DNS.
patience=10
silent_rounds=0
reload_wanted=''
awaited=''
stopping=''
replicas=''
gateways=''
names=''
names_missing=''
nginx=''
checks=''

say() {
    printf '%s entrypoint: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >&2
}

# The directory may be replaced while we read it. If the list is missing or empty, keep the old one.
read_names() {
    if given=$(cat "$conf/replicas" 2>/dev/null) && [ -n "$given" ]; then
        replicas=$given
        gateways=$(cat "$conf/gateways" 2>/dev/null) || gateways=''
        names="$replicas $gateways"
        names_missing=''
    elif [ -z "$names_missing" ]; then
        names_missing=yes
        say "cannot read $conf/replicas; its names stay as they were"
    fi
}

# Writes one answer for each replica to $run/lookup: the status of the lookup (124: timeout) and the address. The
# lookups run in parallel, so that a slow name delays no other. The dot at the end disables search domains. With a
# wildcard DNS entry the name of a stopped replica could resolve to another host, which would receive requests with keys
# in them.
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

# Updates $run/known: stores a new address, removes an unknown name, ignores a lookup without an answer. While no name
# resolves, it removes nothing until patience is over.
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

# Whether one of these names, which are in rotation, answers its checks. If none does, the fault is probably not in
# them. Then the checks are ignored, because an empty list helps nobody.
somebody_answers() {
    for name in $1; do
        if [ -f "$run/known/$name" ] && [ ! -e "$drain/$name" ] && [ ! -e "$run/silent/$name" ]; then
            return 0
        fi
    done
    return 1
}

# servers NAMES PORT [WORD]: one line for each name with a known address.
servers() {
    believed=''
    ! somebody_answers "$1" || believed=yes
    for name in $1; do
        [ -f "$run/known/$name" ] || continue
        read -r address <"$run/known/$name"
        down=''
        [ -e "$drain/$name" ] && down=' down'
        [ -n "$believed" ] && [ -e "$run/silent/$name" ] && down=' down'
        # After two failures within 5 s, nginx skips a replica for 5 s, for example while it starts. It takes two, so
        # that one request that breaks a connection on each replica does not remove all of them.
        printf 'server %s:%s max_fails=2 fail_timeout=5s%s%s; # %s\n' "$address" "$2" "${3:-}" "$down" "$name"
    done
}

# nginx does not start with an empty list. Nothing listens on this address, so clients get our "unavailable" at once.
replica_list() {
    printf '# written by entrypoint.sh\n'
    lines=$(servers "$replicas" 4000)
    printf '%s\n' "${lines:-server 127.0.0.1:1 down;}"
}

# Requests go to the gateway processes. If none of them accepts a connection, they go to the replicas.
gateway_list() {
    lines=$(servers "$gateways" 4100)
    if [ -n "$lines" ]; then
        printf '%s\n' "$lines"
        servers "$replicas" 4000 ' backup'
    else
        replica_list
    fi
}

check() {
    nginx -t -q -c "$conf/nginx.conf"
}

publish() {
    printf '%s\n' "$list" >"$upstreams.new"
    mv "$upstreams.new" "$upstreams"
    printf '%s\n' "$ways" >"$gateway_upstreams.new"
    mv "$gateway_upstreams.new" "$gateway_upstreams"
}

# nginx uses a copy of the certificate. If it cannot use a new certificate, it keeps the old one and logs this once.
# Before the first certificate is fetched, it uses the one that the deploy made.
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

# Writes a changed list, and reloads nginx if the configuration is valid. Otherwise it keeps the list that worked.
refresh() {
    look_up
    learn
    take_certificate
    before=$list
    ways_before=$ways
    list=$(replica_list)
    ways=$(gateway_list)
    [ "$list$ways" != "$before$ways_before" ] || [ -n "$reload_wanted" ] || return 0
    reload_wanted=''
    publish
    if problem=$(check 2>&1); then
        awaited=reloaded
        leaving=$(workers)
        kill -HUP "$nginx"
    else
        list=$before
        ways=$ways_before
        publish
        say "kept the old configuration: $problem"
    fi
}

# The workers that accept new connections, without those that only finish. It reads /proc, as not every image has ps.
workers() {
    grep -lzx 'nginx: worker process' /proc/[0-9]*/cmdline 2>/dev/null || true
}

# A start or a reload takes a moment: requests can use the old list until the last old worker stops listening. After
# that this logs the list and writes in-use.conf. Commands that drain a replica wait for that file.
confirm() {
    [ -n "$awaited" ] || return 0
    listening=$(workers)
    [ -n "$listening" ] || return 0
    for worker in $leaving; do
        case $listening in *"$worker"*) return 0 ;; esac
    done
    { cat "$upstreams" && grep '^server .*:4100 ' "$gateway_upstreams"; } >"$run/in-use.conf.new" || true
    mv "$run/in-use.conf.new" "$run/in-use.conf"
    say "$awaited; replicas: $(replicas_in_use)"
    awaited=''
}

replicas_in_use() {
    sed -n 's/^server \([^ ]*\) .*fail_timeout=5s\(.*\); # \(.*\)$/\3=\1\2/p' "$run/in-use.conf" | tr '\n' ' '
}

prepare() {
    mkdir -p "$run/lookup" "$run/known"
    look_up
    learn
    list=$(replica_list)
    ways=$(gateway_list)
    publish
    take_certificate
    reload_wanted=''
}

# nginx's error lines quote the request line, so this removes query strings and text that looks like a key. We keep the
# pipe open (3), so that the filter can be restarted, and ends when we close the pipe.
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
    # This comes first, because process 1 ignores signals without a handler.
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
        # A signal interrupts `wait` but not `sleep`. So traps run at once.
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
        # Its workers may still run and keep the pipe open. They end with this container.
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
