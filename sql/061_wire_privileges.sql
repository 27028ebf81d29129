-- Who may upload, and what an upload tells: an open version is its own user's and the
-- owner's; what only others can read is neither shown nor left out of an upload.
\set VERBOSITY terse
set client_min_messages = warning;
drop role if exists regress_wire_owner, regress_wire_ann, regress_wire_bob, regress_wire_reader;
create role regress_wire_owner;
create role regress_wire_ann;
create role regress_wire_bob;
create role regress_wire_reader;
do $$ begin execute format('grant create on database %I to regress_wire_owner', current_database()); end $$;
create extension sparse;
create schema test;
grant usage on schema test to public;
set search_path = test, public;
create function test.refusal(statement text) returns text language plpgsql as $$
declare state text; message text;
begin
    execute statement;
    return 'it was taken';
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text;
    return state || ' ' || message;
end $$;
-- files of plain bytes are enough here: each a path and its content
create function test.files(variadic pairs text[]) returns jsonb language sql set search_path = pg_catalog as $$
    select jsonb_agg(jsonb_build_object('path', pairs[i], 'size', octet_length(pairs[i + 1]), 'sha256', encode(sha256(pairs[i + 1]::bytea), 'hex')))
    from generate_series(1, cardinality(pairs), 2) i $$;
create function test.push(name text, path text, content text, parents text[] default '{}', metadata jsonb default '{}') returns bigint language plpgsql as $$
declare id bigint := public.sparse_begin(name, test.files(path, content), parents, metadata => metadata);
begin
    perform public.sparse_write(id, null, l.seq, substr(content, l.file_offset::int + 1, l.bytes::int)::bytea) from public.sparse_layout(id) l where l.wanted;
    return public.sparse_commit(id);
end $$;

set role regress_wire_owner;
select sparse_create_store();
grant usage on schema sparse to regress_wire_ann, regress_wire_bob, regress_wire_reader;
grant select on sparse.version, sparse.file, sparse.tensor to regress_wire_ann, regress_wire_bob, regress_wire_reader;
grant insert on sparse.version to regress_wire_ann, regress_wire_bob;
alter table sparse.version enable row level security;
create policy own on sparse.version for select using (metadata ->> 'for' = substr(current_user, 14) or metadata ->> 'for' = 'all');
create policy new on sparse.version for insert with check (name like substr(current_user, 14) || '/%');

-- Who may insert versions may begin one, under the names that he may insert
set role regress_wire_reader;
select test.refusal($$select sparse_begin('reader/x', test.files('a', 'x'))$$);
set role regress_wire_bob;
select test.refusal($$select sparse_begin('ann/x', test.files('a', 'x'), metadata => '{"for": "bob"}')$$);
set role regress_wire_ann;
select test.push('ann/base', 'weights', repeat('all of it is secret. ', 9000), metadata => '{"for": "ann"}') as base \gset
select test.push('ann/public', 'weights', repeat('anybody may read it. ', 9000), metadata => '{"for": "all"}') as public \gset

-- What Bob cannot read he must send, as if it were not there; what he can read, not
set role regress_wire_bob;
select sparse_begin('bob/copy', test.files('secret', repeat('all of it is secret. ', 9000), 'public', repeat('anybody may read it. ', 9000)), metadata => '{"for": "bob"}') as copy \gset
select file, wanted from sparse_layout(:copy);
select test.refusal(format('select sparse_commit(%s)', :copy));
-- a claim is no proof
select sparse_write(:copy, null, 0, convert_to(repeat('x', 189000), 'UTF8'), 'secret');
select test.refusal(format('select sparse_commit(%s)', :copy));
-- and it is stored once
select sparse_write(:copy, null, 0, convert_to(repeat('all of it is secret. ', 9000), 'UTF8'), 'secret');
select sparse_commit(:copy) = :copy as committed;
reset role;
select count(distinct object) as objects, count(*) as files from sparse.file where sha256 = sha256(convert_to(repeat('all of it is secret. ', 9000), 'UTF8'));
select count(*) as objects, count(sha256) as named, (select count(*) from sparse.chunk) as chunks from sparse.object;
-- Now that it is his as well, it need not be sent again
set role regress_wire_bob;
select sparse_begin('bob/again', test.files('x', repeat('all of it is secret. ', 9000)), metadata => '{"for": "bob"}') as again \gset
select wanted from sparse_layout(:again);

