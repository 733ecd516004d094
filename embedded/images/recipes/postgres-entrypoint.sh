#!/bin/sh
# Starts PostgreSQL; makes its data folder first where there is none.
# The folder is made beside its place and renamed when it is complete and on disk, so a container killed at
# any moment leaves either no data folder or a whole one.
set -eu

fail() { echo "postgres: $*" >&2; exit 1; }

# NAME or, where it is set, the content of the file that NAME_FILE names.
setting() {
    eval "file=\${$1_FILE:-} value=\${$1:-}"
    if [ -n "$file" ]; then
        [ -z "$value" ] || fail "$1 and $1_FILE are both set: give one of them"
        value=$(cat "$file") || fail "$1_FILE: $file cannot be read by user $(id -u)"
    fi
    printf %s "$value"
}

initialise() {
    parent=$(dirname "$PGDATA")
    new="$parent/.unfinished"
    [ ! -d "$PGDATA" ] || rmdir "$PGDATA" 2>/dev/null ||
        fail "$PGDATA is not a data folder of PostgreSQL and cannot be replaced: it is not empty, or it is a mount point (mount the volume above it)"
    { rm -rf "$new" && mkdir -p "$new"; } 2>/dev/null ||
        fail "user $(id -u) cannot write $parent: mount a volume at /var/lib/postgresql that it owns"

    user=$(setting POSTGRES_USER)
    user=${user:-postgres}
    database=$(setting POSTGRES_DB)
    database=${database:-$user}
    password=$(setting POSTGRES_PASSWORD)
    method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    [ -n "$password" ] || [ "$method" = trust ] ||
        fail "the first start needs a password: set POSTGRES_PASSWORD_FILE or POSTGRES_PASSWORD"
    case "$database" in *"
"*) fail "POSTGRES_DB has a line break in it" ;; esac

    # One flush of the file system at the end is faster than initdb's file by file.
    secret=$(mktemp /tmp/initdb.XXXXXX)
    printf '%s\n' "$password" >"$secret"
    [ -n "$password" ] && with_password="--pwfile=$secret" || with_password=
    # shellcheck disable=SC2086 # these are lists of options
    initdb --pgdata="$new" --username="$user" --encoding=UTF8 $SLIPWAY_LOCALE_ARGS --no-sync --no-instructions \
        --auth-local=trust --auth-host="$method" $with_password ${POSTGRES_INITDB_ARGS:-} >/tmp/initdb.log 2>&1 || {
        rm -f "$secret"
        cat /tmp/initdb.log >&2
        fail "initdb failed"
    }
    rm -f "$secret" /tmp/initdb.log
    printf '\nhost all all all %s\n' "$method" >>"$new/pg_hba.conf"
    if [ "$database" != postgres ]; then
        quoted=$(printf %s "$database" | sed 's/"/""/g')
        printf 'CREATE DATABASE "%s";\n' "$quoted" | postgres --single -D "$new" postgres >/dev/null ||
            fail "the database $database could not be made"
    fi
    sync -f "$new"
    mv "$new" "$PGDATA"
    sync "$parent"
}

if [ "${1#-}" != "$1" ]; then
    set -- postgres "$@"
fi
if [ "$1" = postgres ]; then
    [ -s "$PGDATA/PG_VERSION" ] || initialise
    [ "$(cat "$PGDATA/PG_VERSION")" = "$PG_MAJOR" ] ||
        fail "$PGDATA was made by PostgreSQL $(cat "$PGDATA/PG_VERSION"), and this is $PG_MAJOR"
    shift
    # The client programs of one version look into the one folder, those of another into the other.
    # (Tried, since the shell's own test looks at modes only and takes a read-only root for writable.)
    sockets=/tmp
    if touch /run/postgresql/.tried 2>/dev/null; then
        rm /run/postgresql/.tried
        sockets=/run/postgresql,/tmp
    fi
    set -- postgres -c listen_addresses='*' -c unix_socket_directories="$sockets" "$@"
    unset POSTGRES_PASSWORD POSTGRES_PASSWORD_FILE
fi
exec "$@"
