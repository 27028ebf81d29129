-- Datasets whose stored chunks were damaged on purpose, such that they pass every checksum of the store but the SHA-256 of their object: each
-- damage is an error, or is found by sparse_verify_rows(), or changes nothing. None ends the server.
\set SHOW_CONTEXT never
-- columns by themselves; maps of rows have a test of their own
set sparse.map_rows = off;
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

create type mood as enum ('sad', 'ok', 'happy');
create type point3 as (x float8, y int, label text);
create table every as
select i as words, nullif(i % 5, 0)::int2 as nulls,
       case i % 7 when 0 then null when 1 then '' when 2 then 'again' when 3 then 'again' else repeat('text ' || i, i % 4) end as texts,
       md5(i::text) as hex, lpad(to_hex(100000 + i), 8, '0') as counter, array[i, i + 1, -i]::float4[] as vec,
       array[[i, 2], [3, null]]::int[] as arr, array['a', null, '' || i] as labels, row(i, i, 'p')::point3 as comp,
       (enum_range(null::mood))[1 + i % 3] as felt, int4range(i, i + 5) as r, case i % 3 when 0 then 'empty' when 1 then '[,5]' else '(1,2.5]' end::numrange as r2,
       int8multirange(int8range(i, i + 2), int8range(i + 9, i + 10)) as mu, jsonb_build_object('k', i) as jb, (i / 7.0)::numeric as n, i % 2 = 0 as b
from generate_series(1, 40) i;
select count(sparse_commit_rows('every/' || attname, format('select %I from every order by words', attname)))
from pg_attribute where attrelid = 'every'::regclass and attnum > 0;
select sparse_commit_rows('single', 'select repeat(''long '', 60000) as t');
create table truth as select c.name, v.name as dataset, a.attnum as place, o.id as object, sdelta_apply('{}', k.delta) as content, cc.rows[1] as rows
from sparse.version v join sparse.column c on c.version = v.id join sparse.column_chunk cc using (version, split, ordinal)
join sparse.object o on o.id = cc.object[1] join sparse.chunk k on k.object = o.id
left join pg_attribute a on attrelid = 'every'::regclass and attname = c.name;
-- all chunks are single ones, which need no other
select count(*) as chunks, bool_and(rows in (40, -40) or dataset = 'single') as whole from truth;
-- how each begins
select name, case when octet_length(content) > 3 and substr(content, 1, 1) in ('T', 'S', 'H', 'D') then encode(substr(content, 1, 1), 'escape') end as kind, rows from truth order by place;
create function rows_of(dataset text) returns text language sql as $$ select md5(string_agg(r::text, '|')) from sparse_rows(dataset) r $$;
alter table truth add seen text;
update truth set seen = rows_of(dataset);

-- What comes of a content in the place of a column's chunk: an error of corrupt data, or of the type; rows that
-- sparse_verify_rows() complains about; the very rows that were stored. Anything else is returned whole.
create function outcome(t truth, damaged bytea, damaged_rows int) returns text
language plpgsql as $$
declare
    problem text;
    got text;
begin
    begin
        update sparse.object set sha256 = decode(repeat('00', 32), 'hex'), bytes = octet_length(damaged) where id = t.object;
        update sparse.chunk set delta = sdelta_encode(damaged) where object = t.object;
        update sparse.column_chunk cc set rows = array[damaged_rows] where cc.object[1] = t.object;
        begin
            problem := (select string_agg(p.column_name || ' ' || p.problem, ', ') from sparse_verify_rows(t.dataset) p
                where p.column_name = t.name and p.problem !~ 'the content''s SHA-256 is');
        exception when others then
            raise exception using errcode = 'P0099', message = 'verify fails with ' || sqlstate || ' ' || sqlerrm;
        end;
        begin
            got := rows_of(t.dataset);
        exception when others then
            got := sqlstate;
        end;
        raise exception using errcode = 'P0099', message =
            case when got ~ '^(XX001|22...|08P01)$' or got = 'XX000' and t.name = 'jb' then 'error'
                 when problem is not null and length(got) = 32 then 'found'
                 when problem is null and got = t.seen then 'harmless'
                 else got || ' ' || coalesce(problem, 'not found') end;
    exception when sqlstate 'P0099' then
        return sqlerrm;
    end;
end $$;
-- the reader takes it as it is
select outcome(t, content, rows), count(*) from truth t group by 1;