-- Parents, and what one says that one has, are read as the caller
select test.refusal($$select sparse_begin('bob/x', test.files('a', 'x'), '{ann/base}')$$);
select test.refusal($$select sparse_begin('bob/x', test.files('a', 'x'), have => '{ann/base}')$$);
select test.refusal(format($$select sparse_layout(%s, '{ann/base}')$$, :copy));
select test.refusal($$select sparse_delta('ann/base')$$), test.refusal(format('select sparse_delta(%s)', :base)), test.refusal($$select sparse_delta('bob/copy', '{ann/base}')$$);
-- Files of versions that one cannot read are not found
select v.name, f.path from sparse_find_file(sha256(convert_to(repeat('all of it is secret. ', 9000), 'UTF8'))) f join sparse.version v on v.id = f.version;
set role regress_wire_ann;
select v.name, f.path from sparse_find_file(sha256(convert_to(repeat('all of it is secret. ', 9000), 'UTF8'))) f join sparse.version v on v.id = f.version;
set role regress_wire_reader;
select count(*) from sparse_find_file(sha256(convert_to(repeat('all of it is secret. ', 9000), 'UTF8')));

-- A child that Bob can read, of a base that he cannot: it comes whole, and does not need the base
set role regress_wire_ann;
select test.push('ann/child', 'weights', repeat('all of it is secret. ', 8999) || 'almost all of it.', array['ann/base'], '{"for": "all"}') as child \gset
set role regress_wire_bob;
select encoding, refs is null as alone, convert_from(sdelta_apply('{}', delta), 'UTF8') = repeat('all of it is secret. ', 8999) || 'almost all of it.' as equal from sparse_delta('ann/child');
-- content that he names by its SHA-256 is recognised where he can read it, elsewhere ignored
select refs from sparse_delta('ann/child', array['sha256:' || encode(sha256(convert_to(repeat('all of it is secret. ', 9000), 'UTF8')), 'hex')]);
set role regress_wire_reader;
select refs from sparse_delta('ann/child', array['sha256:' || encode(sha256(convert_to(repeat('all of it is secret. ', 9000), 'UTF8')), 'hex')]);

-- An open version is nobody else's, whether one sees its row or not
set role regress_wire_ann;
select sparse_begin('ann/open', test.files('seen', 'seen by Bob'), metadata => '{"for": "all"}') as seen \gset
select sparse_begin('ann/hidden', test.files('hidden', 'hidden from Bob'), metadata => '{"for": "ann"}') as hidden \gset
select sparse_write(:seen, null, 0, 'seen by Bob');
set role regress_wire_bob;
select name, state from sparse.version where name = 'ann/open';
create temporary table call as select * from (values ('select sparse_layout(%s)'), ('select sparse_write(%s, null, 0, ''x'')'), ('select sparse_write_delta(%s, null, 0, sdelta_encode(''x''))'),
    ('select sparse_commit(%s)'), ('select sparse_abort(%s)'), ('select sparse_delta(%s)'), ('select sparse_read(%s, ''seen'', 0, 100)'), ('select sparse_files(%s)'), ('select sparse_verify(%s)'), ('select sparse_export(%s, ''/tmp/x'')')) x (call);
grant select on call to public;
select test.refusal(format(call, :seen)) from call;
select test.refusal(format(call, :hidden)) from call;
-- nor do the tables show what it consists of
select count(*) from sparse.file where version = :seen;
select count(*) from sparse.tensor where version = :seen;
select test.refusal('select from sparse.' || name) from unnest(array['upload', 'staged', 'object', 'chunk']) name;
-- Bob may not go on with it by beginning the same; his is another one
select test.refusal($$select sparse_begin('ann/open', test.files('seen', 'seen by Bob'), metadata => '{"for": "all"}')$$);
-- The owner of the store may
set role regress_wire_owner;
select wanted from sparse_layout(:seen);
select sparse_abort(:hidden);
set role regress_wire_ann;
select test.refusal(format('select sparse_write(%s, null, 0, %L)', :hidden, 'x'));

-- Who cannot see his own open version goes on with it by its id
set role regress_wire_owner;
create policy ready on sparse.version as restrictive for select using (state = 'ready');
set role regress_wire_ann;
select count(*) from sparse.version where id = :seen;
select wanted from sparse_layout(:seen);
select sparse_write(:'seen', null, 0, 'seen by Bob');
select sparse_commit(:seen) = :seen as committed;
select sparse_read('ann/open', 'seen', 0, 100);
set role regress_wire_owner;
drop policy ready on sparse.version;

