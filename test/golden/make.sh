#!/usr/bin/env bash
# Writes the golden files of the present format and version: those that are missing, and never one
# that exists. README.md says what they are, and when they are made.
#
#   make -j2 && bash test/golden/make.sh

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
top=$PWD
source test/lib/private-server.sh
unset MAKEFLAGS MFLAGS MAKELEVEL

format=$(sed -n 's/^#define SPARSE_FORMAT \([0-9]*\).*/\1/p' src/core/codec/delta.h)
version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" sparse.control)
golden=$top/test/golden/$format

choose_user
work=$(mktemp -d "${TMPDIR:-/tmp}/sparse-golden.XXXXXX")
chmod 755 "$work"
trap 'stop_all_under "$work"; rm -rf "$work"' EXIT
run_home=$work/home

# No file of $golden is replaced: what a step has made in $work/new is moved there as a whole.
add_files() {
    local file
    for file in "$@"; do
        [ ! -e "$golden/$file" ] || { echo "test/golden/$format/$file exists" >&2; exit 1; }
    done
    (cd "$work/new" && mv "$@" "$golden")
    echo "made: $*"
}

make_deltas() {
    gcc -O2 -std=c11 -D_GNU_SOURCE -Wall -Wextra -ffp-contract=off -Isrc/core -Isrc -Itest test/golden/make_deltas.c src/core/codec/[a-z]*.c \
        -lzstd -lxxhash -lyajl -lm -o "$work/make_deltas"
    "$work/make_deltas" "$work/new"
    add_files predictions.bin deltas.bin deltas.txt
}

# A delta file, and a line of the list: name, base or -, SHA-256 of what it gives.
compress() {
    local name=$1 base=$2 child=$3 with=(--no-base)
    [ "$base" = - ] || with=("$work/cut/$base")
    "$top/pg_sparse" compress --quiet "${with[@]}" "$work/cut/$child" -o "$work/new/$name.sparse"
    echo "$name.sparse $base $(sha256sum "$work/cut/$child" | cut -d' ' -f1)" >>"$work/new/files.txt"
    files+=("$name.sparse")
}

make_files() {
    local files=(files.txt base.safetensors mixed.safetensors text)
    (cd "$work/cut" && cp base.safetensors mixed.safetensors text "$work/new")
    compress finetune base.safetensors finetune.safetensors
    compress longer base.safetensors longer.safetensors
    compress equal base.safetensors base.safetensors
    compress mixed mixed.safetensors mixed-child.safetensors
    compress mixed-alone - mixed.safetensors
    compress text text text-child
    compress text-alone - text
    compress constant - same
    compress nothing text nothing
    add_files "${files[@]}"
}

psql_here() {
    as_user env PATH="$bindir:$PATH" psql --no-psqlrc --host="$work/s" --port="$server_port" --username=postgres \
        --set=ON_ERROR_STOP=1 --quiet --tuples-only --no-align --field-separator=' ' "$@" golden
}

# Every model that was imported must be among what comes back.
check_list() {
    local file
    for file in "$work"/cut/*.safetensors "$work"/cut/folder*/*; do
        case $(basename "$file") in mixed*) continue ;; esac
        # what was dropped gives nothing back
        [ "$(basename "$file")" != strong.safetensors ] || continue
        grep -q "$(sha256sum "$file" | cut -d' ' -f1)" "$1" || { echo "$file does not come back" >&2; exit 1; }
    done
}

# As anybody's client of any version reads it: without owners, without what only new psql knows.
dump_store() {
    as_user env PATH="$bindir:$PATH" pg_dump --host="$work/s" --port="$server_port" --username=postgres --no-owner golden |
        sed '/^\\\(un\)\?restrict /d' | gzip -9n
}

make_store() {
    install_private "$top" "$work/prefix"
    [ "$(id -u)" -ne 0 ] || chown -R "$run_user" "$work"
    as_user mkdir -p "$run_home"
    init_cluster "$work/data" "$work/s" <<<'fsync = off'
    start_cluster "$work/data"
    as_user "$bindir/createdb" --host="$work/s" --port="$server_port" --username=postgres golden
    psql_here --set=cut="$work/cut" --file=- <test/golden/store.sql >/dev/null
    psql_here --file=- <test/golden/list_store.sql >"$work/new/store-$version.txt"
    check_list "$work/new/store-$version.txt"
    dump_store >"$work/new/store-$version.sql.gz"
    add_files "store-$version.txt" "store-$version.sql.gz"
}

main() {
    mkdir -p "$golden" "$work/cut" "$work/new"
    # what is there must be what it was
    [ ! -e "$golden/SHA256SUMS" ] || (cd "$golden" && sha256sum --quiet --ignore-missing -c SHA256SUMS)
    perl test/golden/cut_models.pl "$work/cut"
    [ -e "$golden/deltas.txt" ] || make_deltas
    # a format above 1 is of deltas alone: delta files and stores of the present stand beside the first ones
    if [ "$format" -eq 1 ]; then
        [ -e "$golden/files.txt" ] || make_files
        [ -e "$golden/store-$version.txt" ] || make_store
    fi
    (cd "$golden" && ls | grep -v '^SHA256SUMS$' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS)
}

main
