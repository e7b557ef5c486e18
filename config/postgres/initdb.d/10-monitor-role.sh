#!/bin/sh
# First start only: a role that may read statistics and nothing else, for the Postgres exporter.
set -eu
password=$(cat /run/secrets/monitor_password)
# Through standard input, so that the password is in no process list.
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<SQL
CREATE ROLE tollgate_monitor LOGIN PASSWORD '$password' IN ROLE pg_monitor CONNECTION LIMIT 5;
SQL
