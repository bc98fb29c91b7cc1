#!/bin/sh
# Starts PostgreSQL: as the primary, or as a standby that follows it. PRIMARY is the ordinal of the pod that is primary.
set -eu
umask 077
export PGDATA=/data/pgdata
ordinal=${HOSTNAME##*-}

create() {
    rm -rf "$PGDATA.new"
    initdb --pgdata="$PGDATA.new" --username=postgres --encoding=UTF8 --locale=C.UTF-8 --data-checksums \
        --auth-local=trust --auth-host=scram-sha-256
    {
        echo "host estafette estafette all scram-sha-256"
        echo "host replication replication all scram-sha-256"
    } >>"$PGDATA.new/pg_hba.conf"
    pg_ctl start --wait --pgdata="$PGDATA.new" --options="-c listen_addresses= -c unix_socket_directories=/run/postgresql"
    psql --no-psqlrc --quiet --host=/run/postgresql --username=postgres --set=ON_ERROR_STOP=1 \
        --set=password="$(cat /secrets/password)" --set=replication="$(cat /secrets/replicationPassword)" <<SQL
CREATE ROLE estafette LOGIN PASSWORD :'password';
CREATE DATABASE estafette OWNER estafette;
CREATE ROLE replication LOGIN REPLICATION PASSWORD :'replication';
SQL
    pg_ctl stop --wait --mode=fast --pgdata="$PGDATA.new"
    mv "$PGDATA.new" "$PGDATA" # whole, or not at all
}

# A standby asks for the password of replication at each start anew, so that it is in no file of the volume.
follow() {
    export PGPASSFILE=/tmp/pgpass
    echo "*:*:*:replication:$(cat /secrets/replicationPassword)" >"$PGPASSFILE"
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        rm -rf "$PGDATA.new"
        until pg_basebackup --pgdata="$PGDATA.new" --host="$PRIMARY_HOST" --username=replication --wal-method=stream \
            --checkpoint=fast; do
            rm -rf "$PGDATA.new"
            sleep 2
        done
        touch "$PGDATA.new/standby.signal"
        mv "$PGDATA.new" "$PGDATA"
    fi
    [ -e "$PGDATA/standby.signal" ] || {
        echo "this volume was a primary's, and another pod is primary now: delete the volume to copy that one's" >&2
        exit 1
    }
}

if [ "$ordinal" = "$PRIMARY" ]; then
    [ -s "$PGDATA/PG_VERSION" ] || create
    if [ -e "$PGDATA/standby.signal" ]; then # a standby that was chosen to be the primary
        rm "$PGDATA/standby.signal"
    fi
else
    follow
    set -- "$@" -c "primary_conninfo=host=$PRIMARY_HOST user=replication passfile=$PGPASSFILE application_name=$HOSTNAME"
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql "$@"
