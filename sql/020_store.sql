-- The store: its tables, whose it is, who writes versions, what their names may be,
-- objects and their chains, corruption, and the removal of what nothing needs.
set client_min_messages = warning;
drop role if exists regress_sparse_owner, regress_sparse_user, regress_sparse_mallory;
create role regress_sparse_owner;
create role regress_sparse_user;
create role regress_sparse_mallory;
do $$ begin execute format('grant create on database %I to regress_sparse_owner, regress_sparse_mallory', current_database()); end $$;
create extension sparse;
create schema test;
grant all on schema test to public;

-- Bytes that look like noise, the same on every machine.
create function test.noise(bytes int, seed int) returns bytea language sql immutable as
$$select substr(string_agg(sha256(convert_to(seed || ':' || i, 'UTF8')), ''::bytea order by i), 1, bytes)
  from generate_series(0, bytes / 32) i$$;
-- A few bytes of it changed.
create function test.nudge(content bytea, seed int) returns bytea language plpgsql immutable as
$$begin
    for i in 1 .. 20 loop
        content := set_byte(content, (i * 7919 * seed) % length(content), i);
    end loop;
    return content;
end$$;
-- A safetensors file of one tensor.
create function test.model(dtype text, shape bigint[], content bytea) returns bytea language sql immutable as
$$select set_byte(set_byte('\x0000000000000000'::bytea, 0, length(header) % 256), 1, length(header) / 256) || header || content
  from convert_to(format('{"w":{"dtype":"%s","shape":[%s],"data_offsets":[0,%s]}}',
                         dtype, array_to_string(shape, ','), length(content)), 'UTF8') h (header)$$;
create function test.content(version text) returns bytea language sql as
$$select string_agg(piece, ''::bytea order by n) from public.sparse_reconstruct(version) with ordinality p (piece, n)$$;
-- What a statement ends with: "ok", or its error, with the context that names the version.
create function test.outcome(statement text) returns text language plpgsql as
$$declare
    message text;
    detail text;
    context text;
begin
    execute statement;
    return 'ok';
exception when others then
    get stacked diagnostics message = message_text, detail = pg_exception_detail, context = pg_exception_context;
    return concat_ws(' / ', sqlstate || ' ' || message, nullif(detail, ''), substring(context from 'reading [^\n]*'));
end$$;

-- ---- no store, and what only looks like one ----

\set VERBOSITY default
select sparse_drop('a/b');
select sparse_collect();
select sparse_update_store();
\set VERBOSITY terse

-- Views would run their owner's functions with the rights of whoever reads them.
set role regress_sparse_mallory;
create schema sparse;
grant usage on schema sparse to public;
create function sparse.trap() returns bigint language plpgsql as
$$begin raise exception 'the trap was sprung as %', current_user; end$$;
create view sparse.object as select sparse.trap() as id;
reset role;
select test.outcome($$select sparse_collect()$$);
set role regress_sparse_mallory;
drop view sparse.object;
create table sparse.object (id bigint);
reset role;
select test.outcome($$select sparse_drop('a/b')$$);
set role regress_sparse_mallory;
drop schema sparse cascade;
-- Columns of a type of her own bring casts of her own.
select sparse_create_store();
create type sparse.number as (n bigint);
alter table sparse.version alter files drop default, alter files type sparse.number using row(1)::sparse.number;
reset role;
select test.outcome($$select sparse_drop('a/b')$$);
set role regress_sparse_mallory;
drop schema sparse cascade;
-- Functions in indexes are computed when a query is planned.
select sparse_create_store();
create function sparse.who(n bigint) returns bigint language plpgsql immutable as
$$begin
    raise notice 'planning as %', current_user;
    return n;
end$$;
create index trap on sparse.version ((id + sparse.who(1)));
set client_min_messages = notice;
reset role;
select test.outcome($$select sparse_drop('a/b')$$);
set client_min_messages = warning;
set role regress_sparse_mallory;
drop schema sparse cascade;
-- A store of hers is one; but what she puts on its tables never runs as somebody stronger.
select sparse_create_store();
create function sparse.trap_row() returns trigger language plpgsql as
$$begin
    insert into sparse.sprung values (tg_table_name, current_user);
    return new;
end$$;
create table sparse.sprung (relation text, who text);
create function sparse.trap() returns text language plpgsql as
$$begin
    insert into sparse.sprung values ('default of message', current_user);
    return 'trapped';
