#!/usr/bin/env bash
# What each model of a family takes beside its parents by each road, as a Markdown table: imported, pushed with the parents
# at hand (stored, and sent), as a delta file, and as it is estimated. Each in a database of its own; what was pushed is
# read back and compared.
#
#   test/roads.sh [DIRECTORY [FORMATS]]     where the models lie; test/data by default. Missing ones are passed over. With a
#                                           directory of other formats (a rows_of_formats below), those, and not the models

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
source test/lib/measured-models.sh
unset MAKEFLAGS MFLAGS MAKELEVEL

models=$(realpath "${1:-test/data}")
formats=${2:+$(realpath "$2")}

# The same weights, or their fine-tune, in the containers that the field's tools write.
rows_of_formats=(
    "base.bin mini-base" "mini-base base.bin" "base-f16.gguf mini-base" "base-q8.gguf mini-base" "base-q4_0.gguf mini-base"
    "base-q4km.gguf mini-base" "base-q8.gguf base-f16.gguf" "base-q4_0.gguf base-f16.gguf" "mini-base base-f16.gguf"
    "finetune-f16.gguf base-f16.gguf" "finetune-q8.gguf base-q8.gguf" "finetune-q4_0.gguf base-q4_0.gguf" "finetune-q4km.gguf base-q4km.gguf"
    "finetune-gptq base-gptq" "finetune-w4 base-w4" "finetune-mlx4 base-mlx4" "finetune-awq base-awq"
    "base-gptq mini-base" "base-w4 mini-base" "base-mlx4 mini-base" "base-awq mini-base" "base-mxfp4 mini-base" "base-nf4 mini-base"
    "base-fp8b mini-base" "base-i8 mini-base"
)

# A name is that of a safetensors file where it has no ending.
file_of() {
    case $1 in *.*) echo "$models/$1" ;; *) echo "$models/$1.safetensors" ;; esac
}

client() {
    as_user env PGHOST="$work/s" PGPORT="$server_port" PGUSER=postgres PGDATABASE=pair "$work/pg_sparse" "$@"
}

# PARENT...: an empty store with these in it.
make_store_of() {
    make_store pair
    for parent in "$@"; do
        query --dbname=pair --command="select sparse_import_file('$parent', '$(file_of "$parent")')" >/dev/null
    done
}

# NAME PARENT...: a row of the table.
measure() {
    local name=$1 parent imported estimated pushed sent compressed identical=no options=() others=()
    shift
    make_store_of "$@"
    query --dbname=pair --command="select sparse_import_file('$name', '$(file_of "$name")', '{$(IFS=,; echo "$*")}')" >/dev/null
    imported=$(query --dbname=pair --command="select stored_bytes from sparse.version order by id desc limit 1")
    make_store_of "$@"
    estimated=$(query --dbname=pair --command="select stored_bytes from sparse_estimate_file('$(file_of "$name")', '{$(IFS=,; echo "$*")}')")
    for parent in "$@"; do options+=(--parent "$parent" --have "$(file_of "$parent")"); done
    read -r pushed sent < <(client push "$(file_of "$name")" "$name" --quiet --json "${options[@]}" |
        perl -MJSON::PP -e 'local $/; my $a = decode_json(<STDIN>); $a = $a->[0] if ref $a eq "ARRAY"; print "$a->{stored_bytes} $a->{sent_bytes}\n"')
    client pull "$name" --quiet -o "$work/models/pulled" && cmp -s "$work/models/pulled" "$(file_of "$name")" && identical=yes
    as_user rm -f "$work/models/pulled"
    for parent in "${@:2}"; do others+=(--parent "$(file_of "$parent")"); done
    if [ $# -eq 0 ]; then set -- --no-base; else set -- "$(file_of "$1")"; fi
    as_user "$work/pg_sparse" compress -q "$1" "$(file_of "$name")" "${others[@]}" -o "$work/models/delta"
    compressed=$(stat -c %s "$work/models/delta")
    as_user rm -f "$work/models/delta"
    echo "| $name | ${parents_text} | $imported | $pushed | $sent | $compressed | $estimated | $identical |"
}

begin_measuring roads </dev/null
if [ -n "$formats" ]; then
    for file in "$formats"/*.{safetensors,gguf,bin}; do as_user tee "$models/$(basename "$file")" <"$file" >/dev/null; done
    family=("${rows_of_formats[@]}")
fi
cp pg_sparse "$work/pg_sparse"
chmod 755 "$work/pg_sparse"

echo "| file | parents | import | push, stored | push, sent | compress | sparse_estimate_file | identical |"
echo "|---|---|--:|--:|--:|--:|--:|---|"
for row in "${family[@]}"; do
    read -ra names <<<"$row"
    complete=yes
    for name in "${names[@]}"; do [ -r "$(file_of "$name")" ] || complete=no; done
    parents_text=${names[*]:1}
    [ $complete = no ] || measure "${names[@]}"
done
