#!/usr/bin/env bash
# What make bench-wire measures, written to docs/wire-benchmarks.md: models in and out
# of a server over a network, by pg_sparse push and pull, beside the plainest ways to
# move the same bytes: \copy of rows of 1 MiB of bytea, binary, and large objects.
#
# Client and server are on this machine, the client in a network namespace of its own,
# so that a pair of virtual interfaces lies between them, whose bytes are counted and
# whose rate is limited by tc (token bucket). That needs root. All ways run on one
# private cluster, in turns, each write from a checkpoint on; printed are medians.
#
#   GB            size of the synthetic pair (2); 0: only the pair of the test data
#   GEN_FAMILY    the script that makes it (../shared/tools/gen_family.py)
#   RATES         of the connection ("unlimited 1gbit 100mbit")
#   LARGE_RATES   the same for the synthetic pair (RATES): at 100 Mbit/s 2 GB take an hour
#   RUNS          how often everything is done (3)
#   JOBS          connections of push and pull (pg_sparse's default)

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
unset MAKEFLAGS MFLAGS MAKELEVEL

gb=${GB:-2}
runs=${RUNS:-3}
small_rates=${RATES:-unlimited 1gbit 100mbit}
large_rates=${LARGE_RATES:-$small_rates}
generator=${GEN_FAMILY:-../shared/tools/gen_family.py}
work=
namespace=sparse-bench-$$
outside=sb$$a
inside=sb$$b
server_address=10.213.77.1
client_address=10.213.77.2

