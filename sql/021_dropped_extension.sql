-- "drop extension sparse cascade" takes no content: what it took comes back by
-- sparse_update_store(), and every version is what it was.
set client_min_messages = warning;
\set VERBOSITY terse
drop role if exists regress_sparse_owner, regress_sparse_reader;
create role regress_sparse_owner;
create role regress_sparse_reader;
do $$ begin execute format('grant create on database %I to regress_sparse_owner', current_database()); end $$;
create schema extension_1;
create extension sparse schema extension_1;
grant usage on schema extension_1 to public;
set search_path = public, extension_1;
set role regress_sparse_owner;
select sparse_create_store();
reset role;

-- ---- what depends on the extension, and would go with it ----

-- The type of no column, no default, check, index, policy; of all relations only these views; and triggers.
create function depends_on_the_extension() returns table (what text) language sql as $$
    with recursive member as (
        select classid, objid from pg_depend
        where refclassid = 'pg_extension'::regclass and deptype = 'e'
          and refobjid = (select oid from pg_extension where extname = 'sparse')
    ), needs (classid, objid, objsubid) as (
        select d.classid, d.objid, d.objsubid from pg_depend d
        join member m on d.refclassid = m.classid and d.refobjid = m.objid
        union
        select d.classid, d.objid, d.objsubid from pg_depend d
        join needs n on d.refclassid = n.classid and d.refobjid = n.objid and (n.objsubid = 0 or d.refobjsubid = n.objsubid)
        where d.deptype <> 'e'
    )
    select replace(pg_describe_object(n.classid, n.objid, n.objsubid), 'rule _RETURN on ', '') from needs n
    where not exists (select from member m where m.classid = n.classid and m.objid = n.objid)
      and not exists (select from pg_cast c where n.classid = 'pg_cast'::regclass and c.oid = n.objid)
      and pg_describe_object(n.classid, n.objid, n.objsubid) ~ '(table|view|sequence|index|schema) sparse' $$;
select what from depends_on_the_extension() order by what collate "C";

-- ---- models, and datasets of the user's types ----

create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
create type mood as enum ('sad', 'ok', 'happy');
create type point3 as (x float8, y int, felt mood);
create domain positive as int check (value > 0);
create table held as select i as id, (enum_range(null::mood))[1 + i % 3] as felt, row(i / 3.0, i, 'ok')::point3 as at,
    (i + 1)::positive as size, sdelta_encode(convert_to('x' || i, 'UTF8')) as delta from generate_series(1, 500) i;
alter table held add primary key (id);

grant usage on schema sparse to regress_sparse_reader;
grant select on sparse.version, sparse.file, sparse.tensor, sparse.savings, sparse.all_savings, sparse.savings_by_predictor, sparse.all_savings_by_predictor to regress_sparse_reader;
grant select, insert on sparse.version to regress_sparse_reader;
alter table sparse.version enable row level security;
create policy visible on sparse.version to regress_sparse_reader using (name <> 'hidden');

select sparse_import_file('base', data_file('mini-base')) > 0 as base,
       sparse_import_file('child', data_file('mini-finetune'), '{base}') > 0 as child,
       sparse_import_file('hidden', data_file('mini-chain-2'), '{child}') > 0 as hidden,
       sparse_commit_rows('held', 'select * from held order by id', key => '{id}') > 0 as held;
update held set felt = 'ok', size = size + 1 where id % 100 = 0;
select sparse_commit_rows('held', 'select * from held order by id desc', 'held', '{id}') > 0 as held2;
select sparse_tag('child', 'production') is null as tagged;
-- an upload that is not finished
select sparse_begin('upload', jsonb_build_array(
    jsonb_build_object('path', 'a', 'size', 3, 'sha256', encode(sha256('one'), 'hex')),
    jsonb_build_object('path', 'b', 'size', 3, 'sha256', encode(sha256('two'), 'hex')))) as upload \gset
select sparse_write(:upload, null, 0, 'one', 'a');

create function contents() returns table (version text, sha256 text) language sql as $$
    select v.name || '@' || v.revision, case v.kind when 'model'
        then (select encode(sha256(string_agg(piece, '' order by n)), 'hex') from extension_1.sparse_reconstruct(v.id) with ordinality p (piece, n))
        else (select md5(string_agg(r::text, '|')) from extension_1.sparse_rows(v.id) r) end
    from sparse.version v where state = 'ready' order by v.id $$;
