#!/usr/bin/env bash
# What each model of a family takes in PostgreSQL, as a Markdown table: every file in a
# database of its own beside its parents, so that nothing is shared with other pairs;
# read back and compared; payload as sparse.savings counts it, and what the tables grew by.
#
#   test/sizes.sh [DIRECTORY]     where the models lie; test/data by default. Missing ones are passed over

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
source test/lib/measured-models.sh
unset MAKEFLAGS MFLAGS MAKELEVEL

models=$(realpath "${1:-test/data}")

# The bytes of a version, from COPY's binary form: a header, then count, length and value of each row.
content() {
    query --dbname=pair --command="copy (select sparse_reconstruct('$1')) to stdout (format binary)" |
        perl -e 'binmode STDIN; binmode STDOUT; my $b; read STDIN, $b, 19;
            while (read(STDIN, $b, 2) == 2 && unpack("s>", $b) == 1) { read STDIN, $b, 4; read STDIN, $b, unpack("N", $b); print $b }'
}

grown() { query --dbname=pair --command="select sum(total_bytes) from sparse.storage"; }

# NAME PARENT...: a row of the table.
measure() {
    local name=$1 parent parents before id identical=no
    shift
    make_store pair
    for parent in "$@"; do
        query --dbname=pair --command="select sparse_import_file('$parent', '$models/$parent.safetensors')" >/dev/null
    done
    parents=$(IFS=,; echo "$*")
    before=$(grown)
    id=$(query --dbname=pair --command="select sparse_import_file('$name', '$models/$name.safetensors', '{$parents}')")
    content "$name" | cmp -s - "$models/$name.safetensors" && identical=yes
    query --dbname=pair --command="
        select format('| %s | %s | %s | %s | %s | %s | %s | %s |', name, nullif('$parents', ''), '$identical',
            (select string_agg(predictor || ' ' || n, ', ' order by n desc, predictor)
             from (select predictor, count(*) as n from sparse_tensors($id) group by 1) mix),
            stored_bytes, fraction_of_raw_files, grown, round(grown / raw_file_bytes::numeric, 4))
        from sparse.savings, (select sum(total_bytes) - $before from sparse.storage) growth (grown) where version = $id"
}

begin_measuring sizes </dev/null

echo "| file | parents | identical | tensors by predictor | payload, bytes | fraction | growth on disk, bytes | fraction |"
echo "|---|---|---|---|--:|--:|--:|--:|"
for row in "${family[@]}"; do
    read -ra names <<<"$row"
    complete=yes
    for name in "${names[@]}"; do [ -r "$models/$name.safetensors" ] || complete=no; done
    [ $complete = no ] || measure "${names[@]}"
done