clean_up() {
    ip link del "$outside" 2>/dev/null || true
    ip netns del "$namespace" 2>/dev/null || true
    [ -n "$work" ] || return 0
    stop_all_under "$work"
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

need() {
    "$@" >/dev/null 2>&1 && return 0
    echo "bench-wire cannot be run here: \"$*\" fails (it needs root, and iproute2)" >&2
    exit 1
}

# ---- the network ----

make_network() {
    need ip netns add "$namespace"
    need ip link add "$outside" type veth peer name "$inside"
    ip link set "$inside" netns "$namespace"
    ip address add "$server_address/30" dev "$outside"
    ip link set "$outside" up
    ip netns exec "$namespace" ip address add "$client_address/30" dev "$inside"
    ip netns exec "$namespace" ip link set "$inside" up
    ip netns exec "$namespace" ip link set lo up
}

# The rates at which a pair is measured, one a line.
rates_of() {
    if [ "$1" = small ]; then tr " " "\n" <<<"$small_rates"; else tr " " "\n" <<<"$large_rates"; fi
}

# Limit both directions. The bucket holds a few milliseconds, the queue fifty.
set_rate() {
    tc qdisc del dev "$outside" root 2>/dev/null || true
    ip netns exec "$namespace" tc qdisc del dev "$inside" root 2>/dev/null || true
    [ "$1" = unlimited ] && return 0
    need tc qdisc add dev "$outside" root tbf rate "$1" burst 256kb latency 50ms
    ip netns exec "$namespace" tc qdisc add dev "$inside" root tbf rate "$1" burst 256kb latency 50ms
}

# Bytes that have crossed the interface, both ways.
bytes_crossed() {
    cat "/sys/class/net/$outside/statistics/rx_bytes" "/sys/class/net/$outside/statistics/tx_bytes" |
        awk '{ sum += $1 } END { printf "%.0f", sum }'
}

# ---- server and client ----

start_server() {
    run_home=$work
    install_private "$top" "$work/server"
    init_cluster "$work/data" "$work/s" <<-END
	listen_addresses = '$server_address'
	sparse.find_parents = off
	shared_buffers = 512MB
	max_wal_size = 16GB
	checkpoint_timeout = 1h
	END
    echo "host all all $client_address/32 trust" | as_user tee -a "$work/data/pg_hba.conf" >/dev/null
    start_cluster "$work/data"
}

psql_here() {
    as_user "$bindir/psql" --no-psqlrc --quiet --host="$work/s" --port="$server_port" \
        --username=postgres --set=ON_ERROR_STOP=1 "$@" postgres
}

# A command from the other end of the network, as an ordinary user.
over_there() {
    ip netns exec "$namespace" setpriv --reuid="$run_user" --regid="$(id -g "$run_user")" --clear-groups -- \
        env HOME="$work" PGHOST="$server_address" PGPORT="$server_port" PGUSER=postgres PGDATABASE=postgres "$@"
}

psql_there() { over_there "$bindir/psql" --no-psqlrc --quiet --set=ON_ERROR_STOP=1 "$@" >/dev/null; }
sparse_there() { over_there "$bindir/pg_sparse" "$@" --quiet ${JOBS:+-j "$JOBS"} >/dev/null; }

# ---- the ways ----

# The same bytes as rows of 1 MiB, in the binary form of COPY.
make_rows() {
    perl -e '
        binmode STDIN; binmode STDOUT;
        print "PGCOPY\n\377\r\n\0", pack("NN", 0, 0);
        for (my $n = 0; read(STDIN, my $piece, 1 << 20); $n++) {
            print pack("nNq>N", 2, 8, $n, length $piece), $piece;
        }
        print pack("n", 0xffff);' <"$1" >"$2"
}

# Does one thing over there: keeps seconds and bytes under way, file and rate.
measure() {
    local key=$1 bytes started
    shift
    psql_here --command=checkpoint
    sync
    bytes=$(bytes_crossed)
    started=$EPOCHREALTIME
    "$@"
    echo "$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }') $(($(bytes_crossed) - bytes))" >>"$work/result.$key"
}

check_same() {
    cmp -s "$1" "$2" || { echo "$2 is not what was stored" >&2; exit 1; }
}

run_plain() {
    local file=$1 key=$2 object
    psql_here --command='drop table if exists plain' --command='create table plain (n bigint, piece bytea)' \
        --command='alter table plain alter piece set storage external'
    measure "in.copy.$key" psql_there --command="\\copy plain from '$work/$file.rows' (format binary)"
    rm -f "$work/out"
    measure "out.copy.$key" psql_there --command="\\copy (select n, piece from plain order by n) to '$work/out' (format binary)"
    check_same "$work/$file.rows" "$work/out"
    psql_here --command='drop table plain'

    measure "in.lo.$key" psql_there --command="\\lo_import '$work/$file'"
    object=$(psql_here --tuples-only --no-align --command='select max(oid) from pg_largeobject_metadata')
    rm -f "$work/out"
    measure "out.lo.$key" psql_there --command="\\lo_export $object '$work/out'"
    check_same "$work/$file" "$work/out"
    psql_here --command="select lo_unlink($object)" --command='vacuum pg_largeobject' >/dev/null
}

forget() {
    psql_here --command="select sparse_drop('$1')" --command="select sparse_collect('0 seconds')" >/dev/null
}

pull_measured() {
    local key=$1 name=$2 file=$3
    shift 3
    rm -f "$work/out"
    measure "$key" sparse_there pull "$name" -o "$work/out" "$@"
    check_same "$work/$file" "$work/out"
}

run_sparse() {
    local pair=$1 rate=$2
    psql_here --command='drop schema if exists sparse cascade' --command='select sparse_create_store()' >/dev/null 2>&1
    measure "in.sparse.$pair.base.$rate" sparse_there push "$work/$pair.base" base --no-parent
    pull_measured "out.sparse.$pair.base.$rate" base "$pair.base"
    measure "in.sparse.$pair.child.$rate" sparse_there push "$work/$pair.child" child --parent base
    forget child
    measure "in.have.$pair.child.$rate" sparse_there push "$work/$pair.child" child --parent base --have "$work/$pair.base"
    pull_measured "out.sparse.$pair.child.$rate" child "$pair.child"
    pull_measured "out.have.$pair.child.$rate" child "$pair.child" --have "$work/$pair.base"
}

run_once() {
    local pair=$1 rate=$2
    set_rate "$rate"
    run_plain "$pair.base" "$pair.base.$rate"
    run_plain "$pair.child" "$pair.child.$rate"
    run_sparse "$pair" "$rate"
}

# ---- the report ----

# Median seconds (1) or bytes (2) of what was kept under a key.
median() { sort -n -k "$2" "$work/result.$1" | awk -v column="$2" '{ v[NR] = $column } END { print v[int((NR + 1) / 2)] }'; }

# A line: what, seconds, its ratios, bytes and their ratio.
print_line() {
    local title=$1 key=$2 plain=$3 lo=$4 size=$5
    awk -v title="$title" -v t="$(median "$key" 1)" -v b="$(median "$key" 2)" -v pt="$(median "$plain" 1)" \
        -v pb="$(median "$plain" 2)" -v lt="$(median "$lo" 1)" -v size="$size" 'BEGIN {
        printf "| %s | %.2f | %.2f | %.2f | %.1f | %.3f | %.3f |\n", title, t, t / pt, t / lt, b / 1e6, b / pb, b / size }'
}

