#!/usr/bin/env bash
# Datasets: what versions take beside zstd, and how long they take beside plain tables.
#
#   make bench-datasets                        writes docs/dataset-benchmarks.md
#   SPARSE_DATASETS=DIR make bench-datasets    where squad/*.csv.zst and sp500/*.csv lie
#   ROWS=1000000                               rows of the large table
#
# A private server (lib/private-server.sh), as it comes but for fsync. Each version of real data
# is committed on the one before it, checked out, exported to CSV, and compared with the file
# it came from by SHA-256; the run fails where one differs. Times are the shortest of three.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
unset MAKEFLAGS MFLAGS MAKELEVEL

data=${SPARSE_DATASETS:-$(cd .. && pwd)/shared/data/datasets}
rows=${ROWS:-1000000}
out=docs/dataset-benchmarks.md
squad=(dev-v1.0 dev-v1.1 dev-v1.1-2018 dev-v2.0)
work=

clean_up() {
    [ -n "$work" ] || return 0
    stop_all_under "$work"
    rm -rf "$work"
}
trap clean_up EXIT

run() {
    as_user env PATH="$bindir:$PATH" psql --no-psqlrc --quiet --no-align --tuples-only --host="$work/s" \
        --port="$server_port" --username=postgres --set=ON_ERROR_STOP=1 "$@" postgres
}
sql() { run --command="$1"; }

