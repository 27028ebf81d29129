# A PostgreSQL server that belongs to one script alone. Sourced, not run.
#
# PostgreSQL finds its libraries and extensions relative to its own binary, so a
# copy of bin/ with links to the rest beside it is a whole installation, into which
# the extension is installed with DESTDIR: nothing of the system is written, and no
# rights are needed. The cluster listens on a Unix socket in a directory of its own,
# never on TCP. As root the server and everything that talks to it run as an
# unprivileged user, because initdb refuses root and because a clone may lie where
# only root can read.
#
#   choose_user                  sets $run_user
#   as_user COMMAND...           runs it as $run_user
#   install_private TOP PREFIX   a copy of the server under PREFIX with the extension in it
#   init_cluster DATA SOCKETS    a fresh cluster; more settings on stdin
#   start_cluster DATA, stop_cluster DATA
#   stop_all_under DIRECTORY     stops every server whose data lies there

PG_CONFIG=${PG_CONFIG:-pg_config}
umask 022
# LANG too: PostgreSQL's TAP modules take LC_ALL away
export LC_ALL=C.UTF-8 LANG=C.UTF-8
# The caller's own server is none of our business.
unset PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGDATA PGOPTIONS PGSERVICE PGPASSFILE

choose_user() {
    run_user=$(id -un)
    [ "$(id -u)" -eq 0 ] || return 0
    for run_user in ${SPARSE_TEST_USER:-postgres nobody}; do
        id -u "$run_user" >/dev/null 2>&1 && return 0
    done
    echo "no unprivileged user to run the server as: name one in SPARSE_TEST_USER" >&2
    return 1
}

# setpriv replaces itself by the command, so signals and exit codes pass through.
as_user() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid="$run_user" --regid="$(id -g "$run_user")" --clear-groups -- \
            env HOME="${run_home:-/tmp}" "$@"
    else
        "$@"
    fi
}

# Links in DIRECTORY to everything in SOURCE but what an installed sparse left there.
link_entries() {
    local source=$1 directory=$2
    mkdir -p "$directory"
    find "$source" -mindepth 1 -maxdepth 1 ! -name 'sparse.*' ! -name 'sparse--*' \
        -exec ln -s -t "$directory" {} +
}

# Sets $bindir, $pgxs_test (regression drivers and TAP modules).
install_private() {
    local top=$1 prefix=$2 system_bindir pkglibdir sharedir includedir
    system_bindir=$("$PG_CONFIG" --bindir)
    pkglibdir=$("$PG_CONFIG" --pkglibdir)
    sharedir=$("$PG_CONFIG" --sharedir)
    includedir=$("$PG_CONFIG" --includedir-server)
    pgxs_test=$(realpath "$(dirname "$("$PG_CONFIG" --pgxs)")/../test")
    bindir=$prefix$system_bindir

    mkdir -p "$bindir"
    cp -L "$system_bindir"/* "$bindir"
    link_entries "$pkglibdir" "$prefix$pkglibdir"
    link_entries "$sharedir" "$prefix$sharedir"
    # make install writes to these: through a link it would write into the system
    rm -f "$prefix$sharedir/extension" "$prefix$("$PG_CONFIG" --mandir)"
    link_entries "$sharedir/extension" "$prefix$sharedir/extension"
    # for tests that build a module
    mkdir -p "$prefix$(dirname "$includedir")"
    ln -s "$includedir" "$prefix$includedir"
    make -C "$top" -s --no-print-directory install DESTDIR="$prefix" PG_CONFIG="$PG_CONFIG"
}

init_cluster() {
    local data=$1 sockets=$2
    as_user mkdir -m 700 -p "$sockets"
    as_user "$bindir/initdb" --pgdata="$data" --username=postgres --auth=trust \
        --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$data.initdb.log" 2>&1 || {
        cat "$data.initdb.log" >&2
        return 1
    }
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$sockets'"
        echo "port = $server_port"
        cat
    } | as_user tee -a "$data/postgresql.conf" >/dev/null
}

# The port only names the socket; a fixed one serves, for the directory is private.
server_port=54329

start_cluster() {
    as_user "$bindir/pg_ctl" --pgdata="$1" --log="$1.log" --silent --wait start >/dev/null || {
        tail -n 20 "$1.log" >&2
        return 1
    }
}

stop_cluster() {
    as_user "$bindir/pg_ctl" --pgdata="$1" --silent --wait --mode=fast stop
}

# For traps: whatever still runs is stopped at once, and waited for, so that the
# directory can be removed.
stop_all_under() {
    local pidfile
    [ -n "${bindir:-}" ] || return 0
    find "$1" -name postmaster.pid 2>/dev/null | while read -r pidfile; do
        as_user "$bindir/pg_ctl" --pgdata="$(dirname "$pidfile")" --silent --wait \
            --mode=immediate stop >/dev/null 2>&1 || true
    done
}
