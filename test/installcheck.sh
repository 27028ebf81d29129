#!/usr/bin/env bash
# The regression tests (sql/*.sql) on a server that runs already and has the extension
# installed: the one that libpq's variables name (PGHOST, PGPORT, PGUSER ...), as a
# superuser. Each test gets a database of its own, dropped afterwards; roles that the
# tests make, they drop.
#
#   make install && make installcheck          TESTS="name ..." runs only these
#
# The server reads the tests' models from test/data. Where it may not, or runs on another
# machine, SPARSE_TEST_DATA names a copy of that directory which it can read.
#
# The last line is "N passed, N failed"; what differed is left in build/installcheck/.

set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PG_CONFIG=${PG_CONFIG:-pg_config}
export LC_ALL=C.UTF-8
bindir=$("$PG_CONFIG" --bindir) || exit 3
driver=$(dirname "$("$PG_CONFIG" --pgxs)")/../test/regress/pg_regress
data=${SPARSE_TEST_DATA:-$top/test/data}
results=$PWD/build/installcheck
passed=0
failed=0

query() { "$bindir/psql" --no-psqlrc --no-align --tuples-only --set=ON_ERROR_STOP=1 --dbname=postgres --command="$1"; }

[ -x "$driver" ] || { echo "no pg_regress at $driver: Debian has it in postgresql-client-NN" >&2; exit 3; }
query "select 1" >/dev/null || exit 3
query "select pg_stat_file('$data/mini-base.safetensors')" >/dev/null || {
    echo "the server cannot read $data: name a copy that it can read in SPARSE_TEST_DATA" >&2
    exit 3
}

rm -rf "$results"
mkdir -p "$results"
for file in "$top"/sql/*.sql; do
    name=$(basename "$file" .sql)
    [ -z "${TESTS:-}" ] || [[ " $TESTS " == *" $name "* ]] || continue
    database=sparse_installcheck_$name
    mkdir -p "$results/$name"
    if PGOPTIONS="${PGOPTIONS:-} -c sparse_test.data=$data" "$driver" --bindir="$bindir" --inputdir="$top" \
        --outputdir="$results/$name" --encoding=UTF8 --no-locale --dbname="$database" "$name" >"$results/$name/run.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name"
        cat "$results/$name/regression.diffs" 2>/dev/null || cat "$results/$name/run.log"
    fi
    query "drop database if exists $database" >/dev/null
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
