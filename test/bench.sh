#!/usr/bin/env bash
# Throughput of sparse beside the plainest way to keep the same bytes in PostgreSQL:
# rows of 1 MiB of bytea, storage external. Both run on one private cluster, turn and
# turn about, each from a checkpoint on; printed are the medians and their ratio.
#
#   BASE, CHILD   two safetensors files; the pair main-base, main-finetune by default
#   RUNS          how often everything is done (5)
#
# Writing is durable (fsync as installed). Reading is warm: it follows the writing.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
unset MAKEFLAGS MFLAGS MAKELEVEL

base=$(realpath "${BASE:-test/data/main-base.safetensors}")
child=$(realpath "${CHILD:-test/data/main-finetune.safetensors}")
runs=${RUNS:-5}
work=

clean_up() {
    [ -n "$work" ] || return 0
    stop_all_under "$work"
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start_server() {
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/sparse-bench.XXXXXX")
    chmod 755 "$work"
    if [ "$(id -u)" -eq 0 ]; then chown "$run_user" "$work"; fi
    run_home=$work
    install_private "$top" "$work/server"
    cp "$base" "$work/base.safetensors"
    cp "$child" "$work/child.safetensors"
    cd "$work"
    init_cluster "$work/data" "$work/s" <<-END
	shared_buffers = 512MB
	max_wal_size = 8GB
	checkpoint_timeout = 1h
	END
    start_cluster "$work/data"
}

psql_here() {
    as_user "$bindir/psql" --no-psqlrc --quiet --host="$work/s" --port="$server_port" \
        --username=postgres --set=ON_ERROR_STOP=1 "$@" postgres
}

# Milliseconds that one statement takes, seen from psql; its output is thrown away.
milliseconds() {
    printf '%s\n' '\o /dev/null' 'checkpoint;' 'set client_min_messages = error;' \
        "select 'connection is warm';" '\timing on' "$1;" |
        psql_here --file=- | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}

# The commands; :file, :version and :size are filled in.
write_plain="insert into plain select n, pg_read_binary_file(':file', n * 1048576, 1048576) from generate_series(0::bigint, (:size - 1) / 1048576) n"
write_base="select sparse_import_file('bench/base', ':file')"
write_child="select sparse_import_file('bench/child', ':file', parents => array['bench/base'])"
read_plain="select sum(get_byte(piece, 0)) from plain"
read_sparse="select sum(get_byte(piece, 0)) from (select sparse_reconstruct(':version') as piece) as pieces"
copy_plain="copy (select piece from plain order by n) to stdout (format binary)"
copy_sparse="copy (select sparse_reconstruct(':version')) to stdout (format binary)"

fill_in() {
    local text=$1 version=$2
    text=${text//:file/$work/$version.safetensors}
    text=${text//:version/bench/$version}
    echo "${text//:size/$(stat -c %s "$work/$version.safetensors")}"
}

# Time a command and keep the time under a name.
measure() {
    milliseconds "$(fill_in "$2" "$3")" >>"$work/time.$1.$3"
}

run_once() {
    local version
    psql_here >/dev/null --file=- <<-END
	set client_min_messages = error;
	drop schema if exists sparse cascade;
	select sparse_create_store();
	END
    for version in base child; do
        psql_here >/dev/null --file=- <<-END
		set client_min_messages = error;
		drop table if exists plain;
		create table plain (n bigint, piece bytea);
		alter table plain alter piece set storage external;
		END
        measure write-plain "$write_plain" $version
        local write=write_$version
        measure write-sparse "${!write}" $version
        measure read-plain "$read_plain" $version
        measure read-sparse "$read_sparse" $version
        measure copy-plain "$copy_plain" $version
        measure copy-sparse "$copy_sparse" $version
    done
}

# The median of the times kept, as MB (10^6 bytes) a second.
throughput() {
    sort -n "$work/time.$1.$2" | awk -v bytes="$(stat -c %s "$work/$2.safetensors")" '
        { t[NR] = $1 }
        END { printf "%.0f", bytes / 1000 / t[int((NR + 1) / 2)] }'
}

print_table() {
    local operation version plain sparse
    printf '\n%-10s %-6s %14s %14s %8s\n' operation file 'bytea, MB/s' 'sparse, MB/s' ratio
    for operation in write read copy; do
        for version in base child; do
            plain=$(throughput $operation-plain $version)
            sparse=$(throughput $operation-sparse $version)
            printf '%-10s %-6s %14s %14s %8s\n' $operation $version "$plain" "$sparse" \
                "$(awk -v a="$sparse" -v b="$plain" 'BEGIN { printf "%.2f", a / b }')"
        done
    done
}

print_commands() {
    local name
    printf '\n%s\n' "The commands:"
    for name in write_plain write_base write_child read_plain read_sparse copy_plain copy_sparse; do
        printf '    %-12s %s\n' "$name" "${!name}"
    done
}

main() {
    bash test/install-packages.sh
    choose_user
    make -s -j2 all PG_CONFIG="$PG_CONFIG"
    start_server
    psql_here --command='create extension sparse'
    for run in $(seq "$runs"); do run_once; done

    echo "$(basename "$base") $(stat -c %s "$base") bytes, $(basename "$child") $(stat -c %s "$child") bytes; medians of $runs runs"
    echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $("$bindir/postgres" --version)"
    print_table
    print_commands
}

main
