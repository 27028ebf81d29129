#!/usr/bin/env bash
# What make bench measures, written to docs/benchmarks.md and docs/benchmarks.svg:
#
#   - the codec beside others, without a server: pg_sparse bench over pairs of the
#     test data, and a plot of the first of them (test/plot.pl)
#   - throughput in PostgreSQL beside the plainest way to keep the same bytes there:
#     rows of 1 MiB of bytea, storage external. Both run on one private cluster, turn
#     and turn about, each from a checkpoint on; printed are the medians and their ratio.
#     Writing is durable (fsync as installed). Reading is warm: it follows the writing.
#
#   ROUNDS        of each codec on each pair (15)
#   BASE, CHILD   two safetensors files for the server; main-base, main-finetune by default
#   RUNS          how often the server does everything (5)

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
unset MAKEFLAGS MFLAGS MAKELEVEL

base=$(realpath "${BASE:-test/data/main-base.safetensors}")
child=$(realpath "${CHILD:-test/data/main-finetune.safetensors}")
runs=${RUNS:-5}
rounds=${ROUNDS:-15}
pairs=(
    "main-base main-finetune"
    "mini-base mini-finetune-strong"
    "mini-base mini-finetune-light"
    "mini-chain-1 mini-chain-2"
    "mini-base-fp16 mini-finetune-fp16"
    "mini-base-fp32 mini-finetune-fp32"
    "- main-base"
)
work=
load_before=

