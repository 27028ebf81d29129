-- Privileges: the row of a version, read as the caller, decides about all that belongs
-- to it; objects and chunks are read for him and by nobody else.
\set VERBOSITY terse
set client_min_messages = warning;
drop role if exists regress_sparse_owner, regress_sparse_ann, regress_sparse_bob, regress_sparse_writer;
create role regress_sparse_owner;
create role regress_sparse_ann;
create role regress_sparse_bob;
create role regress_sparse_writer;
do $$ begin execute format('grant create on database %I to regress_sparse_owner', current_database()); end $$;
create extension sparse;
create schema test;
grant usage on schema test to public;
create function test.data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
create function test.content(name text) returns bytea language plpgsql security definer as $$
begin return pg_read_binary_file(test.data_file(name)); end $$;
create function test.sha256_of(version text) returns bytea language sql as $$
    select sha256(string_agg(piece, '' order by n))
    from public.sparse_reconstruct(version) with ordinality as pieces (piece, n) $$;

-- A store belongs to who made it; he need not be a superuser
set role regress_sparse_owner;
select sparse_create_store();
grant usage on schema sparse to regress_sparse_ann, regress_sparse_bob, regress_sparse_writer;
grant select on sparse.version to regress_sparse_ann, regress_sparse_bob;
grant select, insert, update on sparse.version to regress_sparse_writer;
alter table sparse.version enable row level security;
create policy own on sparse.version for select to regress_sparse_ann, regress_sparse_bob
    using (metadata ->> 'for' = substr(current_user, 16));
create policy every on sparse.version for select to regress_sparse_writer using (true);
create policy new on sparse.version for insert to regress_sparse_writer with check (name !~ '^owner/');
create policy drop_own on sparse.version for update to regress_sparse_writer using (created_by = current_user);

-- Who may insert versions may import: a base that Ann may see, and its child for Bob, who may not
set role regress_sparse_writer;
select sparse_import_bytes('base', test.content('mini-base'), metadata => '{"for": "ann"}');
select sparse_import_bytes('child', test.content('mini-finetune'), '{base}', metadata => '{"for": "bob"}');
select name, created_by from sparse.version order by id;

-- Bob reads his child, whole and in parts, through every function, though its base is hidden from him
set role regress_sparse_bob;
select id, name from sparse.version;
select test.sha256_of('child') = sha256(test.content('mini-finetune')) as reconstructed;
select sha256(string_agg(p, '' order by n)) = f.sha256 as file from sparse_files('child') f, sparse_reconstruct_file('child', f.path) with ordinality x (p, n) group by f.sha256;
select count(*), max(depth) from sparse_tensors(2);
select bool_and(sha256(sparse_tensor(2, name)) = sha256) as tensors from sparse_tensors(2);
select sparse_slice('child', name, 5, 7) = substr(sparse_tensor('child', name), 5 * 768 + 1, 7 * 768) as slice from sparse_tensors('child') where name ~ 'embed';
select sparse_read('child', path, 100001, 54321) = substr(test.content('mini-finetune'), 100002, 54321) as range from sparse_files('child');
select count(*) as problems from sparse_verify('child');
-- The base is to him as if it did not exist, by name and by id
select sparse_reconstruct('base');
select sparse_reconstruct(1);
select sparse_reconstruct('1');
select sparse_reconstruct('base@1');
select sparse_reconstruct_file(1, 'model.safetensors');
select * from sparse_files(1);
select * from sparse_tensors(1);
select sparse_tensor(1, 'model.embed_tokens.weight');
select sparse_slice(1, 'model.embed_tokens.weight', 0, 1);
select sparse_read(1, 'model.safetensors', 0, 1);
select * from sparse_verify(1);
select sparse_version_id(1);
select sparse_drop(1);
select sparse_version_id(99);
-- Ann reads the base and not the child
set role regress_sparse_ann;
select test.sha256_of('base') = sha256(test.content('mini-base')) as reconstructed;
select test.sha256_of('child');