create table before as select * from contents();
create function catalog() returns table (kind text, what text) language sql as $$
    select 'column' as kind, format('%s.%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage,
                   (select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = c.oid and adnum = a.attnum)) as what
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'sparse'::regnamespace and a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'S')
    union all
    select 'relation', format('%s %s %s %s', relname, relkind, relowner::regrole,
                   (select string_agg(a::text, ' ' order by a::text) from unnest(relacl) a)) from pg_class where relnamespace = 'sparse'::regnamespace
    union all
    select 'constraint', format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) from pg_constraint where connamespace = 'sparse'::regnamespace
    union all
    select 'trigger', pg_get_triggerdef(oid) from pg_trigger where not tgisinternal and tgrelid in (select oid from pg_class where relnamespace = 'sparse'::regnamespace)
    union all
    select 'policy', format('%s %s %s', polrelid::regclass, polname, pg_get_expr(polqual, polrelid)) from pg_policy
    union all
    select 'view', format('%s %s', relname, pg_get_viewdef(oid)) from pg_class where relnamespace = 'sparse'::regnamespace and relkind = 'v'
    union all
    select 'comment', format('%s %s', relname, obj_description(oid, 'pg_class')) from pg_class where relnamespace = 'sparse'::regnamespace and obj_description(oid, 'pg_class') is not null $$;
create table catalog_before as select * from catalog();
select count(*) > 300 as much, count(*) filter (where kind = 'trigger') as triggers from catalog_before;

-- ---- the trap ----

-- Servers find dependents in an order of their own.
create function refusal(statement text) returns setof text language plpgsql as $$
declare
    message text;
    detail text;
    hint text;
begin
    execute statement;
exception when others then
    get stacked diagnostics message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
    return next message;
    return query select line from regexp_split_to_table(detail, '\n') line order by line collate "C";
    return next hint;
end$$;
select refusal('drop extension sparse');
drop extension sparse cascade;
select attname, format_type(atttypid, atttypmod), attstorage from pg_attribute
where attrelid = 'sparse.chunk'::regclass and attnum > 0 order by attnum;
select count(*) > 100 as chunks, bool_and(octet_length(delta) > 40) as whole from sparse.chunk;
-- Without its triggers nothing is read or written, nor is a store made in its place; and not everybody mends it
create extension sparse schema extension_1;
\set VERBOSITY default
select sparse_verify('base');
select sparse_import_file('more', data_file('mini-base'));
set role regress_sparse_owner;
select sparse_create_store();
reset role;
\set VERBOSITY terse
set role regress_sparse_reader;
select sparse_update_store();
reset role;

-- ---- and back ----

select sparse_update_store() = sparse_store_format() as up_to_date;
select 'gone' as how, b.* from catalog_before b
where not exists (select from catalog() n where n.kind = b.kind and n.what = b.what);
select b.version, b.sha256 = c.sha256 as same from before b join contents() c using (version) order by 1;
select count(*) as problems from sparse.version v, sparse_verify(v.id) where v.state = 'ready' and v.kind = 'model';
select sparse_resolve('child@production') = sparse_resolve('child') as tagged;
set role regress_sparse_reader;
select string_agg(name, ' ' order by name) as seen from sparse.version;
select count(*) > 0 as sees_predictors from sparse.savings_by_predictor;
select count(*) from sparse.all_savings_by_predictor where false;
insert into sparse.version (name, revision, family) values ('forged', 1, 1);
reset role;
-- The upload goes on, versions are counted, and once more nothing changes
select sparse_write(:upload, null, 0, 'two', 'b'), sparse_commit(:upload) = :upload as committed;
select sparse_import_file('after', data_file('mini-finetune-strong'), '{base}') > 0 as after;
select bool_and(v.new_objects = t.new_objects and v.stored_bytes = t.stored_bytes) as counted
from sparse.version v, sparse_tally(v.id) t where v.state = 'ready';
select sparse_update_store() = sparse_store_format() as up_to_date;

-- Also where the extension comes back to another schema
drop extension sparse cascade;
create schema extension_2;
create extension sparse schema extension_2;
grant usage on schema extension_2 to public;
set search_path = public, extension_2;
select sparse_update_store() = sparse_store_format() as up_to_date;
select sparse_import_file('elsewhere', data_file('mini-finetune-light'), '{base}') > 0 as elsewhere;
select sparse_drop('after'), (sparse_collect()).versions;
select count(*) as problems from sparse.version v, sparse_verify(v.id) where v.state = 'ready' and v.kind = 'model';

-- ---- bytes as deltas ----

select (sdelta_info(delta)).version, count(*) from sparse.chunk group by 1 order by 1;
select bool_and(delta::sdelta::bytea = delta) as there_and_back from sparse.chunk;
select '\x00'::bytea::sdelta;
select sdelta_from_bytea(null) is null as strict;

reset search_path;
drop schema sparse cascade;
drop extension sparse;

-- ---- whose a store should be ----

create extension sparse;
create role regress_sparse_super superuser;
set role regress_sparse_super;
\set VERBOSITY default
select sparse_create_store();
\set VERBOSITY terse
reset role;
drop schema sparse cascade;
drop extension sparse;
do $$ begin execute format('revoke create on database %I from regress_sparse_owner', current_database()); end $$;
drop role regress_sparse_owner, regress_sparse_reader, regress_sparse_super;
