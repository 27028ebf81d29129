#!/usr/bin/env bash
# What approximations of models take and how far they are off, as a Markdown table: each beside its exact version
# and that one's parent, in a database of its own; then the exact version based on its approximation.
#
#   test/approximations.sh [DIRECTORY]     where the models lie; test/data by default

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
source test/lib/measured-models.sh
unset MAKEFLAGS MFLAGS MAKELEVEL

models=$(realpath "${1:-test/data}")
pairs=("mini-finetune mini-base" "mini-finetune-strong mini-base" "mini-lora-merged mini-base" "main-finetune main-base" "mini-base")
methods=("svd 8" "svd 32" "int8 null" "bit1 null")

# NAME PARENT METHOD RANK: a row of the table; PARENT is empty for a model without one.
measure() {
    local name=$1 parent=$2 method=$3 rank=$4
    make_store pair
    [ -z "$parent" ] || query --dbname=pair --command="select sparse_import_file('$parent', '$models/$parent.safetensors')" >/dev/null
    query --dbname=pair --command="select sparse_import_file('$name', '$models/$name.safetensors', '{$parent}')" \
        --command="select sparse_approximate('$name', '$method', $rank, name => 'near')" >/dev/null
    query --dbname=pair --command="
        create table before as select name, stored_bytes, raw_bytes from sparse.version" \
        --command="call sparse_rebase('$name', 'near', null, null, null)" >/dev/null 2>&1
    query --dbname=pair --command="
        select format('| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |', e.name, coalesce(nullif('$parent', ''), '-'),
                      '$method' || coalesce(' ' || $rank::text, ''), a.approximated,
                      round(n.stored_bytes / e.raw_bytes::numeric, 4), round(e.stored_bytes / e.raw_bytes::numeric, 4),
                      round((n.stored_bytes + v.stored_bytes) / e.raw_bytes::numeric, 4),
                      round(a.l2::numeric, 5), round(a.max_abs::numeric, 5), a.ulp)
        from before e
        join before n on n.name = 'near'
        join sparse.version v on v.name = e.name
        cross join (select count(*) filter (where method <> 'exact') as approximated, max(relative_l2) as l2,
                           max(max_abs) as max_abs, max(max_ulp) as ulp from sparse.approximation) a
        where e.name = '$name'"
}

begin_measuring approximations </dev/null

echo "| model | parent | method | tensors | approximation | exact alone | both, the exact one on top | relative L2 | largest difference | ULP |"
echo "|---|---|---|--:|--:|--:|--:|--:|--:|--:|"
for method in "${methods[@]}"; do
    for pair in "${pairs[@]}"; do
        read -r name parent <<<"$pair"
        read -r how rank <<<"$method"
        measure "$name" "$parent" "$how" "$rank"
    done
done