-- The tables below a version are open to nobody, until granted
set role regress_sparse_bob;
select from sparse.object;
select from sparse.object_parent;
select from sparse.chunk;
select from sparse.chunk_0;
select from sparse.file;
select from sparse.tensor;
select from sparse.parent;
select from sparse.family;
-- and where they are granted, show what belongs to the versions that one sees
set role regress_sparse_owner;
grant select on sparse.file, sparse.tensor, sparse.parent, sparse.savings to regress_sparse_ann, regress_sparse_bob, regress_sparse_writer;
set role regress_sparse_bob;
select distinct version from sparse.file;
select distinct version from sparse.tensor;
select count(*) as edges from sparse.parent;
select name from sparse.savings;
select count(*) as ancestors from sparse_lineage('child');
set role regress_sparse_ann;
select name from sparse.savings;
select count(*) as descendants from sparse_descendants('base');
set role regress_sparse_writer;
select name, role from sparse_lineage('child');

-- A policy may write, so no reader takes part in a parallel query
set role regress_sparse_owner;
create table sparse.seen (version bigint, at timestamptz default now());
grant insert on sparse.seen to regress_sparse_ann;
create function sparse.note(version bigint) returns boolean language plpgsql volatile as $$
begin insert into sparse.seen values (version); return true; end $$;
create policy noted on sparse.version as restrictive for select to regress_sparse_ann using (sparse.note(id));
set role regress_sparse_ann;
select count(set_config(name, 'on', false)) as forced from pg_settings where name in ('force_parallel_mode', 'debug_parallel_query');
select sparse_version_id('base');
select count(*) from sparse_reconstruct('base');
select count(*) from sparse_reconstruct_file('base', 'model.safetensors');
select count(*) from sparse_files('base');
select count(*) from sparse_tensors('base');
select octet_length(sparse_tensor('base', 'model.norm.weight'));
select octet_length(sparse_slice('base', 'model.norm.weight', 0, 1));
select octet_length(sparse_read('base', 'model.safetensors', 0, 8));
select count(*) from sparse_verify('base');
select count(*) from sparse_lineage('base');
select count(*) from sparse_descendants('base');
select count(set_config(name, 'off', false)) as no_more from pg_settings where name in ('force_parallel_mode', 'debug_parallel_query');
set role regress_sparse_owner;
select count(*) > 10 as noted from sparse.seen;
drop policy noted on sparse.version;

-- Importing needs insert on sparse.version, and what its policies allow
set role regress_sparse_bob;
select sparse_import_bytes('bob/own', test.content('mini-base'));
-- also where nothing would be written
select sparse_import_bytes('child', test.content('mini-finetune'));
set role regress_sparse_writer;
select sparse_import_bytes('owner/x', test.content('mini-base'));
-- a parent must be one that the importer sees
set role regress_sparse_owner;
grant insert on sparse.version to regress_sparse_bob;
create policy new_bob on sparse.version for insert to regress_sparse_bob with check (name like 'bob/%' or name = 'base');
set role regress_sparse_bob;
select sparse_import_bytes('bob/own', test.content('mini-finetune'), '{base}');
-- A hidden version of the same name and content is not given away, nor in the way
select sparse_import_bytes('base', test.content('mini-base'), metadata => '{"for": "bob"}') as another;
select name, revision from sparse.version order by id;
-- nor can a version of others be dropped, or one's own without update
select sparse_drop('base');
select sparse_drop('base@1');
-- Nothing is left of what was refused
set role regress_sparse_owner;
select count(*) from sparse.version where state <> 'ready';

-- Rows of versions are written by the functions alone
set role regress_sparse_writer;
insert into sparse.version (id, name, revision, family) values (77, 'forged', 1, 1);
update sparse.version set created_by = 'forged' where name = 'base';
update sparse.version set state = 'open';
delete from sparse.version;
select sparse_drop('base@1');
select state, dropped_at is not null as dated from sparse.version where name = 'base' and revision = 1;
select test.sha256_of('child') = sha256(test.content('mini-finetune')) as still_whole;

-- Files of the server need the server's roles
select sparse_import_file('x', '/etc/passwd.safetensors');
select sparse_export('child', '/tmp/regress_sparse_not_written');
select sparse_collect();

-- No function runs with other rights than its caller's
reset role;
select count(*) as security_definers from pg_proc p
join pg_depend d on d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
join pg_extension e on e.oid = d.refobjid and e.extname = 'sparse' where p.prosecdef;

