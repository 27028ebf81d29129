-- A repack never makes a family larger, gets somewhere within any time, and finds nothing to do a second time
\set VERBOSITY terse
set client_min_messages = error;
create extension sparse;
select sparse_create_store();

create function stored() returns bigint language sql as $$
    select sum(stored_bytes)::bigint from sparse.object $$;
create function contents() returns table (version bigint, sum bytea) language sql as $$
    select v.id, sha256(string_agg(p, '')) from sparse.version v, sparse_reconstruct(v.id) p where v.state = 'ready' group by v.id $$;

-- What is computed from several tensors hides what its neighbours would save: plans for these models were wrong
create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
select count(sparse_import_file('acme/' || m, data_file(m), find_parents => true))
from unnest('{mini-base, mini-finetune, mini-finetune-light, mini-lora-merged, mini-finetune-pruned}'::text[]) m;
create table before as select * from contents();
select stored() as bytes \gset before_
call sparse_repack('acme/mini-base') \gset was_
select stored() <= :before_bytes as no_larger, :was_bytes_after <= :was_bytes_before as so_it_says from sparse.version limit 1;
select stored() as bytes \gset before_
call sparse_repack('acme/mini-base') \gset was_
select stored() = :before_bytes as same, :was_objects as objects;
call sparse_nightly(budget => '1 hour') \gset night_
select stored() = :before_bytes as same, :night_repacked as objects;
select method, estimated_bytes > 0 as sane from sparse_repack_preview('acme/mini-base');
select count(*) as differ from (table before except select * from contents()) d;

-- Families drawn at random: of runs, stars and copies, imported with any parent or none, with bytes that change much or little
create function framed(header text, data bytea) returns bytea language sql as $$
    select substr(int8send(octet_length(header)), 8, 1) || '\x00000000000000'::bytea || convert_to(header, 'UTF8') || data $$;
create function drawn(what text, below integer) returns integer language sql as $$
    select ('x' || substr(md5(what), 1, 6))::bit(24)::integer % below $$;
create procedure draw_family(f text, versions integer) language plpgsql as $$
declare
    content bytea[];
    c bytea;
    parents text[];
begin
    for k in 1..versions loop
        c := decode(repeat(md5('first ' || f), 256), 'hex');
        if k > 1 then
            c := content[case drawn(f || ' kind ' || k, 3) when 0 then k - 1 when 1 then 1 else 1 + drawn(f || ' of ' || k, k - 1) end];
        end if;
        -- half of what was, in some: like a pruned model, which says little of the one that it was made from
        if drawn(f || ' pruned ' || k, 7) = 0 then
            c := overlay(c placing decode(repeat('00', 1024), 'hex') from 1 + 2 * drawn(f || ' from ' || k, 1024));
        end if;
        for j in 1..drawn(f || ' many ' || k, 60) loop
            c := set_byte(c, drawn(format('%s place %s %s', f, k, j), 4096), drawn(format('%s byte %s %s', f, k, j), 256));
        end loop;
        content[k] := c;
        parents := case when k = 1 or drawn(f || ' alone ' || k, 4) = 0 then '{}' else array[f || '-' || (1 + drawn(f || ' parent ' || k, k - 1))] end;
        perform sparse_import_bytes(f || '-' || k, framed(rpad(format('{"t": {"dtype": "%s", "shape": [%s], "data_offsets": [0, 4096]}}',
            (array['U8', 'BF16', 'F32'])[1 + drawn(f, 3)], (array[4096, 2048, 1024])[1 + drawn(f, 3)]), 128), c), parents);
    end loop;
    -- one family: versions without a parent are one by themselves
    update sparse.version set family = (select min(family) from sparse.version where name like f || '-%') where name like f || '-%';
end $$;
create table seen (f text, depth int, turn int, before bigint, after bigint, stored bigint, objects bigint, deepest int, finished boolean);
create procedure repack(f text, depth integer, number integer, budget interval) language plpgsql as $$
declare
    s seen;
begin
    s.f := f;
    s.depth := depth;
    s.turn := number;
    call sparse_repack(f || '-1', depth, budget, s.objects, s.before, s.after, s.deepest, s.deepest, s.finished);
    s.stored := stored();
    insert into seen select s.*;
end $$;
set session_replication_role = replica;  -- the guard of versions lets no family be written
do $$
begin
    for i in 1..6 loop
        call draw_family('family ' || i, 20 + 15 * i);
    end loop;
end $$;
reset session_replication_role;
truncate before;
insert into before select * from contents();
do $$
begin
    for i in 1..6 loop
        for turn in 1..2 loop
            call repack('family ' || i, 8, turn, null);
        end loop;
    end loop;
end $$;
select f, after <= before as no_larger, after < before as smaller, objects > 0 as moved from seen where turn = 1 order by f;
select f, after = before as same, objects from seen where turn = 2 order by f;
select max(deepest) <= 8 as bounded, bool_and(finished) as finished from seen;
select count(*) as differ from (table before except select * from contents()) d;

-- New versions are considered, and only the store as it grew by them
do $$
declare
    c bytea := decode(repeat(md5('first family 2'), 256), 'hex');
begin
    perform sparse_import_bytes('new', framed(rpad(format('{"t": {"dtype": "%s", "shape": [%s], "data_offsets": [0, 4096]}}',
        (array['U8', 'BF16', 'F32'])[1 + drawn('family 2', 3)], (array[4096, 2048, 1024])[1 + drawn('family 2', 3)]), 128), set_byte(c, 7, 7)),
        '{family 2-30}');
end $$;
call sparse_repack('new') \gset was_
select :was_bytes_after <= :was_bytes_before as no_larger;
call sparse_repack('new') \gset was_
select :was_objects as objects;

-- Within too short a time each call gets somewhere, until one says that it has come to the end
set session_replication_role = replica;
call draw_family('slow', 60);
reset session_replication_role;
create function stored_of(which text) returns bigint language sql as $$
    select coalesce(sum(stored_bytes), 0)::bigint from sparse.object where id in (select object from sparse.tensor t join sparse.version v on v.id = t.version where v.name like which || '-%') $$;
create table calls (finished boolean, objects bigint, stored bigint);
create procedure in_short_calls(which text) language plpgsql as $$
declare
    o bigint; b bigint; a bigint; d int; e int; f boolean := false;
begin
    for i in 1..500 loop
        call sparse_repack(which, null, '1 microsecond', o, b, a, d, e, f);
        insert into calls values (f, o, a);
        exit when f;
    end loop;
end $$;
call in_short_calls('slow-1');
select bool_or(finished) as came_to_the_end, count(*) between 2 and 499 as by_steps, sum(objects) > 10 as moved,
       count(*) filter (where not finished and objects = 0) < 10 as hardly_in_vain from calls;
select bool_and(stored <= before) as never_larger from (select stored, lag(stored, 1, stored) over (order by ctid) as before from calls) c;
select count(*) as problems from sparse.version v, sparse_verify(v.id) where v.state = 'ready';
