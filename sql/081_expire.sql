-- The end of versions by rule, for those who may drop them; the nightly care of a store.
\set VERBOSITY terse
set client_min_messages = warning;
drop role if exists regress_sparse_owner, regress_sparse_ann, regress_sparse_bob;
create role regress_sparse_owner;
create role regress_sparse_ann;
create role regress_sparse_bob;
do $$ begin execute format('grant create on database %I to regress_sparse_owner', current_database()); end $$;
create extension sparse;
create function model(content text) returns bytea language sql as $$
    select substr(int8send(128), 8, 1) || '\x00000000000000'::bytea || convert_to(rpad(
        json_build_object('t', json_build_object('dtype', 'U8', 'shape', array[octet_length(content)], 'data_offsets', array[0, octet_length(content)]))::text, 128), 'UTF8')
        || convert_to(content, 'UTF8') $$;
set role regress_sparse_owner;
select sparse_create_store();
grant usage on schema sparse to regress_sparse_ann, regress_sparse_bob;
grant select, insert, update on sparse.version to regress_sparse_ann, regress_sparse_bob;
grant select on sparse.tag to regress_sparse_ann;
alter table sparse.version enable row level security;
create policy visible on sparse.version for select using (metadata @> '{"public": true}' or created_by = current_user);
create policy add on sparse.version for insert with check (true);
create policy change on sparse.version for update using (created_by = current_user);

set role regress_sparse_ann;
select count(sparse_import_bytes('ann/run', model('run ' || i), metadata => '{"public": true}')) from generate_series(1, 6) i;
select count(sparse_import_bytes('ann/other', model('other ' || i))) from generate_series(1, 2) i;
select sparse_tag('ann/run@2', 'production');
set role regress_sparse_bob;
select count(sparse_import_bytes('bob/run', model('bob ' || i), metadata => '{"public": true}')) from generate_series(1, 3) i;
select sparse_import_bytes('ann/run', model('bob''s'), metadata => '{"public": true}') > 0 as imported;
reset role;
update sparse.version set created_at = now() - interval '40 days' where name = 'ann/run' and revision < 5;
update sparse.version set created_at = now() - interval '100 days' where name = 'ann/run' and revision = 1;

-- Something must say what stays
set role regress_sparse_ann;
select * from sparse_expire();
select * from sparse_expire(keep_last => 0);
select * from sparse_expire(keep_last => -1);

-- What would go: of one's own, though others' revisions count; tags keep
select name, revision, reason from sparse_expire(keep_last => 3);
select name, revision, reason from sparse_expire(keep_last => 3, keep_tagged => false);
select name, revision, reason from sparse_expire(older_than => '50 days');
select name, revision, reason from sparse_expire(keep_last => 4, older_than => '30 days');
select name, revision, reason from sparse_expire(keep_last => 1, prefix => 'ann/o');
select count(*) as nothing_was_dropped from sparse.version where state = 'dropped';
-- It goes, and comes back
select name, revision, stored_bytes > 0 as measured from sparse_expire(keep_last => 4, dry_run => false);
select name, revision from sparse.version where state = 'dropped' order by id;
select name, revision from sparse_expire(keep_last => 4, dry_run => false);
select sparse_undrop('ann/run@1');
-- What is public and another's is neither dropped nor named
set role regress_sparse_owner;
grant select on sparse.tag to regress_sparse_bob;
set role regress_sparse_bob;
select name, revision from sparse_expire(keep_last => 1, keep_tagged => false);
-- who may not update may not expire, nor who may not see tags
set role regress_sparse_owner;
revoke update on sparse.version from regress_sparse_bob;
revoke select on sparse.tag from regress_sparse_ann;
set role regress_sparse_bob;
select name, revision from sparse_expire(keep_last => 1);
set role regress_sparse_ann;
select name, revision from sparse_expire(keep_last => 1);

-- Care is the owner's
call sparse_materialize('ann/run');
call sparse_rebase('ann/run', 'bob/run');
call sparse_rebase('ann/run@1', 'no such');
call sparse_repack('ann/run');
call sparse_repack();
select * from sparse_repack_preview('ann/run');
call sparse_nightly();
insert into sparse.expiry values ('', 1);
set role regress_sparse_owner;
call sparse_repack('no such');
select * from sparse_repack_preview('no such');
insert into sparse.expiry values ('all', 0);
insert into sparse.expiry values ('all', -1);

-- Night after night: of the rules whose prefix a name has, the longest counts
call sparse_nightly() \gset was_
select :was_dropped as dropped, :was_collected as collected, :was_families as families, :'was_finished' as finished;
insert into sparse.expiry values ('ann/', 2, true, null), ('ann/o', 5, true, null), ('bob/', 0, false, '0 seconds');
call sparse_nightly() \gset was_
select :was_dropped as dropped, :was_collected > 0 as collected, :was_freed_bytes > 0 as freed, :was_families as families, :'was_finished' as finished;
select name, revision, state, collected_at is not null as collected from sparse.version order by id;
call sparse_nightly(budget => '0', open_older_than => null);
call sparse_nightly(budget => '0') \gset was_
select :was_dropped as dropped, :was_families as families, :'was_finished' as finished;

reset role;
drop schema sparse cascade;
drop extension sparse;
drop owned by regress_sparse_owner, regress_sparse_ann, regress_sparse_bob;
drop role regress_sparse_owner, regress_sparse_ann, regress_sparse_bob;