create function damages(content bytea) returns setof bytea language sql as $$
    select substr(content, 1, octet_length(content) - i) from generate_series(1, 12) i where i <= octet_length(content)
    union all select substr(content, 1, i) from generate_series(0, 9) i
    union all select content || substr(content, 1, i) from generate_series(1, 9) i
    union all select substr(content, 1 + i) from generate_series(1, 3) i
    union all select set_byte(content, at, case change when 0 then 0 when 1 then 255 else get_byte(content, at) # 1 end)
    from (select distinct least(i, octet_length(content) - 1) as at from generate_series(0, 24) i
          union select greatest(octet_length(content) - 1 - i, 0) from generate_series(0, 8) i) places, generate_series(0, 2) change
    union all select set_byte(content, 0, ascii(kind)) from unnest(array['T', 'S', 'H', 'D', 'x']) kind
    -- a number of more than 64 bits, and the largest there is, where a length is wanted
    union all select substr(content, 1, 1) || decode(repeat('ff', 9), 'hex') || last || substr(content, 2) from unnest(array['\x01', '\x02', '\x7f', '\xff01']::bytea[]) last
$$;
select outcome, count(*) > 100 as many from truth t, damages(t.content) d, outcome(t, d, t.rows) where d <> t.content and t.dataset <> 'single' group by 1 order by 1;
select outcome, count(*) > 10 as many from truth t, damages(t.content) d, outcome(t, d, t.rows) where d <> t.content and t.dataset = 'single' group by 1 order by 1;
-- the right content, as so many rows, or as elements of arrays
select t.name, n, outcome from truth t, unnest(array[39, 41, 1, 2147483647, -39, -40, -41, 40]) n, outcome(t, t.content, n)
where t.dataset <> 'single' and n <> t.rows and outcome <> 'error' order by 1, 2;

-- Tables that contradict themselves
select sparse_commit_splits('two', '{"a": "select i as id, i % 3 as v from generate_series(1, 200000) i", "b": "select 1 as id"}', key => '{id}');
select split, name, chunks from sparse_columns('two');
create function after(statement text) returns table (verified text, rows text, changes text)
language plpgsql as $$
declare
    question text;
    answer text[] := '{}';
    said text;
begin
    begin
        execute statement;
        foreach question in array array['select string_agg(problem, '', '') from sparse_verify_rows(''two'')',
                                        'select md5(string_agg(r::text, ''|'')) from sparse_rows(''two'', ''a'') r',
                                        'select count(*) from sparse_row_diff(''two@1'', ''two'', ''a'')'] loop
            begin
                execute question into said;
            exception when others then
                said := sqlstate || ' ' || sqlerrm;
            end;
            answer := answer || coalesce(said, 'nothing');
        end loop;
        raise exception using errcode = 'P0099';
    exception when sqlstate 'P0099' then
        return query select answer[1], case when answer[2] ~ '^[0-9a-f]{32}$' then 'read' else answer[2] end, answer[3];
    end;
end $$;
select sparse_commit_splits('two', '{"a": "select i as id, case i when 7 then 9 else i % 3 end as v from generate_series(1, 200000) i", "b": "select 1 as id"}', 'two', key => '{id}');
create function v_chunks(change text) returns text language sql as $$ select 'update sparse.column_chunk set ' || change || ' where version = 19 and split = 0 and ordinal = 1' $$;
\pset format unaligned
\pset tuples_only on
select * from after('select');
select * from after('delete from sparse.column_chunk where version = 19 and split = 0 and ordinal = 1');
select * from after('delete from sparse.column_chunk where version = 19 and split = 1');
select * from after(v_chunks('first_row = 1'));
select * from after(v_chunks('rows = rows[:1], object = object[:1]'));
select * from after(v_chunks('rows[1] = null'));
select * from after(v_chunks('rows[1] = 0'));
select * from after(v_chunks('rows[1] = -2147483648'));
select * from after(v_chunks('rows[1] = rows[1] + 1, rows[2] = rows[2] - 1'));
select * from after(v_chunks('object[2] = null'));
select * from after('alter table sparse.column_chunk drop constraint column_chunk_check; ' || v_chunks('object = object[:1]'));
select * from after(v_chunks('object[2] = 987654'));
select * from after(v_chunks('object[1:2] = array[object[2], object[1]]'));
select * from after(v_chunks($$rows = '{}', object = '{}'$$));
select * from after(v_chunks('rows = array_fill(1, array[129]), object = array_fill(object[1], array[129])'));
select * from after(v_chunks('rows = array_fill(1, array[128]), object = array_fill(object[1], array[128])'));
select * from after('update sparse.split set rows = rows + 1 where version = 19 and ordinal = 0');
select * from after('update sparse.split set rows = rows - 1 where version = 19 and ordinal = 0');
select * from after($$update sparse.split set key = '{2}' where version = 19 and ordinal = 0$$);
select * from after($$update sparse.split set key = '{-1}' where version = 19 and ordinal = 0$$);
select * from after($$update sparse.split set key = '{null}' where version = 19 and ordinal = 0$$);
select * from after($$update sparse.split set key = '{1}' where version = 19 and ordinal = 0$$);
select * from after($$update sparse.column set type = 'nowhere.nothing' where version = 19 and split = 0 and ordinal = 1$$);
select * from after($$update sparse.column set type = 'pg_catalog.text' where version = 19 and split = 0 and ordinal = 1$$);
select * from after($$update sparse.column set structure = 'another' where version = 19 and split = 0 and ordinal = 1$$);
select * from after($$update sparse.column set sha256 = sha256('') where version = 19 and split = 0 and ordinal = 1$$);
select * from after('delete from sparse.column_chunk where version = 19 and split = 0; delete from sparse.column where version = 19 and split = 0');
