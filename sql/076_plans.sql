-- Where one version, family, owner or month is asked for, no table that grows is read from end to end.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
drop role if exists regress_sparse_owner, regress_sparse_reader;
create role regress_sparse_owner;
create role regress_sparse_reader;
do $$ begin execute format('grant create on database %I to regress_sparse_owner', current_database()); end $$;
grant create, usage on schema public to regress_sparse_owner, regress_sparse_reader;
set role regress_sparse_owner;
select sparse_create_store();

-- 20,000 versions of 200 families: chains of fine-tunes, 40 deep, and merges of neighbours; with a pull, a tag in two, and a day of history each
insert into sparse.family (id, name) select i, 'base ' || i from generate_series(1, 200) i;
insert into sparse.version (id, name, revision, family, state, content_sha256, created_at, created_by, metadata, files, tensors, raw_bytes, unique_file_bytes, new_objects, new_bytes, stored_bytes, by_predictor)
select i, format('org%s/model-%s', i % 50, i / 2), i % 2 + 1, i % 200 + 1, 'ready', sha256(int8send(i)), timestamptz '2020-01-01 UTC' + i * interval '2 hours',
       'user ' || i % 500, jsonb_build_object('seed', i), 1, 1, 1000, 1000, 2, 104, 70,
       '{"none": {"objects": 2, "content_bytes": 104, "stored_bytes": 70}}'
from generate_series(1, 20000) i;
insert into sparse.parent (child, ordinal, parent, role)
select i, 0, i - 200, 'finetune' from generate_series(201, 20000) i where i % 8000 > 200
union all select i, 1, i - 399, 'merge' from generate_series(401, 20000) i where i % 17 = 0 order by 1, 2;
insert into sparse.object (place, id, sha256, dtype, bytes, stored_bytes, chunk_bytes, version)
select 0, i, sha256(int8send(i)), 'U8', 52, 35, 1048576, (i + 1) / 2 from generate_series(1, 40000) i;
insert into sparse.file select i, 0, 'model.safetensors', 'safetensors', 1000, sha256(int8send(i)), 2 * i, 52 from generate_series(1, 20000) i;
insert into sparse.tensor select i, 0, 1, 't', 'U8', '{52}', 52, 52, 2 * i - 1 from generate_series(1, 20000) i;
insert into sparse.tag (name, tag, version) select name, 'production', id from sparse.version where revision = 1;
insert into sparse.tag_history (name, tag, from_version, to_version) select name, tag, null, version from sparse.tag;
insert into sparse.pull select i, date '2024-01-01' + i % 600, 1, 100, 50 from generate_series(1, 20000) i;
insert into sparse.savings_history (day, scope, of, versions, raw_file_bytes, whole_file_dedup_bytes, stored_bytes, stored_for_dropped_bytes)
select date '2024-01-01' + i % 100, 'family', (i / 100)::text, 1, 1, 1, 1, 0 from generate_series(0, 19999) i;
update sparse.version set state = 'dropped', dropped_at = now() where id = 7002;
-- servers name the tables that are not ours to vacuum, or not
set client_min_messages = error;
vacuum analyze;
set client_min_messages = warning;

