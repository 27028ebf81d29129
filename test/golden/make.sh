#!/usr/bin/env bash
# Makes a set of golden files: what a version of the format looks like, for every later
# one to read. A set that exists is never touched again (see README.md).
#
#   test/golden/make.sh NUMBER       writes test/golden/NUMBER, by what is built here
#
#   deltas/       a delta of every coder and formula, as test/lib/delta_seeds.c makes them
#   base, *.delta delta files of pg_sparse, and the base of some; files.sha256: what comes out
#   store.sql.gz  a dump of a store; store.sha256: what its versions are

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
top=$PWD
source test/lib/private-server.sh
unset MAKEFLAGS MFLAGS MAKELEVEL

set=$top/test/golden/$1
if [ -e "$set" ]; then
    echo "$set exists, and golden files do not change" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'stop_all_under "$work"; rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work/set/deltas"

make -s -j2
gcc -O1 -Isrc -Itest test/lib/delta_seeds.c src/codec/[a-z]*.c -lzstd -lxxhash -lyajl -lm -o "$work/seeds"
"$work/seeds" "$work/set/deltas" >/dev/null

# ---- models cut to some rows of some tensors ----

perl test/golden/cut.pl test/data "$work" mini-base mini-base-fp32 mini-base-int8 mini-finetune mini-finetune-strong \
    mini-finetune-light mini-finetune-pruned mini-lora-adapter mini-lora-merged mini-merge-linear mini-merge-slerp

# ---- delta files ----

cp "$work/mini-base.safetensors" "$work/set/base"
seq 1 20000 >"$work/numbers"
seq 3 7 20000 >"$work/others"
./pg_sparse compress --quiet "$work/mini-base.safetensors" "$work/mini-finetune.safetensors" -o "$work/set/finetune.delta"
./pg_sparse compress --quiet "$work/mini-base.safetensors" "$work/others" -o "$work/set/bytes.delta"
./pg_sparse compress --quiet --no-base "$work/mini-finetune-light.safetensors" -o "$work/set/alone.delta"
./pg_sparse compress --quiet --no-base "$work/numbers" -o "$work/set/bytes-alone.delta"
digest() { sha256sum <"$1" | sed "s/-/$2/"; }
{
    digest "$work/mini-finetune.safetensors" finetune
    digest "$work/others" bytes
    digest "$work/mini-finetune-light.safetensors" alone
    digest "$work/numbers" bytes-alone
} >"$work/set/files.sha256"

# ---- a store ----

choose_user
run_home=$work
chown "$run_user" "$work"
install_private "$top" "$work/server"
init_cluster "$work/data" "$work/s" </dev/null
start_cluster "$work/data"
client=(--host="$work/s" --port="$server_port" --username=postgres)
chmod a+r "$work"/*.safetensors
as_user "$bindir/psql" "${client[@]}" --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --set=models="$work" \
    --file=test/golden/store.sql postgres </dev/null
as_user "$bindir/psql" "${client[@]}" --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 \
    --file=test/golden/versions.sql postgres </dev/null >"$work/set/store.sha256"
# (newer programs write lines that older ones refuse)
as_user "$bindir/pg_dump" "${client[@]}" --no-owner --no-privileges postgres |
    sed '/^\\\(un\)\?restrict /d' | gzip -9 -n >"$work/set/store.sql.gz"
cp -r "$work/set" "$set"
du -sh "$set"
