-- Pages of versions, by what a filter says of them.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
create function import(name text, metadata jsonb) returns bigint language sql as $$
    select sparse_import_bytes(name, '\x0a000000000000007b7d' || convert_to(rpad('', 8), 'UTF8') , metadata => metadata) $$;
select import('acme/a', '{"license": "mit", "task": {"language": "de", "kind": "chat"}}'), import('acme/b', '{"license": "mit"}'),
       import('other/c', '{"license": "apache", "list": [1, 2, 3]}'), import('acme/d', '{"task": {"language": "fr"}}');
select sparse_tag('acme/a', 'production'), sparse_tag('acme/a', 'best'), sparse_tag('other/c', 'production'), sparse_drop('acme/b');
create role regress_sparse_other;
update sparse.version set created_by = 'regress_sparse_other', kind = 'dataset', exact = false, message = 'first' where id = 4;
update sparse.version set created_by = 'regress_sparse_maker' where id = 1;
update sparse.version set created_at = timestamptz '2020-01-01' + id * interval '1 day';

\x on
select * from sparse_versions('{"name": "acme/a"}');
\x off
-- Newest first, all states
select id, name, state, tags from sparse_versions();
select id, created_by, kind, exact, message from sparse_versions('{"kind": "dataset"}');

-- Each key, and several of them
create function ids(filter jsonb) returns bigint[] language sql as $$ select array_agg(id) from sparse_versions(filter) $$;
select ids('{"name": "other/c"}'), ids('{"name_prefix": "acme/"}'), ids('{"name_prefix": ""}'), ids('{"name_prefix": "acme%"}');
select ids('{"state": "ready"}'), ids('{"state": "dropped"}'), ids('{"kind": "model"}'), ids('{"exact": false}'), ids('{"created_by": "regress_sparse_other"}');
select ids('{"tag": "production"}'), ids('{"tag": "best"}'), ids('{"tag": "none"}'), ids('{"family": 3}');
select ids('{"metadata": {}}'), ids('{"metadata": {"license": "mit"}}'), ids('{"metadata": {"task": {"language": "de"}}}'), ids('{"metadata": {"list": [2]}}');
set timezone = 'UTC';
select ids('{"created_after": "2020-01-03"}'), ids('{"created_before": "2020-01-03"}'), ids('{"created_after": "2020-01-03T00:00:00Z", "created_before": "2020-01-04 00:00+00"}');
select ids('{"name_prefix": "acme/", "state": "ready", "metadata": {"license": "mit"}}'), ids('{"tag": "production", "name_prefix": "other"}');

-- Pages follow each other without a gap or a repetition, whatever happens in between
select array_agg(id) from sparse_versions('{}', null, 3);
select import('late', '{}');
select array_agg(id) from sparse_versions('{}', 2, 3);
select array_agg(id) from sparse_versions(after => 1);
select count(*) from sparse_versions(null, null, null);

-- What is no filter
select from sparse_versions('[]');
select from sparse_versions('"x"');
select from sparse_versions('{"names": "x"}');
select from sparse_versions('{"name": 3}');
select from sparse_versions('{"name": null}');
select from sparse_versions('{"exact": "true"}');
select from sparse_versions('{"family": "3"}');
select from sparse_versions('{"family": 1e30}');
select from sparse_versions('{"metadata": [1]}');
select from sparse_versions('{"metadata": "x"}');
select from sparse_versions('{"created_after": "yesterdays"}');
select from sparse_versions('{}', null, 0);
select from sparse_versions('{}', null, 10001);
select count(*) from sparse_versions('{"name": "''; drop table sparse.version --"}');

-- The next page of many is not found by looking at all of them
insert into sparse.version (id, name, revision, family, state, content_sha256, metadata, created_at)
select 1000 + i, 'bulk/' || i, 1, 1, 'ready', sha256(''), jsonb_build_object('number', i), timestamptz '2021-01-01' + i * interval '1 minute' from generate_series(1, 20000) i;
analyze sparse.version;
select pg_stat_force_next_flush();
create temporary table scans as select seq_scan as before from pg_stat_user_tables where relid = 'sparse.version'::regclass;
select array_agg(id) from sparse_versions('{}', 10000, 2);
select ids('{"name_prefix": "bulk/1234"}'), ids('{"name": "bulk/77"}'), ids('{"metadata": {"number": 4711}}'), ids('{"tag": "best"}'),
       ids('{"created_after": "2021-01-01 00:10", "created_before": "2021-01-01 00:12"}');
-- the same under row-level security
grant usage on schema sparse to regress_sparse_other;
grant select on sparse.version, sparse.tag to regress_sparse_other;
alter table sparse.version enable row level security;
create policy partly on sparse.version using (id % 2 = 0 or name like 'acme/%');
set role regress_sparse_other;
select array_agg(id) from sparse_versions('{}', 10000, 2);
select ids('{"name_prefix": "bulk/1234"}'), ids('{"name": "bulk/77"}'), ids('{"metadata": {"number": 4711}}'), ids('{"metadata": {"number": 4712}}'), ids('{"tag": "best"}'), ids('{"tag": "production"}'),
       ids('{"created_after": "2021-01-01 00:10", "created_before": "2021-01-01 00:12"}');
reset role;
select pg_stat_force_next_flush();
-- the two are those for metadata under policies, which an index cannot serve
select seq_scan - before as sequential_scans from scans, pg_stat_user_tables where relid = 'sparse.version'::regclass;
-- who may not see tags sees no versions with them
revoke select on sparse.tag from regress_sparse_other;
set role regress_sparse_other;
select count(*) from sparse_versions();
reset role;
drop owned by regress_sparse_other;
drop role regress_sparse_other;
