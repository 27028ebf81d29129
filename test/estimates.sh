#!/usr/bin/env bash
# How far sparse_estimate_file() is from what an import then stores, for every pair of a
# directory of models. Prints a table in Markdown.
#
#   test/estimates.sh DIRECTORY [SAMPLE_BYTES] < PAIRS
#
# PAIRS has a line for each model, parents first: its name without .safetensors, and the
# names of its parents. A line "-" empties the store, for estimates do not know of content
# that is there from elsewhere. On a private server that is removed afterwards.

set -euo pipefail
directory=$(realpath "$1")
sample=${2:-16777216}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh

choose_user
work=$(mktemp -d "${TMPDIR:-/tmp}/sparse-estimates.XXXXXX")
trap 'stop_all_under "$work"; rm -rf "$work"' EXIT
chmod 755 "$work"
run_home=$work/home
[ "$(id -u)" -ne 0 ] || chown "$run_user" "$work"
as_user mkdir -p "$run_home"
mkdir "$work/models"
cp "$directory"/*.safetensors "$work/models"
make -s -j2 all PG_CONFIG="$PG_CONFIG"
install_private "$top" "$work/prefix"
init_cluster "$work/data" "$work/s" <<<$'fsync = off\nsparse.find_parents = off'
start_cluster "$work/data"
sql() { as_user "$bindir/psql" -XqAt -v ON_ERROR_STOP=1 -h "$work/s" -p "$server_port" -U postgres "$@"; }

sql -c 'create extension sparse' -c 'select sparse_create_store()' >/dev/null
echo '| model | bytes | sampled | estimated | stored | error |'
echo '|---|--:|--:|--:|--:|--:|'
while read -r name parents; do
    if [ "$name" = - ]; then
        sql -c "select sparse_drop(id) from sparse.version where state = 'ready'" -c "select sparse_collect('0 s')" </dev/null >/dev/null
        continue
    fi
    sql -v file="$work/models/$name.safetensors" -v name="$name" -v parents="{${parents// /,}}" -v sample="$sample" <<'END'
select raw_file_bytes as raw, sampled_bytes as sampled, stored_bytes as estimated from sparse_estimate_file(:'file', :'parents', :sample) \gset
select sparse_import_file(:'name', :'file', :'parents') as id \gset
select format('| %s | %s | %s | %s | %s | %s %% |', :'name', :raw, :sampled, :estimated, stored_bytes, round(100.0 * (:estimated - stored_bytes) / stored_bytes, 2))
from sparse.version where id = :id;
END
done
