#!/usr/bin/env bash
# From a clone to a server with one base model and its fine-tune in it: installs what
# is missing, builds, makes a private server (lib/private-server.sh), imports the two
# files, gives both back through SQL and through sparse_export, and shows by SHA-256
# that nothing was lost. Leaves no server running, and says how to start it again.
#
# Every run begins anew. The server lies in build/quickstart, or under /var/tmp where
# the user it must run as cannot get there, or a socket's path would be too long.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
unset MAKEFLAGS MFLAGS MAKELEVEL

base=mini-base.safetensors
finetune=mini-finetune.safetensors
place_file=build/quickstart.place

say() { printf '\n== %s\n' "$*"; }

# Where an earlier run left its server.
remove_earlier() {
    local earlier
    [ -r "$place_file" ] || return 0
    earlier=$(cat "$place_file")
    case $earlier in
        "$top/build/quickstart" | /var/tmp/sparse-quickstart.*) ;;
        *) return 0 ;;
    esac
    # another user's is his to remove
    [ -d "$earlier" ] && [ -w "$earlier" ] || return 0
    bindir=$earlier/server$("$PG_CONFIG" --bindir)
    stop_all_under "$earlier"
    rm -rf "$earlier"
}

# Sets $place: a directory in which $run_user may write.
choose_place() {
    mkdir -p build
    remove_earlier
    place=$top/build/quickstart
    mkdir -p "$place"
    if [ ${#place} -gt 80 ] || ! as_user test -x "$place" 2>/dev/null; then
        rmdir "$place"
        place=$(mktemp -d /var/tmp/sparse-quickstart.XXXXXX)
        chmod 755 "$place"
    fi
    echo "$place" >"$place_file"
    if [ "$(id -u)" -eq 0 ]; then chown "$run_user" "$place"; fi
}

psql_here() {
    as_user env PATH="$bindir:$PATH" psql --no-psqlrc --host="$place/s" --port="$server_port" \
        --username=postgres --set=ON_ERROR_STOP=1 "$@" postgres
}

import_both() {
    psql_here --quiet --echo-queries --file=- <<-END
	create extension sparse;
	create role sparse_owner nologin;
	grant create on database postgres to sparse_owner;
	set role sparse_owner;
	select sparse_create_store();
	reset role;
	select sparse_import_file('acme/base', '$place/models/$base');
	select sparse_import_file('acme/finetune', '$place/models/$finetune', parents => array['acme/base']);
	END
}

sha256_of_file() { as_user sha256sum "$1" | cut -d' ' -f1; }

sha256_by_sql() {
    psql_here --quiet --no-align --tuples-only --file=- <<-END
	select encode(sha256(string_agg(piece, '' order by n)), 'hex')
	from sparse_reconstruct('$1') with ordinality as pieces (piece, n);
	END
}

# One version beside the file it came from; fails unless all three are the same.
prove_identical() {
    local version=$1 file=$2 original by_sql exported
    psql_here --quiet --output=/dev/null \
        --command="select sparse_export('$version', '$place/exported/$file')"
    original=$(sha256_of_file "$place/models/$file")
    by_sql=$(sha256_by_sql "$version")
    exported=$(sha256_of_file "$place/exported/$file")
    printf '%s\n' "$version"
    printf '    %s  %s\n' "$original" "the file imported, $file" \
        "$by_sql" "sparse_reconstruct('$version')" "$exported" "what sparse_export wrote"
    if [ "$original" != "$by_sql" ] || [ "$original" != "$exported" ]; then
        echo "    DIFFERENT: this is a fault in sparse, please report it"
        return 1
    fi
    echo "    identical"
}

say_how_to_go_on() {
    local prefix=
    if [ "$(id -u)" -eq 0 ]; then prefix="runuser -u $run_user -- "; fi
    say "The server is stopped. To start it again, connect, and stop it:"
    cat <<-END
	    $prefix$bindir/pg_ctl -D $place/data -l $place/data.log start
	    $bindir/psql -h $place/s -p $server_port -U postgres postgres
	    $prefix$bindir/pg_ctl -D $place/data stop
	END
}

main() {
    QUICKSTART=1 bash test/install-packages.sh
    choose_user

    say "Building"
    make -s -j2 all PG_CONFIG="$PG_CONFIG"
    choose_place
    run_home=$place
    trap 'stop_all_under "$place"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    say "A server of its own in $place, as user $run_user"
    install_private "$top" "$place/server"
    as_user mkdir "$place/models" "$place/exported"
    cp "test/data/$base" "test/data/$finetune" "$place/models"
    cd "$place"
    init_cluster "$place/data" "$place/s" </dev/null
    start_cluster "$place/data"

    say "A store, a base, its fine-tune"
    import_both

    say "Both back again, bit for bit"
    prove_identical acme/base "$base"
    prove_identical acme/finetune "$finetune"

    say "What it saved"
    psql_here --expanded --command='select * from sparse.savings'

    stop_cluster "$place/data"
    say_how_to_go_on
}

main