print_file() {
    local pair=$1 file=$2 rate=$3 direction title size
    size=$(stat -L -c %s "$work/$pair.$file")
    for direction in in out; do
        local plain=$direction.copy.$pair.$file.$rate lo=$direction.lo.$pair.$file.$rate verb=pull
        [ $direction = in ] && verb=push
        title="$file, $direction"
        print_line "$title: \\copy" "$plain" "$plain" "$lo" "$size"
        print_line "$title: large object" "$lo" "$plain" "$lo" "$size"
        print_line "$title: $verb" "$direction.sparse.$pair.$file.$rate" "$plain" "$lo" "$size"
        [ "$file" = base ] || print_line "$title: $verb --have" "$direction.have.$pair.$file.$rate" "$plain" "$lo" "$size"
    done
}

print_pair() {
    local pair=$1 title=$2 rate
    printf '## %s\n\nbase %s bytes, child %s bytes.\n' "$title" "$(stat -L -c %s "$work/$pair.base")" "$(stat -L -c %s "$work/$pair.child")"
    for rate in $(rates_of "$pair"); do
        printf '\n### %s, %s\n\n' "$title" "$rate"
        echo '| what | seconds | / \copy | / large object | MB on the wire | / \copy | / file |'
        echo '|---|--:|--:|--:|--:|--:|--:|'
        print_file "$pair" base "$rate"
        print_file "$pair" child "$rate"
    done
    echo
}

print_head() {
    cat <<-END
	# Over the wire

	Written by \`make bench-wire\`; run it again rather than edit this page.

	Client and server on one machine with a pair of virtual network interfaces between them: \`unlimited\`, or limited by tc (tbf, both ways).
	Seconds are wall time, durable on both sides (fsync as installed; pull syncs its file, psql does not); bytes are all that crossed, both ways, with the headers of
	the network. \`/ \\copy\` and \`/ large object\` are ratios to psql's \`\\copy\` of 1 MiB rows of bytea in binary form, and to \`\\lo_import\` and
	\`\\lo_export\`, of the same file over the same connection. A push has hashed its files, and the server has decoded and checked all of it, when it ends. Medians of $runs runs.

	$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores; $("$bindir/postgres" --version); $(date -u +%Y-%m-%d);
	load average before the run $load_before; command: \`make bench-wire GB=$gb RUNS=$runs RATES="$small_rates" LARGE_RATES="$large_rates"${JOBS:+ JOBS=$JOBS}\`.

	END
}

write_report() {
    {
        print_head
        print_pair small 'main-base and main-finetune'
        if [ "$gb" != 0 ]; then print_pair large "synthetic, $gb GB, bf16"; fi
    } >"$work/report"
    cp "$work/report" "$top/docs/wire-benchmarks.md"
    cat "$top/docs/wire-benchmarks.md"
}

# ---- the data ----

any_python() {
    if python3 -c 'import numpy' 2>/dev/null; then echo python3; else echo /usr/bin/python3; fi
}

make_large_pair() {
    "$(any_python)" "$generator" --out "$work/family" --gb "$gb" --dtype bf16 --seed 1 --children sft >&2
    mv "$work"/family/*base*.safetensors "$work/large.base"
    mv "$work"/family/*sft*.safetensors "$work/large.child"
}

make_data() {
    cp -L test/data/main-base.safetensors "$work/small.base"
    cp -L test/data/main-finetune.safetensors "$work/small.child"
    pairs=(small)
    if [ "$gb" != 0 ]; then
        make_large_pair
        pairs+=(large)
    fi
    local pair file
    for pair in "${pairs[@]}"; do
        for file in base child; do make_rows "$work/$pair.$file" "$work/$pair.$file.rows"; done
    done
    chmod a+r "$work"/*.base* "$work"/*.child*
}

main() {
    local rate pair run
    bash test/install-packages.sh
    choose_user
    make -s -j2 all PG_CONFIG="$PG_CONFIG"
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/sparse-bench-wire.XXXXXX")
    chmod 755 "$work"
    chown "$run_user" "$work"
    load_before=$(cut -d " " -f 1 /proc/loadavg)
    make_network
    make_data
    start_server
    psql_here --command='create extension sparse'
    for run in $(seq "$runs"); do
        for pair in "${pairs[@]}"; do
            for rate in $(rates_of "$pair"); do
                echo "run $run: $pair, $rate" >&2
                run_once "$pair" "$rate"
            done
        done
    done
    write_report
}

main
