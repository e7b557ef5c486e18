#!/bin/sh
# Keeps the certificate of TLS=acme: fetches the first one, renews it in time, leaves it where nginx takes it from.
#   acme               run
#   acme now [--force] look once and fetch what is due, with --force in any case; exit 1 where that fails
#   acme chain         what nginx was given, without the key; nothing where nothing was fetched yet
#   acme why           why the last try failed; nothing where it did not
# ACME_NAMES (separated by spaces), ACME_EMAIL, ACME_DIRECTORY; LEGO_CA_CERTIFICATES, HTTPS_PROXY are lego's own.
# /data: account, keys, certificates (lego's), and how it went. /served/tls.pem: key and chain, for nginx. /challenge:
# what nginx shows the ACME server. /metrics: for node-exporter.
set -eu
umask 077

name=${ACME_NAMES%% *}
certificate=/data/certificates/$name.crt
key=/data/certificates/$name.key
wanted="$ACME_NAMES from $ACME_DIRECTORY"
month=$((30 * 86400))
half_a_day=43200

say() {
    printf '%s acme: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >&2
}

# -startdate or -enddate of a certificate, as seconds.
moment() {
    date -d "$(openssl x509 -noout "$1" -in "$2" | cut -d= -f2)" +%s
}

# The second from which it is to be renewed: 30 days before its end, or where it lives short, a third of its life.
renewal() {
    ends=$(moment -enddate "$certificate")
    margin=$(((ends - $(moment -startdate "$certificate")) / 3))
    [ "$margin" -lt "$month" ] || margin=$month
    echo $((ends - margin))
}

due() {
    [ -s "$certificate" ] && [ "$(cat /data/fetched 2>/dev/null)" = "$wanted" ] || return 0
    [ "$(date +%s)" -ge "$(renewal)" ]
}

failures() {
    cat /data/failures 2>/dev/null || echo 0
}

# Five tries within the first hour, as many as Let's Encrypt allows, then fewer and fewer, down to four a day.
pause() {
    if [ "$(failures)" -gt 0 ]; then
        seconds=$((${ACME_RETRY_S:-120} << ($(failures) < 9 ? $(failures) - 1 : 8)))
        most=21600
    else
        seconds=$(($(renewal) - $(date +%s)))
        most=$half_a_day
    fi
    [ "$seconds" -lt "$most" ] || seconds=$most
    [ "$seconds" -gt 0 ] || seconds=1
    echo "$seconds"
}

# Whether nginx shows what we put there: an ACME server that is asked too early counts it against us.
door_is_open() {
    mkdir -p /challenge/.well-known/acme-challenge
    chmod 755 /challenge/.well-known /challenge/.well-known/acme-challenge
    echo open >/challenge/.well-known/acme-challenge/self-check
    chmod 644 /challenge/.well-known/acme-challenge/self-check
    tries=${ACME_DOOR_TRIES:-60}
    while [ "$tries" -gt 0 ]; do
        found=$(curl -fsS -m 5 --noproxy '*' http://nginx:4080/.well-known/acme-challenge/self-check 2>/dev/null || true)
        [ "$found" != open ] || return 0
        tries=$((tries - 1))
        sleep 1
    done
    return 1
}

# What lego said last of an error, in one line that a terminal can be shown.
reason() {
    grep -iE 'error|could not|urn:ietf' "$1" | tail -n 1 | tr -cd '[:print:]' | sed 's/^[0-9/]* [0-9:]* //' | cut -c -400
}

hint() {
    case $1 in
        *rateLimited*) echo "the ACME server wants us to wait; it is asked again by itself" ;;
        *urn:ietf:params:acme:error:*)
            echo "http://$name/ on port 80 must reach TLS_HTTP_PORT of this host from outside, and its DNS lead here"
            ;;
        *x509* | *certificate\ signed\ by*) echo "its own certificate is not trusted: set ACME_CA_BUNDLE" ;;
        *nginx*) echo "tollgate logs nginx tells why" ;;
        *) echo "can this host reach $ACME_DIRECTORY?" ;;
    esac
}

failed() {
    echo $(($(failures) + 1)) >/data/failures
    printf '%s; %s\n' "$1" "$(hint "$1")" >/data/why
    say "no new certificate: $(cat /data/why)"
}

fetch() {
    if ! door_is_open; then
        failed "nginx does not show what is asked of port 80"
        return 1
    fi
    set --
    for host in $ACME_NAMES; do
        set -- "$@" --domains "$host"
    done
    if lego --path /data --accept-tos --email "$ACME_EMAIL" --server "$ACME_DIRECTORY" "$@" \
        --http --http.webroot /challenge --key-type ec256 run >/data/lego.log 2>&1; then
        printf '%s' "$wanted" >/data/fetched
        rm -f /data/failures /data/why
        say "fetched a certificate for $ACME_NAMES; it ends on $(date -u -d "@$(moment -enddate "$certificate")" +%Y-%m-%dT%H:%M:%SZ)"
        return 0
    fi
    failed "$(reason /data/lego.log)"
    return 1
}

# Whole or not at all, and never a key beside another key's certificate.
hand_over() {
    [ -s "$certificate" ] && [ -s "$key" ] || return 0
    [ "$(openssl pkey -in "$key" -pubout)" = "$(openssl x509 -noout -pubkey -in "$certificate")" ] || return 0
    cat "$key" "$certificate" >/served/new
    if cmp -s /served/new /served/tls.pem; then
        rm /served/new
    else
        mv /served/new /served/tls.pem
    fi
}

tell() {
    life=''
    [ ! -s /served/tls.pem ] || life=$(($(moment -enddate /served/tls.pem) - $(moment -startdate /served/tls.pem)))
    {
        echo "# HELP tollgate_acme_failures How often in a row no certificate could be had from the ACME server."
        echo "# TYPE tollgate_acme_failures gauge"
        echo "tollgate_acme_failures $(failures)"
        if [ -n "$life" ]; then
            echo "# HELP tollgate_certificate_expiry_timestamp_seconds When the certificate that nginx was given ends."
            echo "# TYPE tollgate_certificate_expiry_timestamp_seconds gauge"
            echo "tollgate_certificate_expiry_timestamp_seconds $(moment -enddate /served/tls.pem)"
            echo "# HELP tollgate_certificate_life_seconds From its beginning to its end."
            echo "# TYPE tollgate_certificate_life_seconds gauge"
            echo "tollgate_certificate_life_seconds $life"
        fi
    } >/metrics/acme.new
    chmod 644 /metrics/acme.new
    mv /metrics/acme.new /metrics/acme.prom
}

# One at a time: `now` comes from outside.
look() (
    exec 9>/data/lock
    flock 9
    status=0
    hand_over
    if [ "${1:-}" = --force ] || due; then
        fetch 9>&- || status=1
        hand_over
    fi
    tell
    return "$status"
)

case ${1:-run} in
    run)
        trap 'exit 0' TERM INT
        say "keeping a certificate for $ACME_NAMES from $ACME_DIRECTORY"
        while :; do
            look || true
            # A signal ends `wait`, not `sleep`.
            sleep "$(pause)" &
            wait $!
        done
        ;;
    now) look "${2:-}" ;;
    chain) [ ! -s /served/tls.pem ] || sed '/-----BEGIN .*PRIVATE KEY-----/,/-----END .*PRIVATE KEY-----/d' /served/tls.pem ;;
    why) cat /data/why 2>/dev/null || true ;;
    *)
        say "expected now, chain or why, found $1"
        exit 2
        ;;
esac
