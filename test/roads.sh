#!/usr/bin/env bash
# What each model of a family takes beside its parents by each road, as a Markdown table: imported, pushed with the parents
# at hand (stored, and sent), as a delta file, and as it is estimated. Each in a database of its own; what was pushed is
# read back and compared.
#
#   test/roads.sh [DIRECTORY]     where the models lie; test/data by default. Missing ones are passed over

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
source test/lib/measured-models.sh
unset MAKEFLAGS MFLAGS MAKELEVEL

models=$(realpath "${1:-test/data}")

client() {
    as_user env PGHOST="$work/s" PGPORT="$server_port" PGUSER=postgres PGDATABASE=pair "$work/pg_sparse" "$@"
}

# PARENT...: an empty store with these in it.
make_store_of() {
    make_store pair
    for parent in "$@"; do
        query --dbname=pair --command="select sparse_import_file('$parent', '$models/$parent.safetensors')" >/dev/null
    done
}

# NAME PARENT...: a row of the table.
measure() {
    local name=$1 parent imported estimated pushed sent compressed identical=no options=() others=()
    shift
    make_store_of "$@"
    query --dbname=pair --command="select sparse_import_file('$name', '$models/$name.safetensors', '{$(IFS=,; echo "$*")}')" >/dev/null
    imported=$(query --dbname=pair --command="select stored_bytes from sparse.version order by id desc limit 1")
    make_store_of "$@"
    estimated=$(query --dbname=pair --command="select stored_bytes from sparse_estimate_file('$models/$name.safetensors', '{$(IFS=,; echo "$*")}')")
    for parent in "$@"; do options+=(--parent "$parent" --have "$models/$parent.safetensors"); done
    read -r pushed sent < <(client push "$models/$name.safetensors" "$name" --quiet --json "${options[@]}" |
        perl -MJSON::PP -e 'local $/; my $a = decode_json(<STDIN>); $a = $a->[0] if ref $a eq "ARRAY"; print "$a->{stored_bytes} $a->{sent_bytes}\n"')
    client pull "$name" --quiet -o "$work/models/pulled" && cmp -s "$work/models/pulled" "$models/$name.safetensors" && identical=yes
    as_user rm -f "$work/models/pulled"
    for parent in "${@:2}"; do others+=(--parent "$models/$parent.safetensors"); done
    if [ $# -eq 0 ]; then set -- --no-base; else set -- "$models/$1.safetensors"; fi
    as_user "$work/pg_sparse" compress -q "$1" "$models/$name.safetensors" "${others[@]}" -o "$work/models/delta"
    compressed=$(stat -c %s "$work/models/delta")
    as_user rm -f "$work/models/delta"
    echo "| $name | ${parents_text} | $imported | $pushed | $sent | $compressed | $estimated | $identical |"
}

begin_measuring roads </dev/null
cp pg_sparse "$work/pg_sparse"
chmod 755 "$work/pg_sparse"

echo "| file | parents | import | push, stored | push, sent | compress | sparse_estimate_file | identical |"
echo "|---|---|--:|--:|--:|--:|--:|---|"
for row in "${family[@]}"; do
    read -ra names <<<"$row"
    complete=yes
    for name in "${names[@]}"; do [ -r "$models/$name.safetensors" ] || complete=no; done
    parents_text=${names[*]:1}
    [ $complete = no ] || measure "${names[@]}"
done
