#!/usr/bin/env bash
# Questions over a graph of 1,000,000 versions: how long each takes for one version,
# beside the same question asked by recursive queries of a plain adjacency table.
#
#   test/bench-lineage.sh [VERSIONS]      prints a table in Markdown, and the plans
#
# The graph: 2,000 bases; 30 levels of fine-tunes (94 of 100, of which 3 are
# quantized) and merges of two (6 of 100), each level 0.7 times the one before, with
# parents that are the more popular the older they are; three revisions to a name, a
# tag "production" for each name. It is written into the tables directly, as
# the store's owner, on a private server that is removed afterwards. Both sides run on
# saved plans; each figure is taken over 300 calls in one session, warm.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
versions=${1:-1000000}

choose_user
work=$(mktemp -d "${TMPDIR:-/tmp}/sparse-lineage.XXXXXX")
trap 'stop_all_under "$work"; rm -rf "$work"' EXIT
chmod 755 "$work"
run_home=$work/home
[ "$(id -u)" -ne 0 ] || chown "$run_user" "$work"
as_user mkdir -p "$run_home"
make -s -j2 all PG_CONFIG="$PG_CONFIG"
install_private "$top" "$work/prefix"
init_cluster "$work/data" "$work/s" <<END
fsync = off
shared_buffers = 512MB
max_wal_size = 8GB
maintenance_work_mem = 256MB
END
start_cluster "$work/data"
sql() { as_user "$bindir/psql" -XqAt -v ON_ERROR_STOP=1 -h "$work/s" -p "$server_port" -U postgres "$@"; }

cat test/lib/graph.sql - <<'END' | sql -v versions="$versions"
-- the same edges in a plain table
create table edge (child bigint not null, parent bigint not null, primary key (child, parent));
insert into edge select child, parent from sparse.parent;
create index on edge (parent, child);
create table node (id bigint primary key, name text not null, revision int not null, unique (name, revision));
insert into node select id, name, revision from sparse.version;
create table node_tag (name text, tag text, id bigint, primary key (name, tag));
insert into node_tag select name, tag, version from sparse.tag;

create function plain_ancestors(start bigint) returns table (id bigint, name text, distance int) language plpgsql stable as $$
begin
    return query with recursive r as (
        select e.parent, 1 as d from edge e where e.child = start
        union select e.parent, r.d + 1 from r join edge e on e.child = r.parent)
    select n.id, n.name, min(r.d) from r join node n on n.id = r.parent group by n.id, n.name order by 3;
end $$;
create function plain_descendants(start bigint) returns table (id bigint, name text, distance int) language plpgsql stable as $$
begin
    return query with recursive r as (
        select e.child, 1 as d from edge e where e.parent = start
        union select e.child, r.d + 1 from r join edge e on e.parent = r.child)
    select n.id, n.name, min(r.d) from r join node n on n.id = r.child group by n.id, n.name order by 3;
end $$;
create function plain_common(a bigint, b bigint) returns table (id bigint, name text) language plpgsql stable as $$
begin
    return query with recursive x as (
        select a as id, 0 as d union select e.parent, x.d + 1 from x join edge e on e.child = x.id),
    y as (select b as id, 0 as d union select e.parent, y.d + 1 from y join edge e on e.child = y.id)
    select n.id, n.name from (select x.id, min(x.d) + min(y.d) as d from x join y on y.id = x.id group by x.id order by 2, 1 desc limit 1) c join node n on n.id = c.id;
end $$;
create function plain_resolve(named text, tagged text) returns bigint language plpgsql stable as $$
begin
    return (select n.id from node_tag t join node n on n.id = t.id where t.name = named and t.tag = tagged);
end $$;

grant usage on schema sparse to reader;
grant select on sparse.version, sparse.parent, sparse.tag to reader;
grant select on all tables in schema public to reader;
reset role;
vacuum analyze;
checkpoint;

-- runs a query for each of some pairs of versions and names; medians in ms
create function times(query text, a bigint[], b bigint[] default null) returns table (median numeric, p99 numeric, rows numeric) language plpgsql as $$
declare began timestamptz; took double precision[]; found bigint[]; n bigint;
begin
    b := coalesce(b, a);
    for i in 1 .. least(20, cardinality(a) / 3) loop execute query into n using a[i], b[i]; end loop;
    for i in 1 .. cardinality(a) loop
        began := clock_timestamp();
        execute query into n using a[i], b[i];
        took := took || extract(epoch from clock_timestamp() - began) * 1000;
        found := found || n;
    end loop;
    return query select round((percentile_cont(0.5) within group (order by t))::numeric, 2), round((percentile_cont(0.99) within group (order by t))::numeric, 2),
                        (select round(percentile_cont(0.5) within group (order by f)::numeric) from unnest(found) f) from unnest(took) t;
end $$;
grant execute on function times to public;
create function sampled(condition text, n int) returns bigint[] language plpgsql as $$
declare ids bigint[];
begin
    perform setseed(0.25);
    execute format('select array_agg(id) from (select id from made where %s and id %% 1000 <> 7 order by random() limit %s) s', condition, n) into ids;
    return ids;