-- Operators, functions and types that stand before the server's own on the path are not called
create schema evil;
grant usage on schema evil to public;
create function evil.trap(anyelement, anyelement) returns boolean language plpgsql as $$ begin raise exception 'the trap was sprung'; end $$;
do $$
declare kind text; name text;
begin
    foreach kind in array array['bigint', 'integer', 'smallint', 'text', 'bytea', 'boolean', 'bigint[]', 'pg_catalog."char"'] loop
        execute format('create function evil.trap(%1$s, %1$s) returns boolean language plpgsql as ''begin raise exception $x$the trap was sprung$x$; end''', kind);
        foreach name in array array['=', '<>', '<', '>', '<=', '>=', '~', '-', '+'] loop
            execute format('create operator evil.%1$s (function = evil.trap, leftarg = %2$s, rightarg = %2$s)', name, kind);
        end loop;
    end loop;
    foreach name in array array['count', 'max', 'min', 'sum', 'coalesce_', 'unnest', 'cardinality', 'nextval', 'now', 'pg_get_serial_sequence', 'array_agg', 'jsonb_each_text', 'current_user_', 'sha256'] loop
        execute format('create function evil.%I(anyelement) returns anyelement language plpgsql as ''begin raise exception $x$the trap was sprung$x$; end''', name);
    end loop;
end $$;
create domain evil.sdelta as bytea;
set role regress_sparse_writer;
set search_path = evil, pg_catalog, public;
select 1 = 1;
select sparse_import_bytes('evil/base', test.content('mini-base'), metadata => '{"for": "ann"}') is not null;
select sparse_import_bytes('evil/child', test.content('mini-chain-1'), '{evil/base,child}') is not null;
select octet_length(sparse_tensor('evil/child', 'model.embed_tokens.weight'));
select octet_length(sparse_slice('evil/child', 'model.embed_tokens.weight', 0, 1));
select octet_length(sparse_read('evil/child', 'model.safetensors', 0, 100000));
create temporary table counted as select sparse_reconstruct('evil/child') as piece;
create temporary table listed as select * from sparse_tensors('evil/child');
create temporary table verified as select * from sparse_verify('evil/child');
create temporary table followed as select * from sparse_lineage('evil/child');
create temporary table went_down as select * from sparse_descendants('evil/base');
create temporary table filed as select * from sparse_files('evil/child');
select sparse_drop('evil/child');
reset role;
reset search_path;
select (select sum(octet_length(piece)) from counted) as bytes, (select count(*) from listed) as tensors, (select count(*) from verified) as problems,
       (select count(*) from followed) as ancestors, (select count(*) from went_down) as descendants, (select count(*) from filed) as files;

-- A role that owns a schema named sparse cannot make others run its code
set role regress_sparse_owner;
alter table sparse.file rename to file_table;
create view sparse.file as select * from sparse.file_table;
reset role;
select count(*) from sparse_files('child');
set role regress_sparse_owner;
drop view sparse.file;
alter table sparse.file_table rename to file;
reset role;
select count(*) from sparse_files('child');

-- nor does what the planner computes of its owner's indexes run with the rights of a superuser who asks a function
set role regress_sparse_owner;
create schema regress_sparse_trap;
create function regress_sparse_trap.evil(bigint) returns bigint language plpgsql immutable as $$
begin
    if (select rolsuper from pg_roles where rolname = current_user) then raise exception 'the trap was sprung'; end if;
    return $1;
end $$;
create index on sparse.parent ((regress_sparse_trap.evil(1)));
create index on sparse.version ((regress_sparse_trap.evil(2)));
create index on sparse.file ((regress_sparse_trap.evil(3)));
create index on sparse.tensor ((regress_sparse_trap.evil(4)));
\c -
set client_min_messages = warning;
select count(*) as ancestors from sparse_lineage('child');
select count(*) as descendants from sparse_descendants('base@1');
select sparse_version_id('child'), (select count(*) from sparse_files('child')) as files, (select count(*) from sparse_tensors('child')) as tensors;
select count(*) as problems from sparse_verify('child');
select sparse_import_bytes('child', test.content('mini-finetune')) as existing;
select sparse_import_bytes('child', test.content('mini-chain-1'), '{child}') as another;

drop schema regress_sparse_trap cascade;
drop schema sparse cascade;
drop extension sparse;
drop owned by regress_sparse_owner, regress_sparse_ann, regress_sparse_bob, regress_sparse_writer;
drop role regress_sparse_owner, regress_sparse_ann, regress_sparse_bob, regress_sparse_writer;
