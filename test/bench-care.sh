#!/usr/bin/env bash
# Repack on a generated family (test/lib/make_branches.py): bytes and depth before and after,
# beside greedy nearest-parent and the cheapest tree however deep, by the same estimates;
# beside the family imported by greedy nearest-parent, each version from the nearest of those that came
# before it, and with its true parents; and how long it takes. Prints tables in Markdown.
#
#   test/bench-care.sh [VERSIONS]         200; needs python3-numpy (PYTHON names another interpreter)
#
# The versions come in random order, a third without a parent, the rest with any that is there.
# A private server that is removed afterwards. Every version is reconstructed at the end,
# and its SHA-256 compared with the file's.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
versions=${1:-200}

choose_user
work=$(mktemp -d "${TMPDIR:-/tmp}/sparse-care.XXXXXX")
trap 'stop_all_under "$work"; rm -rf "$work"' EXIT
chmod 755 "$work"
run_home=$work/home
mkdir "$work/files"
"${PYTHON:-python3}" test/lib/make_branches.py test/data/mini-base.safetensors test/data/mini-finetune.safetensors "$versions" "$work/files"
chmod -R a+rX "$work/files"
[ "$(id -u)" -ne 0 ] || chown "$run_user" "$work"
as_user mkdir -p "$run_home"
make -s -j2 all PG_CONFIG="$PG_CONFIG"
install_private "$top" "$work/prefix"
init_cluster "$work/data" "$work/s" <<END
fsync = off
sparse.find_parents = off
shared_buffers = 512MB
max_wal_size = 8GB
END
start_cluster "$work/data"
database=postgres
sql() { as_user "$bindir/psql" -XqAt -v ON_ERROR_STOP=1 -h "$work/s" -p "$server_port" -U postgres -d "$database" "$@"; }

# import PARENTS: "true" in the order of numbers; "bad" and "nearest" shuffled, both in the same order.
# Near is, of every eighth element of the file, what takes the fewest bits to tell its place among all bf16 from the other's.
import() {
    "${PYTHON:-python3}" - "$1" "$work/files" <<'END' | sql >"$work/import.log"
import random, sys
import numpy as np
parents_are, directory = sys.argv[1], sys.argv[2]
elements = {}

def sketch(number):
    bits = np.fromfile('%s/%s.safetensors' % (directory, number), np.uint16)[::8].astype(np.int32)
    return np.where(bits >= 0x8000, -(bits & 0x7fff), bits)

def nearest(number):
    own = sketch(number)
    bits = {other: np.log2(1 + np.abs(own - elements[other])).sum() for other in elements}
    elements[number] = own
    return min(bits, key=bits.get)

order = [line.split() for line in open(f'{directory}/family')]
draw = random.Random(1)
print("create extension sparse; select sparse_create_store();")
print("select sparse_import_file('root', '%s/0.safetensors');" % directory)
rest, there = order[1:], ['root']
elements['0'] = sketch('0')
if parents_are != 'true':
    draw.shuffle(rest)
for number, parent in rest:
    if parents_are == 'nearest':
        parent = nearest(number)
    if parents_are != 'bad':
        parents = 'm%s' % parent if parent != '0' else 'root'
    else:
        parents = '' if draw.random() < 1 / 3 else draw.choice(there)
    print("select sparse_import_file('m%s', '%s/%s.safetensors', '{%s}');" % (number, directory, number, parents))
    there.append('m' + number)
print("update sparse.version set family = 1;")
END
}
figures() {
    sql -F ' | ' -c "select to_char(sum(o.stored_bytes) / 1e6, 'FM990.0') || ' MB', max(o.depth), to_char(avg(o.depth), 'FM990.0') from sparse.object o"
}
# read_all: seconds to reconstruct all versions, after a round that warms the cache
read_all() {
    sql -c "select sum(length(p)) from sparse.version v, sparse_reconstruct(v.id) p" >/dev/null
    sql -c "create temp table t as select clock_timestamp() as began" -c "select sum(length(p)) from sparse.version v, sparse_reconstruct(v.id) p" \
        -c "select to_char(extract(epoch from clock_timestamp() - began), 'FM990.0') || ' s' from t" | tail -n 1
}
repack() {
    local began=$SECONDS
    sql -c "call sparse_repack('root', $1)" >"$work/repack.log" 2>&1
    echo "$((SECONDS - began)) s"
}

import bad
echo "$versions versions, $(sql -c "select to_char(sum(raw_bytes) / 1e6, 'FM9990') || ' MB of files, ' || (select count(*) from sparse.object) || ' objects' from sparse.version")"
echo
echo "| by the same estimates, depth at most 8 | bytes | deepest | mean depth |"
echo "|---|---|---|---|"
sql -F ' | ' -c "select '| ' || method, to_char(estimated_bytes / 1e6, 'FM990.0') || ' MB', deepest, to_char(mean_depth, 'FM990.0') || ' |' from sparse_repack_preview('root', 8)"
echo
echo "| measured | bytes | deepest | mean depth | repack took | reading all |"
echo "|---|---|---|---|---|---|"
echo "| imported with bad parents | $(figures) | | $(read_all) |"
for depth in 8 16 4 2 1 0; do
    took=$(repack $depth)
    echo "| repacked, depth at most $depth | $(figures) | $took | $(read_all) |"
done
took=$(repack 8)
echo "| repacked again, depth at most 8 | $(figures) | $took | $(read_all) |"
took=$(repack 8)
echo "| and once more | $(figures) | $took | |"
sql -c "select sha256(string_agg(p, '' order by n)), name from sparse.version v, sparse_reconstruct(v.id) with ordinality as x (p, n) group by name" -F ' ' |
    sed -E 's/^\\x//; s/ root$/ m0/; s/ m([0-9]+)$/  \1.safetensors/' >"$work/sums"
(cd "$work/files" && sha256sum --quiet -c "$work/sums")
wrong=$(sql -c "select count(*) from sparse.version v where stored_bytes <> (select sum(stored_bytes) from sparse.object o where o.version = v.id)")
for parents in nearest true; do
    sql -c "create database by_$parents" >/dev/null
    database=by_$parents
    import $parents
    case $parents in
        nearest) echo "| imported by greedy nearest-parent (depth at most 8) | $(figures) | | $(read_all) |" ;;
        true) echo "| imported with true parents (depth at most 8) | $(figures) | | $(read_all) |" ;;
    esac
    took=$(repack 8)
    echo "| that, repacked | $(figures) | $took | $(read_all) |"
    database=postgres
done
echo
echo "$(wc -l <"$work/sums") versions come back with the SHA-256 of their files; counters of $wrong versions are wrong"