end$$;
create trigger trap before insert or update on sparse.version for each row execute function sparse.trap_row();
create trigger trap before insert on sparse.object for each row execute function sparse.trap_row();
alter table sparse.version alter message set default sparse.trap();
reset role;
select current_user = session_user and usesuper as superuser from pg_user where usename = current_user;
select sparse_import_bytes('a/b', test.model('U8', '{3}', '\x010203'));
select sparse_drop('a/b');
select distinct relation, who from sparse.sprung order by 1;
-- Nor can she defer it to a time when they are themselves again.
set role regress_sparse_mallory;
create constraint trigger later after insert on sparse.object deferrable initially deferred
    for each row execute function sparse.trap_row();
reset role;
select test.outcome($$select sparse_import_bytes('a/c', test.model('U8', '{4}', '\x01020304'))$$);
set role regress_sparse_mallory;
drop schema sparse cascade;
create schema sparse;
create table sparse.object (id bigint);
grant create on schema sparse to regress_sparse_user;
reset role;
set role regress_sparse_user;
create table sparse.version (id bigint);
reset role;
do $$
declare name text;
begin
    foreach name in array array['object_parent', 'chunk', 'parent', 'file', 'tensor', 'family', 'place'] loop
        execute format('create table sparse.%I (id bigint)', name);
    end loop;
end$$;
select test.outcome($$select sparse_drop('a/b')$$);
drop schema sparse cascade;

-- ---- a store of one's own ----

set role regress_sparse_owner;
select sparse_create_store();
select test.outcome('select sparse_create_store()');
reset role;

select relname, relkind, relowner::regrole, relrowsecurity as rls from pg_class
where relnamespace = 'sparse'::regnamespace and relkind not in ('i', 'I') order by relname;
select c.conrelid::regclass as relation, contype, pg_get_constraintdef(c.oid) as definition from pg_constraint c
where c.connamespace = 'sparse'::regnamespace and contype in ('p', 'f', 'u') order by conrelid::regclass::text collate "C", 2, 3;
select tgrelid::regclass, tgname, tgfoid::regproc from pg_trigger where not tgisinternal order by tgrelid::regclass::text collate "C", tgname;
select count(*) as members_of_the_extension from pg_depend
where refclassid = 'pg_extension'::regclass and deptype = 'e'
  and classid = 'pg_class'::regclass and objid in (select oid from pg_class where relnamespace = 'sparse'::regnamespace);
select count(*) filter (where obj_description(oid, 'pg_class') is null) as tables_without_comment from pg_class
where relnamespace = 'sparse'::regnamespace and relkind in ('r', 'p', 'v') and not relispartition;
select line from regexp_split_to_table(test.outcome('drop extension sparse'), '\n') line order by line collate "C";    -- servers find dependents in an order of their own

-- ---- settings ----

select name, setting, unit, min_val, max_val, context from pg_settings where name like 'sparse.%' and name !~ 'test' order by name;
select regexp_replace(test.outcome('set sparse.chunk_size = ''5MB'''), ' kB', '', 'g');    -- servers say the unit more or less often
select test.outcome('set sparse.max_chain_depth = 0');

-- ---- names of versions, and references to them ----

set role regress_sparse_owner;
create temp table bad (name text);
insert into bad values (''), ('123'), ('org/name@3'), (E'tab\there'), (repeat('x', 513));
select left(name, 12) as name, replace(test.outcome(format('select sparse_import_bytes(%L, test.model(''U8'', ''{1}'', ''\x01''))', name)), repeat('x', 513), '...') as outcome from bad;
select sparse_import_bytes('org/näme 1', test.model('U8', '{2}', '\x0102')) as first,
       sparse_import_bytes('org/näme 1', test.model('U8', '{2}', '\x0103')) as second,
       sparse_import_bytes(repeat('é', 512), test.model('U8', '{2}', '\x0104')) as longest;
create temp table reference (text text);
insert into reference values ('org/näme 1'), ('org/näme 1@1'), ('org/näme 1@2'), ('org/näme 1@3'), ('1'), ('02'), ('99'), ('0'),
    ('99999999999999999999'), ('9223372036854775807'), ('-1'), ('org/näme 1@'), ('org/näme 1@x'), ('org/näme 1@1x'), ('org/näme 1@@1'),
    ('org/näme 1@-1'), ('org/näme 1@99999999999'), ('@1'), (''), ('@'), ('org/Näme 1');