# Milliseconds of a statement, the shortest of three; it is undone each time.
milliseconds() {
    for _ in 1 2 3; do
        printf 'begin;\n\\timing on\n%s;\n\\timing off\nrollback;\n' "$1" | run --file=- |
            sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
    done | sort -g | head -n 1
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
ms() { printf '%.0f' "$1"; }

# zstd of a file, against its parent if there is one.
zstd_bytes() { zstd -19 --long=27 -q -c ${2:+--patch-from="$2"} "$1" 2>/dev/null | wc -c; }

relations_bytes() { sql "select sum(total_bytes) from sparse.storage"; }

# Columns of a CSV as those of a table of texts, in their order.
columns_of() { head -n 1 "$1" | tr -d '\r' | sed 's/\([^,]*\)/"\1"/g'; }

load() {
    local file=$1 columns=$2
    sql "drop table if exists loaded; create table loaded (${columns//,/ text,} text, n bigserial)"
    run --command="\\copy loaded ($columns) from '$file' (format csv, header)"
}

# FILE NAME PARENT PARENT_FILE: a row of the table of sizes.
commit_file() {
    local file=$1 name=$2 parent=${3:-} parent_file=${4:-} columns before stored zstd shared
    columns=$(columns_of "$file")
    load "$file" "$columns"
    before=$(relations_bytes)
    sql "select sparse_commit_rows('$name', 'select $columns from loaded order by n' ${parent:+, '$parent'})" >/dev/null
    stored=$(sql "select stored_bytes from sparse.version order by id desc limit 1")
    zstd=$(zstd_bytes "$file" $parent_file)
    shared=$(($(relations_bytes) - before))
    sql "drop table if exists back; select sparse_checkout('$name', 'back')" >/dev/null
    run --command="\\copy back to '$work/tmp/back.csv' (format csv, header)"
    cmp -s "$work/tmp/back.csv" "$file" || { echo "$file did not come back" >&2; exit 1; }
    echo "| $(basename "$file" .csv) | $(wc -c <"$file") | $zstd | $stored | $(ratio "$stored" "$zstd") | $shared | $(sha256sum <"$work/tmp/back.csv" | cut -c1-16) |"
}

sizes() {
    local previous= i
    echo "| version | CSV | zstd -19 --long=27 (--patch-from its parent) | payload | ratio | relations grew by | SHA-256 of the CSV that came back: that of the file |"
    echo "|---|---|---|---|---|---|---|"
    for i in "${squad[@]}"; do
        zstd -dqf "$data/squad/$i.csv.zst" -o "$work/tmp/$i.csv"
        commit_file "$work/tmp/$i.csv" squad ${previous:+squad "$work/tmp/$previous.csv"}
        previous=$i
    done
    previous=
    for i in "$data"/sp500/*.csv; do
        commit_file "$i" sp500 ${previous:+sp500 "$previous"}
        previous=$i
    done
}

speed_row() { echo "| $1 | $(ms "$2") | $(ms "$3") | $(ratio "$3" "$2") | $(ms "$4") | $(ratio "$4" "$2") |"; }

speed() {
    local query plain commit checkout
    echo "| rows | create table as, ms | commit, ms | ratio | checkout, ms | ratio |"
    echo "|---|---|---|---|---|---|"
    load "$work/tmp/dev-v1.0.csv" "$(columns_of "$work/tmp/dev-v1.0.csv")"
    query="select id, title, context, question, answers from loaded order by n"
    plain=$(milliseconds "create table plain as $query")
    commit=$(commit_time "$query")
    checkout=$(milliseconds "select sparse_checkout('squad@1', 'out')")
    speed_row "SQuAD dev-v1.0, without a parent, into an empty store" "$plain" "$commit" "$checkout"
    query="select * from large order by id"
    plain=$(milliseconds "create table plain as $query")
    commit=$(commit_time "$query")
    checkout=$(milliseconds "select sparse_checkout('large@1', 'out')")
    speed_row "$rows rows of id, md5, label, random float8, text" "$plain" "$commit" "$checkout"
    commit=$(milliseconds "select sparse_commit_rows('large', '$query', 'large@1', array['id'])")
    speed_row "the same with one row changed, on its parent" "$plain" "$commit" "$checkout"
}

# Milliseconds of a commit into an empty store; the store is emptied, and that undone.
commit_time() {
    local i
    for i in 1 2 3; do
        printf 'begin;\ntruncate sparse.version, sparse.object, sparse.object_parent, sparse.chunk, sparse.split, sparse.column, sparse.column_chunk, sparse.parent, sparse.file, sparse.tensor, sparse.tag, sparse.upload, sparse.staged cascade;\n\\timing on\nselect sparse_commit_rows($q$fresh$q$, $q$%s$q$);\n\\timing off\nrollback;\n' "$1" | run --file=- |
            sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
    done | sort -g | head -n 1
}

make_large() {
    sql "create table large as select i as id, md5(i::text) as hash, i % 100 as label, random() as score,
                'row number ' || i || ' of many' as words from generate_series(1, $rows) i;
         select sparse_commit_rows('large', 'select * from large order by id', key => array['id']);
         update large set label = -1 where id = $rows / 2;
         select sparse_commit_rows('large', 'select * from large order by id', 'large', array['id'])" >/dev/null
}

diff_row() {
    local what=$1 a=$2 b=$3 by=$4 changed chunks all
    changed=$(sql "select count(*) from sparse_row_diff('$a', '$b', by => array['$by'])")
    chunks=$(run --command="set client_min_messages = debug1" --command="select count(*) from sparse_row_diff('$a', '$b', by => array['$by'])" 2>&1 |
        sed -n 's/.*chunks read to find changes: //p')
    all=$(sql "select sum(chunks) from (select chunks from sparse_columns('$a') union all select chunks from sparse_columns('$b')) c")
    echo "| $what | $changed | $(ms "$(milliseconds "select count(*) from sparse_row_diff('$a', '$b', by => array['$by'])")") | $chunks of $all |"
}

diffs() {
    echo "| difference | rows | ms | chunks decoded |"
    echo "|---|---|---|---|"
    diff_row "SQuAD v1.0 to v1.1 (answers)" squad@1 squad@2 id
    diff_row "SQuAD v1.1 to v1.1-2018 (every id)" squad@2 squad@3 id
    diff_row "SQuAD v1.1-2018 to v2.0" squad@3 squad@4 id
    diff_row "one row of $rows" large@1 large@2 id
}

report() {
    echo "# Datasets, measured"
    echo
    echo "By \`make bench-datasets\` (test/bench-datasets.sh) on $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), PostgreSQL $(sql 'show server_version' | cut -d' ' -f1), one core a query. What each column means is said there."
    echo
    echo "## Sizes"
    sizes
    echo
    echo "Relations grow by pages of 8 KB, and by rows that a vacuum gives back."
    make_large
    echo
    echo "## Speed"
    speed
    echo
    echo "## Differences"
    diffs
}

[ -d "$data/squad" ] || { echo "no datasets in $data: name them in SPARSE_DATASETS" >&2; exit 2; }
bash test/install-packages.sh
choose_user
work=$(mktemp -d "${TMPDIR:-/tmp}/sparse-datasets.XXXXXX")
chmod 755 "$work"
run_home=$work/home
make -s -j2 all
install_private "$top" "$work/prefix"
[ "$(id -u)" -ne 0 ] || chown "$run_user" "$work"
as_user mkdir -p "$run_home" "$work/tmp"
chmod 777 "$work/tmp"
init_cluster "$work/data" "$work/s" <<<"fsync = off
sparse.find_parents = off
max_wal_size = 4GB"
start_cluster "$work/data"
sql "create extension sparse; select sparse_create_store()" >/dev/null
report >"$work/report.md"
cp "$work/report.md" "$out"
cat "$out"
