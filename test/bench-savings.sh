#!/usr/bin/env bash
# Savings over a graph of 1,000,000 versions (test/lib/graph.sql): what one version, one
# family and the whole store take to sum up, as the store's owner and under row-level
# security. Prints a table in Markdown, and the plans for one version and one family.
#
#   test/bench-savings.sh [VERSIONS]
#
# A private server that is removed afterwards; each figure is the median and the slowest
# of the calls of one session, warm.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
versions=${1:-1000000}

choose_user
work=$(mktemp -d "${TMPDIR:-/tmp}/sparse-savings.XXXXXX")
trap 'stop_all_under "$work"; rm -rf "$work"' EXIT
chmod 755 "$work"
run_home=$work/home
[ "$(id -u)" -ne 0 ] || chown "$run_user" "$work"
as_user mkdir -p "$run_home"
make -s -j2 all PG_CONFIG="$PG_CONFIG"
install_private "$top" "$work/prefix"
init_cluster "$work/data" "$work/s" <<END
fsync = off
shared_buffers = 1GB
max_wal_size = 8GB
maintenance_work_mem = 256MB
END
start_cluster "$work/data"
sql() { as_user "$bindir/psql" -XqAt -v ON_ERROR_STOP=1 -h "$work/s" -p "$server_port" -U postgres "$@"; }

cat test/lib/graph.sql - <<'END' | sql -v versions="$versions"
grant usage on schema sparse to reader;
grant select on sparse.version, sparse.savings, sparse.savings_by_family, sparse.savings_by_owner, sparse.savings_by_month,
    sparse.savings_by_predictor to reader;
alter table sparse.version enable row level security;
create policy org on sparse.version for select to reader using (created_by <> 'user 7' and state <> 'open');
reset role;
vacuum analyze;
checkpoint;
create function times(query text, calls int) returns text language plpgsql as $$
declare began timestamptz; took double precision[]; n numeric;
begin
    for i in 0 .. calls loop
        began := clock_timestamp();
        execute query into n using (i * 7919::bigint) % 900000 + 1;
        if i > 0 then took := took || extract(epoch from clock_timestamp() - began) * 1000; end if;
    end loop;
    return (select round((percentile_cont(0.5) within group (order by t))::numeric, 2) || ', ' || round(max(t)::numeric, 2) || ' ms' from unnest(took) t);
end $$;
grant execute on function times to public;
END

echo "$(sql -c "select count(*) from sparse.version") versions in $(sql -c "select count(*) from sparse.family") families"
echo
echo "| question | as the owner: median, slowest | under row-level security |"
echo "|---|---|---|"
ask() {
    local what=$1 query=$2 calls=$3
    echo "| $what | $(sql -c "set role owner" -c "select times(\$q\$$query\$q\$, $calls)") | $(sql -c "set role reader" -c "select times(\$q\$$query\$q\$, $calls)") |"
}
one='select sum(stored_bytes) from sparse.savings where version = $1'
family='select sum(stored_bytes + raw_file_bytes + whole_file_dedup_bytes) from sparse.savings_by_family'
ask "savings of one version" "$one" 300
ask "savings of one family" "$family where family = \$1 % 2000 + 1" 300
ask "by family, the whole" "$family" 7
ask "by owner, the whole" "${family/by_family/by_owner}" 7
ask "by month, the whole" "${family/by_family/by_month}" 7
ask "by predictor, the whole" 'select sum(stored_bytes) from sparse.savings_by_predictor' 5

echo
sql -c "set role owner" -c "explain (costs off) ${one/\$1/4711}" -c "explain (costs off) $family where family = 47" -c "explain (costs off) $family" | sed 's/^/    /'