select text, coalesce(encode(substr(content, length(content) - 1), 'hex'), '') as content, outcome
from reference,
     lateral (select test.outcome(format('select test.content(%L)', text))) o (outcome),
     lateral (select case when outcome = 'ok' then test.content(text) end) c (content);
select test.outcome('select sparse_drop(null::text)'), sparse_drop(null::bigint) is null as strict;

-- ---- who writes versions ----

grant usage on schema sparse to regress_sparse_user;
grant select, insert, update, delete on sparse.version to regress_sparse_user;
set role regress_sparse_user;
select test.outcome($$insert into sparse.version (name, revision, family) values ('forged', 1, 1)$$);
select test.outcome($$update sparse.version set created_by = 'nobody'$$);
select test.outcome($$delete from sparse.version$$);
-- The functions write for those who may; the author is who called them.
select sparse_import_bytes('user/own', test.model('U8', '{2}', '\x0105')) > 0 as imported;
select name, created_by, state from sparse.version where name = 'user/own';
select test.outcome('select sparse_collect()');
-- The guard is a trigger and nothing else.
set role regress_sparse_owner;
create temp table other (id text);
create trigger guard before insert on other for each row execute function sparse_version_guard();
insert into other values ('the owner of the table');
create trigger late after insert on other for each row execute function sparse_version_guard();
insert into other values ('fired too late');

-- The same session as another role, under row-level security: plans are not shared.
alter table sparse.version enable row level security;
create policy own on sparse.version using (created_by = current_user);
set role regress_sparse_user;
select test.outcome($$select test.content('org/näme 1')$$), test.outcome($$select test.content('user/own')$$);
set role regress_sparse_owner;
select test.outcome($$select test.content('org/näme 1')$$), test.outcome($$select test.content('user/own')$$);
set role regress_sparse_user;
select test.outcome($$select test.content('org/näme 1')$$), test.outcome($$select test.content('user/own')$$);
select test.outcome($$select sparse_drop('org/näme 1')$$);
-- who sees a version but may not update it cannot drop it
set role regress_sparse_owner;
create policy seen on sparse.version for select using (true);
set role regress_sparse_user;
select test.outcome($$select sparse_drop('org/näme 1')$$);
select sparse_drop('user/own');
select sparse_drop('user/own');
select state, dropped_at is not null as dated from sparse.version where name = 'user/own';
select test.outcome($$select test.content('user/own')$$);
set role regress_sparse_owner;
alter table sparse.version disable row level security;
select count(*) > 0 as something_collected from sparse_collect() where objects > 0;

-- ---- objects: content once, chains of deltas ----

set sparse.chunk_size = '64kB';
set sparse.max_chain_depth = 3;
create temp table link (n int, name text, content bytea);
insert into link select 1, 'chain/1', test.noise(200000, 1);
insert into link select 2, 'chain/2', test.nudge(content, 1) from link where n = 1;
insert into link select 3, 'chain/3', test.nudge(content, 2) from link where n = 2;
insert into link select 4, 'chain/4', test.nudge(content, 3) from link where n = 3;
insert into link select 5, 'chain/5', test.nudge(content, 5) from link where n = 4;
insert into link select 6, 'chain/grown', content || test.noise(50000, 7) from link where n = 1;
insert into link select 7, 'chain/shrunk', substr(content, 1, 120000) from link where n = 2;
insert into link select 8, 'chain/same', content from link where n = 1;
do $$
declare l record;
begin
    for l in select * from link order by n loop
        perform public.sparse_import_bytes(l.name, test.model('BF16', array[length(l.content) / 400, 200], l.content),
            case l.n when 1 then '{}' when 6 then array['chain/1'] when 7 then array['chain/2'] when 8 then array['chain/1']
                     else array['chain/' || l.n - 1] end);
    end loop;
end$$;
select l.name, o.bytes, o.chunk_bytes, o.split_bytes, o.predictor, o.depth, o.stored_bytes < o.bytes / 10 as small,
       (select count(*) from sparse.chunk c where c.object = o.id) as chunks,
       (select count(*) from sparse.object_parent p where p.object = o.id) as parents,
       right(test.content(l.name)::text, -2) like '%' || right(l.content::text, -2) as comes_back