end $$;
create table question (ordinal int generated always as identity, what text, ours text, plain text, a bigint[], b bigint[]);
insert into question (what, ours, plain, a, b) values
    ('ancestors, any version', 'select count(*) from sparse_lineage($1)', 'select count(*) from plain_ancestors($1)', sampled('true', 300), null),
    ('ancestors, depth 20 to 30', 'select count(*) from sparse_lineage($1)', 'select count(*) from plain_ancestors($1)', sampled('level >= 20', 300), null),
    ('descendants, any version', 'select count(*) from sparse_descendants($1)', 'select count(*) from plain_descendants($1)', sampled('true', 300), null),
    ('descendants, versions with children', 'select count(*) from sparse_descendants($1)', 'select count(*) from plain_descendants($1)', (select array_agg(parent) from (select parent from made where parent is not null and parent % 1000 <> 7 group by parent order by md5(parent::text) limit 300) s), null),
    ('descendants, any base', 'select count(*) from sparse_descendants($1)', 'select count(*) from plain_descendants($1)', sampled('level = 0', 100), null),
    ('descendants, the most popular base', 'select count(*) from sparse_descendants($1)', 'select count(*) from plain_descendants($1)', array[1, 1, 1], null),
    ('common ancestor, any two of a family', 'select count(*) from sparse_common_ancestor($1, $2)', 'select count(*) from plain_common($1, $2)', sampled('level > 0', 300), null),
    ('common ancestor, two of a family, depth 15 to 30', 'select count(*) from sparse_common_ancestor($1, $2)', 'select count(*) from plain_common($1, $2)', sampled('level >= 20', 300), null),
    ('path, two of a family, depth 15 to 30', 'select count(*) from sparse_path($1, $2)', null, sampled('level >= 20', 300), null),
    ('tree of 500 around any version', 'select count(*) from regexp_split_to_table(sparse_graph($1), E''\n'')', null, sampled('true', 300), null),
    ('tree of 500 around any base', 'select count(*) from regexp_split_to_table(sparse_graph($1), E''\n'')', null, sampled('level = 0', 300), null),
    ('page of 100, newest', 'select count(*) from sparse_versions(''{}'', $1)', null, sampled('true', 300), null),
    ('page by prefix of a name', 'select count(*) from sparse_versions(jsonb_build_object(''name_prefix'', ''org'' || $1 % 5000 || ''/''))', null, sampled('true', 300), null),
    ('page by metadata', 'select count(*) from sparse_versions(jsonb_build_object(''metadata'', jsonb_build_object(''seed'', $1)))', null, sampled('true', 300), null);
update question q set b = (select array_agg((select f.id from family_of f where f.family = g.family and f.id <> g.id and f.id % 1000 <> 7 order by md5((f.id # g.id)::text) limit 1) order by n)
                           from unnest(q.a) with ordinality u (id, n) join family_of g on g.id = u.id) where what ~ 'any two of a family';
update question q set b = (select array_agg((select f.id from family_of f join made m on m.id = f.id where f.family = g.family and f.id <> g.id and f.id % 1000 <> 7 and m.level >= 15 order by md5((f.id # g.id)::text) limit 1) order by n)
                           from unnest(q.a) with ordinality u (id, n) join family_of g on g.id = u.id) where what ~ '^(common|path).*depth';
insert into question (what, ours, plain, a, b) values
    ('tag resolution', 'select count(*) from sparse_resolve(format(''org%s/model-%s@production'', ($1 / 3) % 5000, $1 / 3))', 'select count(*) from plain_resolve(format(''org%s/model-%s'', ($1 / 3) % 5000, $1 / 3), ''production'')', sampled('id % 3 = 1', 300), null);
grant select on question to public;
END

echo "$(sql -c "select count(*) from sparse.version") versions, $(sql -c "select count(*) from sparse.parent") edges, $(sql -c "select count(*) from sparse.parent where ordinal = 1") merges, $(sql -c "select count(*) from sparse.tag") tags; $(sql -c "select pg_size_pretty(sum(total_bytes)) from sparse.storage")"
echo
echo "| question | rows | store: median, p99 | under row-level security | adjacency table: median, p99 |"
echo "|---|---|---|---|---|"
ask() {
    sql -F ' ' <<END
set client_min_messages = warning;
set role $1;
select t.median, t.p99, t.rows from question q, times(q.$2, q.a, q.b) t where q.ordinal = $3 and q.$2 is not null;
END
}
sql -c "alter table sparse.version enable row level security; create policy org on sparse.version for select to reader using (created_by <> 'user 7' and state <> 'open')"
for i in $(sql -c 'select ordinal from question order by ordinal'); do
    read -r median p99 rows < <(ask owner ours "$i")
    read -r rls_median rls_p99 _ < <(ask reader ours "$i")
    read -r plain_median plain_p99 _ < <(ask owner plain "$i") || plain_median=
    echo "| $(sql -c "select what from question where ordinal = $i") | $rows | $median, $p99 ms | $rls_median, $rls_p99 ms | ${plain_median:+$plain_median, $plain_p99 ms} |"
done

sql -c "alter function pg_catalog.jsonb_contains(jsonb, jsonb) leakproof"
read -r median p99 _ < <(ask reader ours "$(sql -c "select ordinal from question where what = 'page by metadata'")")
echo "| page by metadata, jsonb_contains() declared leakproof | 1 | | $median, $p99 ms | |"

echo
echo "Scans in the plans (auto_explain, as the owner):"
for i in 2 4 8 $(sql -c "select ordinal from question where what ~ 'tag'"); do
    echo
    echo "- $(sql -c "select what from question where ordinal = $i")"
    echo
    sql <<END 2>&1 | grep -E 'Scan|Seq' | grep -v 'on question' | sed 's/^ *//; s/  (actual.*//; s/  (cost.*//' | sed 's/^-> *//; s/^/      /' | sort | uniq
load 'auto_explain';
set role owner;
reset role;
set auto_explain.log_min_duration = 0;
set auto_explain.log_nested_statements = on;
set client_min_messages = log;
do \$\$
declare q record; n bigint;
begin
    select * into q from question where ordinal = $i;
    perform set_config('role', 'owner', true);
    execute q.ours into n using q.a[1], (coalesce(q.b, q.a))[1];
end \$\$;
END
done