-- Who lost the right to read a parent in mid-upload finishes all the same: what he sent is checked, not trusted
set role regress_wire_ann;
select sparse_begin('ann/late', test.files('weights', repeat('anybody may read it. ', 8999) || 'almost.'), '{ann/public}', metadata => '{"for": "ann"}', have => '{ann/public}') as late \gset
select refs from sparse_layout(:late, '{ann/public}');
set role regress_wire_owner;
update sparse.version set metadata = '{"for": "nobody"}' where id = :public;
set role regress_wire_ann;
select test.refusal(format($$select sparse_layout(%s, '{ann/public}')$$, :late));
select refs, wanted from sparse_layout(:late);
select sparse_write(:late, null, 0, convert_to(repeat('anybody may read it. ', 8999) || 'almost.', 'UTF8')), sparse_commit(:late) = :late as committed;

-- Operators, functions and types that stand before the server's own on the path are not called
reset role;
create schema evil;
grant usage on schema evil to public;
do $$
declare kind text; name text;
begin
    foreach kind in array array['bigint', 'integer', 'smallint', 'text', 'bytea', 'boolean', 'bigint[]'] loop
        execute format('create function evil.trap(%1$s, %1$s) returns boolean language plpgsql as ''begin raise exception $x$the trap was sprung$x$; end''', kind);
        foreach name in array array['=', '<>', '<', '>', '<=', '>='] loop
            execute format('create operator evil.%1$s (function = evil.trap, leftarg = %2$s, rightarg = %2$s)', name, kind);
        end loop;
    end loop;
    create function evil.trap(anyelement) returns anyelement language plpgsql as 'begin raise exception $x$the trap was sprung$x$; end';
    foreach name in array array['count', 'max', 'min', 'cardinality', 'nextval', 'unnest', 'now'] loop
        execute format('create function evil.%I(anyelement) returns anyelement language plpgsql as ''begin raise exception $x$the trap was sprung$x$; end''', name);
    end loop;
end $$;
\c -
set client_min_messages = warning;
set role regress_wire_ann;
set search_path = evil, pg_catalog, public, test;
select sparse_begin('ann/evil', test.files('a', 'some bytes', 'weights', repeat('all of it is secret. ', 8998)), '{ann/base}', metadata => '{"for": "ann"}', have => array['ann/base', 'sha256:' || encode(sha256('x'), 'hex')]) as evil \gset
create temporary table laid as select * from sparse_layout(:evil, '{ann/base}');
select sparse_write(:evil, null, 0, 'some bytes', 'a');
select sparse_write(:evil, null, 0, convert_to(repeat('all of it is secret. ', 8998), 'UTF8'), 'weights');
create temporary table committed as select sparse_commit(:evil) as id;
create temporary table pulled as select (d).* from (select sparse_delta(:evil, '{ann/base}') as d offset 0) x;
create temporary table found as select * from sparse_find_file(sha256('some bytes'));
select sparse_begin('ann/evil', test.files('a', 'other bytes'), metadata => '{"for": "ann"}') as evil \gset
select sparse_abort(:evil);
reset search_path;
set search_path = public, test;
select (select count(*) from laid) as chunks, (select count(*) from committed) as committed, (select count(*) from pulled) as pulled, (select count(*) from found) as found;

-- What the owner of a store hangs on its tables does not run as somebody stronger
set role regress_wire_owner;
create table sparse.sprung (relation text, who text);
create function sparse.trap() returns trigger language plpgsql as $$
begin
    insert into sparse.sprung values (tg_table_name, current_user);
    return coalesce(new, old);
end $$;
do $$
declare name text;
begin
    foreach name in array array['version', 'file', 'object', 'chunk', 'upload', 'staged'] loop
        execute format('create trigger trap before insert or update or delete on sparse.%I for each row execute function sparse.trap()', name);
    end loop;
end $$;
\c -
set client_min_messages = warning;
set search_path = public, test;
select current_user = session_user and usesuper as superuser from pg_user where usename = current_user;
select test.push('super/x', 'a', 'a superuser wrote it', metadata => '{"for": "all"}') > 0 as pushed;
select sparse_abort(sparse_begin('super/y', test.files('a', 'nobody wrote it')));
select distinct relation, who from sparse.sprung order by 1;
-- and a view in place of a table makes it no store
set role regress_wire_owner;
alter table sparse.upload rename to upload_table;
create view sparse.upload as select * from sparse.upload_table;
reset role;
select test.refusal($$select sparse_begin('super/z', test.files('a', 'x'))$$);

drop schema sparse cascade;
drop extension sparse;
drop owned by regress_wire_owner, regress_wire_ann, regress_wire_bob, regress_wire_reader;
drop role regress_wire_owner, regress_wire_ann, regress_wire_bob, regress_wire_reader;