from link l join sparse.version v using (name) join sparse.tensor t on t.version = v.id join sparse.object o on o.id = t.object
order by n;
-- Another chunk size later: parts of chunks, with a large and with a small memory of them.
set sparse.chunk_size = '100kB';
select sparse_import_bytes('chain/other', test.model('BF16', '{500, 200}', test.nudge(content, 11)), '{chain/3}') > 0 as imported from link where n = 3;
select sparse_tensor('chain/other', 'w') = test.nudge(content, 11) as comes_back from link where n = 3;
set sparse.cache_size = 4096;
select sparse_tensor('chain/other', 'w') = test.nudge(content, 11) as comes_back from link where n = 3;
reset sparse.cache_size;
select bool_and(sparse_read('chain/other', path, r.first, r.length) = substr(test.content('chain/other'), r.first + 1, r.length)) as ranges
from sparse_files('chain/other'), (values (0, 1), (100, 50000), (65535, 2), (99999, 100000), (199999, 1), (5, 0)) r (first, length);

-- ---- corruption is found, and named ----

create function test.object_of(version text) returns bigint language sql as
$$select object from sparse.tensor join sparse.version v on v.id = version where v.name = $1$$;
-- What reading chain/3 gives once a statement has run, which is then undone.
create function test.after(statement text) returns text language plpgsql as
$$declare outcome text;
begin
    execute statement;
    outcome := test.outcome($x$select public.sparse_tensor('chain/3', 'w')$x$);
    raise exception using errcode = 'P0099', message = outcome;
exception when sqlstate 'P0099' then
    return regexp_replace(sqlerrm, 'object \d+', 'object N', 'g');
end$$;
select test.after($$delete from sparse.chunk where object = test.object_of('chain/3') and seq = 2$$);
select test.after($$delete from sparse.chunk where object = test.object_of('chain/1') and seq = 0$$);
select test.after($$update sparse.chunk c set delta = d.delta from sparse.chunk d
    where c.object = test.object_of('chain/1') and c.seq = 0 and d.object = c.object and d.seq = 1$$);