create table asked (n serial, what text, query text);
insert into asked (what, query) values
    ('a version', 'select count(*) from sparse.savings where version = 15000'),
    ('a name', 'select count(*) from sparse.savings where name = ''org20/model-7510'''),
    ('a family', 'select count(*) from sparse.savings_by_family where family = 77'),
    ('an owner', 'select count(*) from sparse.savings_by_owner where owner = ''user 77'''),
    ('a month', 'select count(*) from sparse.savings_by_month where month = ''2022-03-01'''),
    ('what an owner uses', 'select count(*) from sparse.usage where owner = ''user 77'''),
    ('egress of a version', 'select count(*) from sparse.egress where version = 15000'),
    ('egress of a name', 'select count(*) from sparse.egress where name = ''org20/model-7510'''),
    ('egress of a month', 'select count(*) from sparse.egress_by_month where month = ''2024-03-01'''),
    ('history of a family', 'select count(*) from sparse.savings_history where scope = ''family'' and of = ''77'''),
    ('history of a tag', 'select count(*) from sparse.tag_history where name = ''org20/model-7510'' and tag = ''production'''),
    ('an id', 'select sparse_version_id(15000)'),
    ('a revision', 'select sparse_resolve(''org20/model-7510@1'')'),
    ('the newest', 'select sparse_resolve(''org20/model-7510'')'),
    ('a tag', 'select sparse_resolve(''org20/model-7510@production'')'),
    ('ancestors', 'select count(*) from sparse_lineage(7990)'),
    ('descendants', 'select count(*) from sparse_descendants(7000)'),
    ('members', 'select count(*) from sparse_family(7000)'),
    ('a common ancestor', 'select count(*) from sparse_common_ancestor(7990, 7590)'),
    ('a path', 'select count(*) from sparse_path(7990, 7590)'),
    ('a drawing', 'select length(sparse_graph(7000))'),
    ('tensors', 'select count(*) from sparse_tensors(7000)'),
    ('a page', 'select count(*) from sparse_versions()'),
    ('a page of a name', 'select count(*) from sparse_versions(''{"name": "org20/model-7510"}'')'),
    ('a page of a prefix', 'select count(*) from sparse_versions(''{"name_prefix": "org20/model-75"}'')'),
    ('a page of an owner', 'select count(*) from sparse_versions(''{"created_by": "user 77"}'')'),
    ('a page of a family', 'select count(*) from sparse_versions(''{"family": 77}'')'),
    ('a page of a tag', 'select count(*) from sparse_versions(''{"tag": "production", "name": "org20/model-7510"}'')'),
    ('what a drop would free', 'select objects from sparse_drop_preview(7000)'),
    ('a pull to record', 'select sparse_record_pull(7000, 10)'),
    ('a move of a tag', 'select sparse_tag(7000, ''candidate'')'),
    ('a drop', 'select sparse_drop(7001)'),
    ('an undrop', 'select sparse_undrop(7002)');
grant select on asked to regress_sparse_reader;

-- relations of the store that a query has read from end to end, but for those that do not grow
create function scanned(query text) returns text language plpgsql as $$
declare
    before bigint[] := array(select seq_scan from pg_stat_xact_user_tables where schemaname = 'sparse' order by relid);
    answer text;
begin
    execute query into answer;
    return (select string_agg(relname, ', ' order by relname)
            from (select relname, seq_scan, row_number() over (order by relid) as n from pg_stat_xact_user_tables where schemaname = 'sparse') s
            where seq_scan > before[n] and relname not in ('quota', 'place', 'store'));
end $$;
begin;
select scanned('select count(*) from sparse.savings_by_owner') as that_it_would_tell;
select what, tables from (select n, what, scanned(query) as tables from asked order by n offset 0) a where tables is not null order by n;
rollback;
-- metadata, which has an index as well
select scanned('select count(*) from sparse_versions(''{"metadata": {"seed": 7000}}'')');

-- Under row-level security the same, but for a month: PostgreSQL asks functions that might tell only after the policies
grant usage on schema sparse to regress_sparse_reader;
grant select on all tables in schema sparse to regress_sparse_reader;
grant update on sparse.version to regress_sparse_reader;
grant insert, update on sparse.pull to regress_sparse_reader;
alter table sparse.version enable row level security;
create policy visible on sparse.version to regress_sparse_reader using (name ~ '^org');
set role regress_sparse_reader;
begin;
select what, tables from (select n, what, scanned(query) as tables from asked order by n offset 0) a where tables is not null order by n;
rollback;

-- Months are those of UTC, wherever they are asked for
reset role;
set timezone = 'Pacific/Kiritimati';
select md5(string_agg(m::text, ',' order by month)) as kiritimati from sparse.savings_by_month m \gset
set timezone = 'America/Los_Angeles';
select md5(string_agg(m::text, ',' order by month)) = :'kiritimati' as the_same, min(month) from sparse.savings_by_month m;
drop schema sparse cascade;
drop extension sparse;
drop owned by regress_sparse_owner, regress_sparse_reader;
drop role regress_sparse_owner, regress_sparse_reader;