clean_up() {
    [ -n "$work" ] || return 0
    stop_all_under "$work"
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A directory of its own, which the server's user can read.
make_work() {
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/sparse-bench.XXXXXX")
    chmod 755 "$work"
    if [ "$(id -u)" -eq 0 ]; then chown "$run_user" "$work"; fi
}

# ---- the codecs ----

# The path of a data file; "-", no file, stays what it is.
data_path() {
    if [ "$1" = - ]; then echo -; else echo "test/data/$1.safetensors"; fi
}

pair_title() {
    if [ "$1" = - ]; then echo "$2, alone"; else echo "$1 to $2"; fi
}

bench_codecs() {
    local pair base child
    for pair in "${pairs[@]}"; do
        read -r base child <<<"$pair"
        echo "pg_sparse bench $base $child" >&2
        ./pg_sparse bench --quiet --rounds "$rounds" "$(data_path "$base")" "$(data_path "$child")" >"$work/codecs.$base.$child"
    done
}

# What pg_sparse bench printed, as a table, with the speeds as multiples of TensorX's
# (without a parent there is no TensorX, but the same planes with zstd level 3).
print_codecs() {
    awk -F '\t' '
        NR == 1 { next }
        { name[NR] = $1; bytes[NR] = $2; fraction[NR] = $3; encode[NR] = $4; decode[NR] = $5 }
        $1 == "planes-zstd3" && !peer || $1 == "tensorx" { peer = NR }
        END {
            print "| codec | bytes | fraction | encode, MB/s | decode, MB/s | encode / " name[peer] " | decode / " name[peer] " |"
            print "|---|--:|--:|--:|--:|--:|--:|"
            for (i = 2; i <= NR; i++)
                printf "| %s | %d | %s | %.0f | %.0f | %.2f | %.2f |\n", name[i], bytes[i], fraction[i], encode[i], decode[i],
                    encode[i] / encode[peer], decode[i] / decode[peer]
        }' "$1"
}

print_codec_report() {
    local pair base child
    cat <<-END
	## The codec beside others

	Bytes are those that the child takes, its header included; fractions are of the child's file. Tensors that did not change
	cost no codec anything. Speeds are MB (10^6 bytes) of content a second on one core, of each tensor the best time of
	$rounds rounds in which all codecs took turns; every round trip was compared. \`sparse\` includes the checksum that it verifies on
	every read; the others have none.

	- \`sparse-*\`: this codec, with the vector instructions named
	- \`bitx\`: XOR with the parent, exponents and the rest as two streams (of other dtypes than bf16 the byte planes), zstd level 3
	- \`tensorx\`: XOR with the parent, byte planes, zstd level 1, in pieces of 2 MiB
	- \`fm-delta\`: difference of ordered integers, sign and bit length by adaptive range coding, the other bits raw
	- \`planes-zstd3\`: byte planes, zstd level 3, no parent
	- \`memcpy\`: the content itself

	![size against decode speed](benchmarks.svg)
	END
    for pair in "${pairs[@]}"; do
        read -r base child <<<"$pair"
        printf '\n### %s\n\n' "$(pair_title "$base" "$child")"
        print_codecs "$work/codecs.$base.$child"
    done
    echo
}

draw_first_pair() {
    local base child
    read -r base child <<<"${pairs[0]}"
    perl test/plot.pl "$(pair_title "$base" "$child")" <"$work/codecs.$base.$child"
}

# ---- the server ----

start_server() {
    run_home=$work
    install_private "$top" "$work/server"
    cp "$base" "$work/base.safetensors"
    cp "$child" "$work/child.safetensors"
    cd "$work"
    init_cluster "$work/data" "$work/s" <<-END
	sparse.find_parents = off
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

# Milliseconds that one statement takes, seen from psql; its output is thrown away. What comes
# second has run once before in the same session.
milliseconds() {
    printf '%s\n' '\o /dev/null' 'checkpoint;' 'set client_min_messages = error;' \
        "${2:+$1;}" "select 'connection is warm';" '\timing on' "$1;" |
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
    milliseconds "$(fill_in "$2" "$3")" "${4:-}" >>"$work/time.$1.$3"
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
        measure read-plain "$read_plain" $version again
        measure read-sparse "$read_sparse" $version again
        measure copy-plain "$copy_plain" $version again
        measure copy-sparse "$copy_sparse" $version again
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
    echo '| operation | file | bytea, MB/s | sparse, MB/s | ratio |'
    echo '|---|---|--:|--:|--:|'
    for operation in write read copy; do
        for version in base child; do
            plain=$(throughput $operation-plain $version)
            sparse=$(throughput $operation-sparse $version)
            printf '| %s | %s | %s | %s | %s |\n' $operation $version "$plain" "$sparse" \
                "$(awk -v a="$sparse" -v b="$plain" 'BEGIN { printf "%.2f", a / b }')"
        done
    done
}

print_commands() {
    local name
    for name in write_plain write_base write_child read_plain read_sparse copy_plain copy_sparse; do
        printf '    %-12s %s\n' "$name" "${!name}"
    done
}

print_server_report() {
    cat <<-END
	## Throughput in PostgreSQL

	One session, beside rows of 1 MiB of \`bytea\` with storage external: \`base\` is $(basename "$base") ($(stat -c %s "$base") bytes),
	\`child\` is $(basename "$child") ($(stat -c %s "$child") bytes), a child of it; medians of $runs runs. Writing is durable, reading is repeated in the same session.

	END
    print_table
    printf '\nThe commands:\n\n'
    print_commands
}

# ---- the report ----

print_head() {
    cat <<-END
	# Benchmarks

	Written by \`make bench\`; run it again rather than edit this page.

	$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores; $("$bindir/postgres" --version); $(gcc --version | head -n 1);
	zstd $(zstd_version); $(date -u +%Y-%m-%d); load average before the run $load_before;
	command: \`make bench ROUNDS=$rounds RUNS=$runs\`.

	END
}

zstd_version() {
    sed -n 's/^#define *ZSTD_VERSION_\(MAJOR\|MINOR\|RELEASE\) *\([0-9]*\).*/\2/p' /usr/include/zstd.h | paste -sd .
}

# Written at the end, so that a run that fails leaves the last report as it was.
write_report() {
    local page=$top/docs/benchmarks
    { print_head; cat "$work/codec-report"; print_server_report; } >"$work/report"
    cp "$work/report" "$page.md"
    cp "$work/plot" "$page.svg"
    cat "$page.md"
}

main() {
    bash test/install-packages.sh
    choose_user
    make -s -j2 all PG_CONFIG="$PG_CONFIG"
    make_work
    load_before=$(cut -d " " -f 1 /proc/loadavg)

    bench_codecs
    print_codec_report >"$work/codec-report"
    draw_first_pair >"$work/plot"

    start_server
    psql_here --command='create extension sparse'
    for run in $(seq "$runs"); do run_once; done
    write_report
}

main