select test.after($$update sparse.chunk c set delta = replace(encode(set_byte(b, length(b) - 5, get_byte(b, length(b) - 5) # 1), 'base64'), E'\n', '')::sdelta
    from (select sdelta_send(delta) as b from sparse.chunk where object = test.object_of('chain/1') and seq = 1) x
    where object = test.object_of('chain/1') and seq = 1$$);
select test.after($$delete from sparse.object_parent where object = test.object_of('chain/3')$$);
select test.after($$update sparse.object_parent set ordinal = 3 where object = test.object_of('chain/3')$$);
select test.after($$update sparse.object_parent set parent = o.id, parent_depth = 0 from sparse.object o
    where o.id = test.object_of('org/näme 1') and object = test.object_of('chain/3')$$);
select test.after($$update sparse.object set chunk_bytes = 1000000 where id = test.object_of('chain/3')$$);
select test.after($$update sparse.object set chunk_bytes = 65534 where id = test.object_of('chain/3')$$);
select test.after($$update sparse.object set bytes = bytes + 400 where id = test.object_of('chain/3')$$);
select test.after($$update sparse.object set bytes = bytes - 400 where id = test.object_of('chain/3')$$);
select test.after($$update sparse.object set dtype = 'F17' where id = test.object_of('chain/3')$$);
select test.after($$update sparse.tensor set object = 987654 where object = test.object_of('chain/3')$$);
select test.after($$update sparse.object set depth = depth + 10 where id = test.object_of('chain/5')$$) as harmless;
-- A chunk in another's place passes its own checksum: no reader takes it all the same.
begin;
update sparse.chunk c set delta = d.delta from sparse.chunk d
where c.object = test.object_of('chain/3') and c.seq = 0 and d.object = c.object and d.seq = 1;
select count(*) > 0 as found from sparse_verify('chain/3');
select left(test.outcome($$select sparse_slice('chain/3', 'w', 0, 1)$$), 5) as slice,
       left(test.outcome($$select sparse_read('chain/3', path, 300, 10) from sparse_files('chain/3')$$), 5) as range,
       left(test.outcome($$select sparse_slice('chain/3', 'w', 400, 1)$$), 5) as elsewhere;
rollback;
-- Parents in a circle, which only one who switches the constraints off can make, are found, also where they are looked for in order to write.
begin;
set local role none;
set local session_replication_role = replica;
update sparse.object set depth = 8 where id in (test.object_of('chain/2'), test.object_of('chain/3'));
delete from sparse.object_parent where object in (test.object_of('chain/2'), test.object_of('chain/3'));
insert into sparse.object_parent
values (test.object_of('chain/2'), 8, 0, test.object_of('chain/3'), 7), (test.object_of('chain/3'), 8, 0, test.object_of('chain/2'), 7);
select left(test.outcome($$select sparse_tensor('chain/3', 'w')$$), 5) as reading;
select left(test.outcome(format($$select sparse_import_bytes('chain/circle', test.model('BF16', '{500, 200}', test.nudge(%L, 77)), '{chain/3}')$$, content)), 5) as writing
from link where n = 3;
rollback;
-- Nor does a store work whose owner is kept from its rows.
begin;
alter table sparse.version force row level security;
select test.outcome($$select sparse_version_id('chain/3')$$);
rollback;
select count(*) as problems from sparse_verify('chain/3');
-- The database itself refuses a cycle, and to lose what others need.
select left(test.outcome($$insert into sparse.object_parent select p.parent, parent_depth, 1, p.object, p.depth
    from sparse.object_parent p where object = test.object_of('chain/3')$$), 5);
select left(test.outcome($$delete from sparse.object where id = test.object_of('chain/1')$$), 5);

-- ---- removing what nothing needs ----

create function test.state() returns table (versions bigint, tensors bigint, objects bigint, chunks bigint, edges bigint) language sql as
$$select (select count(*) from sparse.version), (select count(*) from sparse.tensor), (select count(*) from sparse.object),
         (select count(*) from sparse.chunk), (select count(*) from sparse.object_parent)$$;
select versions, objects, chunks from sparse_collect();
-- A dropped parent's objects stay while its children need them
create temp table before as select * from test.state();
select sparse_drop('chain/1'), sparse_drop('chain/2'), sparse_drop('chain/same');
select versions, objects, chunks, bytes from sparse_collect();
select b.tensors - s.tensors as tensors_gone, b.objects - s.objects as objects_gone, b.versions - s.versions as versions_gone from before b, test.state() s;
select l.name, right(test.content(l.name)::text, -2) like '%' || right(l.content::text, -2) as comes_back
from link l where n in (3, 4, 5, 6, 7) order by n;
select name, state, dropped_at is not null as dropped, collected_at is not null as collected from sparse.version where name in ('chain/1', 'chain/3') order by name;
-- and go with the last of them, whole chains at once
select sparse_drop(id) from sparse.version where name like 'chain/%' and state = 'ready';
select versions, objects, chunks, bytes > 100000 as bytes from sparse_collect();
select objects, chunks, edges from test.state();
select versions, objects, chunks, bytes from sparse_collect();
-- Uploads that were given up go as a whole; younger ones stay
insert into sparse.version (name, revision, family, created_at) values ('open/old', 1, 1, now() - interval '2 days'), ('open/young', 1, 1, now());
select versions from sparse_collect();
select name from sparse.version where name like 'open/%';
select versions from sparse_collect('0');
select count(*) from sparse.version where name like 'open/%';
-- It must see what is there now, not what was there when the transaction began
begin isolation level repeatable read;
select test.outcome('select sparse_collect()');
rollback;
select sparse_collect(null) is null as strict;

-- ---- plans: by index, one partition of many ----

reset role;
create table sparse.chunk_1 partition of sparse.chunk (primary key (object, seq)) for values in (1);
prepare read (smallint, bigint, integer) as select delta from sparse.chunk where place = $1 and object = $2 and seq = $3;
set plan_cache_mode = force_generic_plan;
set enable_seqscan = off;
explain (costs off) execute read (0, 1, 0);
drop table sparse.chunk_1;

-- ---- the format of the tables ----

select sparse_store_format(), sparse_update_store(), (select format from sparse.store);
insert into sparse.store values (1, false);
update sparse.store set format = 2;
\c -
select sparse_files('base');
select sparse_update_store();
delete from sparse.store;
\c -
select sparse_update_store();

set client_min_messages = warning;
drop schema sparse cascade;
drop schema test cascade;
drop owned by regress_sparse_owner, regress_sparse_user, regress_sparse_mallory;
drop extension sparse;
do $$ begin execute format('revoke all on database %I from regress_sparse_owner, regress_sparse_mallory', current_database()); end $$;
drop role regress_sparse_owner, regress_sparse_user, regress_sparse_mallory;
