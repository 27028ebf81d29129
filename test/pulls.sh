#!/usr/bin/env bash
# What a pull takes of models whose chunks need more than a client holds, as a Markdown table: each in a database of
# its own beside its parents; deltas of sparse_delta and of sparse_delta_factors, as a fraction of the model, with
# what is said to be at hand; then it is pulled, and compared.
#
#   test/pulls.sh [DIRECTORY]     where the models lie; test/data by default

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
source test/lib/measured-models.sh
unset MAKEFLAGS MFLAGS MAKELEVEL

models=$(realpath "${1:-test/data}")
# NAME, its parents, what is at hand; of an approximation method and rank before
cases=(
    "- mini-lora-merged mini-base mini-base"
    "- mini-lora-merged mini-base,mini-lora-adapter mini-base"
    "- mini-base-int8 mini-base mini-base"
    "- mini-finetune-pruned mini-base,mini-finetune mini-base"
    "svd:8 mini-finetune mini-base mini-base"
    "int8:null mini-finetune mini-base mini-base"
    "bit1:null mini-finetune mini-base mini-base"
    "svd:8 main-finetune main-base main-base"
    "int8:null main-finetune main-base main-base"
    "bit1:null main-finetune main-base main-base"
    "svd:8 mini-finetune mini-base -"
    "int8:null mini-finetune mini-base -"
    "bit1:null mini-finetune mini-base -"
)

# METHOD NAME PARENTS HAVE: a row of the table.
measure() {
    local method=$1 name=$2 parents=$3 have=$4 version=$2 label=$2 parent before=() held= known= deltas identical=no
    make_store pair
    for parent in ${parents//,/ }; do
        query --dbname=pair --command="select sparse_import_file('$parent', '$models/$parent.safetensors', '{$(IFS=,; echo "${before[*]}")}')" >/dev/null
        [ "$parent" = mini-lora-adapter ] || before+=("$parent")
    done
    # (a child of several fine-tunes is the last one's)
    [[ $name != *-pruned ]] || parents=${parents##*,}
    query --dbname=pair --command="select sparse_import_file('$name', '$models/$name.safetensors', '{$parents}')" >/dev/null
    if [ "$method" != - ]; then
        version=near label="$name, ${method%:*}${method#*:}"
        label=${label%null}
        query --dbname=pair --command="select sparse_approximate('$name', '${method%:*}', ${method#*:}, name => 'near')" >/dev/null
    fi
    if [ "$have" != - ]; then known=$have held="--have=$models/$have.safetensors"; fi
    deltas=$(query --dbname=pair --command="
        select round((select sum(sdelta_bytes(delta)) from sparse_delta('$version', '{$known}')) / sum(bytes), 4) || ' | ' ||
               round((select sum(sdelta_bytes(delta)) from sparse_delta_factors('$version', '{$known}')) / sum(bytes), 4)
        from sparse_files('$version')")
    as_user "$bindir/pg_sparse" pull "$version" -o "$work/out/pulled" $held -q -h "$work/s" -p "$server_port" -U postgres -d pair
    [ "$(sha256sum <"$work/out/pulled" | cut -d' ' -f1)" != "$(query --dbname=pair --command="select encode(sha256, 'hex') from sparse_files('$version')")" ] || identical=yes
    rm "$work/out/pulled"
    echo "| $label | ${parents//,/, } | ${have/#-/nothing} | $deltas | $identical |"
}

begin_measuring pulls </dev/null
as_user mkdir "$work/out"

echo "| model | parents | at hand | before | now | identical |"
echo "|---|---|---|--:|--:|---|"
for case in "${cases[@]}"; do
    read -r method name parents have <<<"$case"
    measure "$method" "$name" "$parents" "$have"
done
