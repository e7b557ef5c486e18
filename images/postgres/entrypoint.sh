#!/bin/sh
# Create the database cluster in an empty PGDATA, then become the server.
#
# The cluster is made in a subdirectory and moved into place with PG_VERSION last, so a container killed halfway
# starts again from nothing instead of serving half a cluster.
set -eu
umask 077

case ${1-} in
    -*) set -- postgres "$@" ;;
    postgres) ;;
    *) exec "$@" ;;
esac
case " $* " in
    *" --version "* | *" -V "* | *" --help "*) exec "$@" ;;
esac

fail() {
    echo "postgres: $*" >&2
    exit 1
}

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
work=$PGDATA/.initialising

create_cluster() {
    [ -n "${POSTGRES_PASSWORD_FILE:-}" ] || fail "POSTGRES_PASSWORD_FILE names no file: a cluster needs a password"
    [ -s "$POSTGRES_PASSWORD_FILE" ] || fail "POSTGRES_PASSWORD_FILE=$POSTGRES_PASSWORD_FILE is missing, empty or not readable by uid $(id -u)"
    mkdir "$work"
    # shellcheck disable=SC2086  # POSTGRES_INITDB_ARGS is a list of options
    initdb --pgdata="$work/data" --username="$user" --pwfile="$POSTGRES_PASSWORD_FILE" --encoding=UTF8 \
        --locale=C.UTF-8 --data-checksums --auth-local=trust --auth-host=scram-sha-256 ${POSTGRES_INITDB_ARGS:-}
    # Reachable from other containers, as in the official image; a password is asked for there.
    printf 'host all all all scram-sha-256\n' >>"$work/data/pg_hba.conf"
    printf "listen_addresses = '*'\n" >>"$work/data/postgresql.conf"
}

run_init_scripts() {
    # No TCP while the scripts run: nobody may meet a database that is not ready.
    pg_ctl --pgdata="$work/data" --wait --silent \
        --options="-c listen_addresses='' -c unix_socket_directories=/tmp -c logging_collector=off" start
    export PGHOST=/tmp PGUSER="$user"
    if [ "$database" != postgres ]; then
        psql --no-psqlrc --quiet --dbname=postgres --set=ON_ERROR_STOP=1 --set=name="$database" <<-'SQL'
			CREATE DATABASE :"name";
		SQL
    fi
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
            *.sh)
                echo "postgres: running $script"
                if [ -x "$script" ]; then "$script"; else sh -eu "$script"; fi
                ;;
            *.sql)
                echo "postgres: running $script"
                psql --no-psqlrc --quiet --dbname="$database" --set=ON_ERROR_STOP=1 --file="$script"
                ;;
        esac
    done
    unset PGHOST PGUSER
    pg_ctl --pgdata="$work/data" --wait --silent --mode=fast stop
}

move_into_place() {
    rm -f "$work/data/postmaster.opts"
    find "$work/data" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
    sync
    mv "$work/data/PG_VERSION" "$PGDATA/PG_VERSION"
}

if [ ! -d "$PGDATA" ] || [ ! -w "$PGDATA" ]; then
    fail "PGDATA=$PGDATA is not a directory uid $(id -u) may write to"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -d "$work" ]; then
        echo "postgres: an earlier start was interrupted before the cluster was complete; starting over"
        find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} +
    fi
    [ -z "$(find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name lost+found -print -quit)" ] \
        || fail "PGDATA=$PGDATA holds files but no cluster; move them away, or restore a backup"
    create_cluster
    run_init_scripts
    move_into_place
fi
rm -rf "$work"

have=$(cat "$PGDATA/PG_VERSION")
serve=$(postgres --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
[ "$have" = "$serve" ] || fail "the data is PostgreSQL $have's and this server is $serve: dump with $have and restore"

exec "$@"
