-- Privileges of tags, names and questions over versions: what the row of a version
-- hides is hidden everywhere, and who may update the row may tag and rename.
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
alter table sparse.version enable row level security;
-- everybody sees what is public or his own, writes what is his own, and names it after himself
create policy visible on sparse.version for select using (metadata @> '{"public": true}' or created_by = current_user);
create policy add on sparse.version for insert with check (name like substr(current_user, 16) || '/%' or name = 'shared');
create policy change on sparse.version for update using (created_by = current_user) with check (name like substr(current_user, 16) || '/%' or name = 'shared');

set role regress_sparse_ann;
select sparse_import_bytes('ann/base', model('base'), metadata => '{"public": true}') as base, sparse_import_bytes('ann/secret', model('secret'), '{ann/base}') as secret,
       sparse_import_bytes('shared', model('of ann')) as shared;
set role regress_sparse_bob;
select sparse_import_bytes('bob/tuned', model('tuned'), '{ann/base}') as tuned, sparse_import_bytes('shared', model('of bob'), metadata => '{"public": true}') as shared;

-- Tags: the version's row decides, without any grant on sparse.tag
set role regress_sparse_ann;
select sparse_tag('ann/base', 'production'), sparse_tag('ann/secret', 'production'), sparse_tag('shared@1', 'mine');
select sparse_resolve('ann/secret@production');
set role regress_sparse_bob;
select sparse_resolve('ann/base@production');
-- a tag of a hidden version does not exist
select sparse_resolve('ann/secret@production');
select sparse_untag('ann/secret', 'production');
select sparse_resolve('shared@mine');
select sparse_untag('shared', 'mine');
-- what one sees and may not update, one does not tag, nor untag
select sparse_tag('ann/base', 'bobs');
select sparse_tag(1, 'bobs');
select sparse_untag('ann/base', 'production');
select sparse_tag('ann/secret', 'bobs');
-- nor take a tag from a version that one may not update, seen or not
select sparse_tag('shared@2', 'mine');
select sparse_tag('shared@2', 'bobs');
set role regress_sparse_ann;
select sparse_tag('shared@1', 'bobs');
-- Rows of tags and of their history follow the versions
select from sparse.tag;
select from sparse.tag_history;
set role regress_sparse_owner;
grant select on sparse.tag, sparse.tag_history, sparse.parent to regress_sparse_ann, regress_sparse_bob;
set role regress_sparse_bob;
select name, tag, version, moved_by from sparse.tag order by name, tag;
select name, tag, from_version, to_version, moved_by from sparse.tag_history order by id;
insert into sparse.tag (name, tag, version) values ('bob/tuned', 'forged', 4);
set role regress_sparse_ann;
select name, tag, version from sparse.tag order by name, tag;
-- a move from a hidden version to one that is seen is not shown
set role regress_sparse_owner;
update sparse.version set created_by = 'regress_sparse_bob' where id = 3;
set role regress_sparse_bob;
select sparse_tag('shared@2', 'mine');
set role regress_sparse_owner;
update sparse.version set created_by = 'regress_sparse_ann' where id = 3;
set role regress_sparse_bob;
select count(*) from sparse.tag_history where tag = 'mine';
select name, tag, version from sparse.tag where tag = 'mine';
-- Without the privilege to update nothing is tagged
set role regress_sparse_owner;
revoke update on sparse.version from regress_sparse_bob;
set role regress_sparse_bob;
select sparse_tag('bob/tuned', 'x');
select sparse_untag('shared', 'mine');
set role regress_sparse_owner;
grant update (state, dropped_at, name, revision) on sparse.version to regress_sparse_bob;
set role regress_sparse_bob;
select sparse_tag('bob/tuned', 'x');

-- Questions show what the versions show
set role regress_sparse_ann;
select array_agg(name order by id) as listed from sparse_versions();
select sparse_graph('ann/base');
select array_agg(name) from sparse_family('ann/base');
select count(*) from sparse_common_ancestor('ann/base', 'ann/secret');
select count(*) from sparse_path('ann/secret', 'bob/tuned');
set role regress_sparse_bob;
select array_agg(name order by id) as listed, json_agg(tags order by id) as tags from sparse_versions();
select array_agg(id) from sparse_versions('{"tag": "production"}');
select array_agg(id) from sparse_versions('{"name": "ann/secret"}');
select sparse_graph('ann/base');
select sparse_graph('ann/base', 'svg') !~ 'secret' as hidden;
select array_agg(name) from sparse_family('ann/base');
select sparse_graph('ann/secret');
select sparse_family(2);
select sparse_common_ancestor('bob/tuned', 'ann/secret');
select sparse_path('ann/secret', 'bob/tuned');
select sparse_compare('ann/base', 'ann/secret');
select tensor, state, l2 > 0 as measured from sparse_compare('ann/base', 'bob/tuned');

-- Names: all revisions, or none
select sparse_rename('ann/base', 'bob/base');
select sparse_rename('ann/secret', 'bob/secret');
select sparse_rename('shared', 'bob/shared');
select sparse_rename('bob/tuned', 'ann/tuned');
select sparse_rename('bob/tuned', 'bob/better');
-- that a name is taken is told to those who might bear it, and not to others
set role regress_sparse_ann;
select sparse_rename('ann/base', 'bob/better');
select sparse_rename('ann/base', 'bob/nobody');
select sparse_rename('ann/base', 'shared');
select sparse_rename('ann/base', 'ann/secret');
set role regress_sparse_owner;
update sparse.version set revision = 2147483647 where id = 5;
set role regress_sparse_ann;
select sparse_rename('ann/base', 'shared');
select id, name, revision from sparse.version order by id;

-- Dropped versions come back for those who may update them
select sparse_drop('ann/base');
set role regress_sparse_bob;
select sparse_undrop('ann/base');
select sparse_undrop(2);
set role regress_sparse_ann;
select sparse_undrop('ann/base');
select state from sparse.version where id = 1;

-- A superuser runs nothing of the owner's with his own rights
set role regress_sparse_owner;
create schema regress_sparse_trap;
create function regress_sparse_trap.evil(bigint) returns bigint language plpgsql immutable as $$
begin
    if (select rolsuper from pg_roles where rolname = current_user) then raise exception 'the trap was sprung'; end if;
    return $1;
end $$;
create function regress_sparse_trap.evil() returns trigger language plpgsql as $$
begin
    perform regress_sparse_trap.evil(1);
    return coalesce(new, old);
end $$;
create index on sparse.parent ((regress_sparse_trap.evil(1)));
create index on sparse.version ((regress_sparse_trap.evil(2)));
create index on sparse.tag ((regress_sparse_trap.evil(3)));
create index on sparse.tensor ((regress_sparse_trap.evil(4)));
create trigger evil before insert or update or delete on sparse.tag for each row execute function regress_sparse_trap.evil();
create trigger evil before insert or update or delete on sparse.tag_history for each row execute function regress_sparse_trap.evil();
\c -
set client_min_messages = warning;
select sparse_tag('ann/base', 'rooted'), sparse_tag('ann/base', 'rooted'), sparse_untag('ann/base', 'rooted');
select count(*) as listed from sparse_versions('{"name_prefix": "ann/"}');
select count(*) as lines from regexp_split_to_table(sparse_graph('ann/base'), '\n');
select count(*) as members from sparse_family('ann/base');
select (select count(*) from sparse_common_ancestor('ann/base', 'ann/secret')) as common, (select count(*) from sparse_path('ann/base', 'ann/secret')) as steps,
       (select count(*) from sparse_compare('ann/base', 'ann/secret')) as tensors;
select sparse_rename('ann/secret', 'ann/known');
select sparse_drop('ann/known');
select sparse_undrop('ann/known');

-- Operators and functions that stand before the server's own on the path are not called
create schema evil;
grant usage on schema evil to public;
create function evil.trap(anyelement, anyelement) returns boolean language plpgsql as $$ begin raise exception 'the trap was sprung'; end $$;
do $$
declare kind text; name text;
begin
    foreach kind in array array['bigint', 'integer', 'text', 'boolean', 'bigint[]', 'jsonb', 'timestamptz'] loop
        execute format('create function evil.trap(%1$s, %1$s) returns boolean language plpgsql as ''begin raise exception $x$the trap was sprung$x$; end''', kind);
        foreach name in array array['=', '<>', '<', '>', '<=', '>=', '@>', '^@', '-', '+'] loop
            execute format('create operator evil.%1$s (function = evil.trap, leftarg = %2$s, rightarg = %2$s)', name, kind);
        end loop;
    end loop;
    foreach name in array array['count', 'max', 'min', 'row_number_', 'string_agg', 'array_agg', 'coalesce_', 'clock_timestamp'] loop
        execute format('create function evil.%I(anyelement) returns anyelement language plpgsql as ''begin raise exception $x$the trap was sprung$x$; end''', name);
    end loop;
end $$;
set role regress_sparse_ann;
set search_path = evil, pg_catalog, public;
select sparse_tag('ann/base', 'evil');
select sparse_untag('ann/base', 'evil');
create temporary table listed as select * from sparse_versions('{"name_prefix": "ann/", "metadata": {}, "created_after": "2000-01-01"}');
create temporary table drawn as select sparse_graph('ann/base');
create temporary table kin as select version from sparse_family('ann/base') union all select version from sparse_common_ancestor('ann/base', 'ann/known') union all select version from sparse_path('ann/base', 'ann/known');
create temporary table compared as select * from sparse_compare('ann/base', 'ann/known');
select sparse_rename('ann/known', 'ann/secret');
select sparse_drop('ann/secret');
select sparse_undrop('ann/secret@1');
reset role;
reset search_path;
select (select count(*) from listed) as listed, (select count(*) from drawn) as drawn, (select count(*) from kin) as kin, (select count(*) from compared) as compared;

drop schema regress_sparse_trap cascade;
drop schema sparse cascade;
drop extension sparse;
drop owned by regress_sparse_owner, regress_sparse_ann, regress_sparse_bob;
drop role regress_sparse_owner, regress_sparse_ann, regress_sparse_bob;
