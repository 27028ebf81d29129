-- Datasets: what is committed comes back exactly, in its order, with its types.
\set SHOW_CONTEXT never
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

-- the rows of a table beside those that were stored: no difference, and the same order
create function differs(source text, dataset text) returns text
language plpgsql as $$
declare
    wrong bigint;
begin
    execute format('drop table if exists back; select sparse_checkout(%L, ''back'')', dataset);
    execute format('select count(*) from (select source_row::text as r, row_number() over () n from (%s) source_row) s
                    full join (select back_row::text as r, row_number() over () n from back back_row) b using (n)
                    where s.r is distinct from b.r', source) into wrong;
    return case when wrong = 0 then 'the same' else wrong || ' rows differ' end;
end $$;

-- every kind of type
create type mood as enum ('sad', 'ok', 'happy');
create type point3 as (x float8, y int, label text);
create type nested as (p point3, moods mood[]);
create domain positive as int check (value > 0);
create domain tagged as point3;
create type floats as range (subtype = float8);
create type moods as range (subtype = mood);
create table every as
select i as id,
       case when i % 7 = 0 then null else i % 2 = 0 end as b,
       i::int2 as i2, (i * 1000000007::bigint) as i8,
       case i % 5 when 0 then 'NaN' when 1 then '-0' when 2 then 'Infinity' when 3 then null else i / 3.0 end::float8 as f8,
       (i / 7.0)::float4 as f4,
       (i::numeric / 100)::numeric(12, 4) as n, case when i % 3 = 0 then 'NaN'::numeric else 1.500 * i end as n2,
       case i % 4 when 0 then null when 1 then '' else repeat('äö' || i % 10, i % 20) end as t,
       ('v' || i % 3)::varchar(10) as v, ('c' || i % 9)::char(5) as c, 'x'::"char" as ch, ('n' || i)::name as nm,
       decode(md5(i::text), 'hex') as by, md5(i::text) as hex, md5(i::text)::uuid as u,
       lpad(to_hex(1000000 + i), 24, '0') as counter,
       date '2000-01-01' + i as d, time '00:00' + i * interval '1 second' as ti,
       timestamp '2000-01-01' + i * interval '1 hour' as ts, timestamptz '2000-01-01 00:00+00' + i * interval '1 hour' as tz,
       case when i % 11 = 0 then 'infinity'::timestamptz end as inf,
       i * interval '1 month 1 day 1 second' as iv, time with time zone '00:00+01' as ttz,
       jsonb_build_object('k', i, 'a', array[1.50, i]) as jb, ('{"b":  ' || i || ', "a" : 1}')::json as j,
       ('10.0.0.' || i % 256)::inet as ip, '08:00:2b:01:02:03'::macaddr as mac, i::bit(10) as bt,
       point(i, -i) as pt, box(point(0, 0), point(i, i)) as bx,
       array[i, null, i + 1] as ia, array[[i, 2], [3, 4]] as ia2, ('[5:6]={' || i || ',2}')::int[] as lower5,
       '{}'::text[] as empty, array['a', null, '', 'NULL'] as ta, array[i, i / 2.0, -i]::float4[] as vec,
       (array['sad', 'ok', 'happy']::mood[])[1 + i % 3] as m, array['happy', 'sad']::mood[] as ma,
       row(i, i, 'p' || i)::point3 as p, row(row(1, 2, null)::point3, array['ok']::mood[])::nested as ne,
       array[row(i, 1, 'a')::point3, null] as pa, (i + 1)::positive as pos, array[i + 1]::positive[] as posa,
       row(1, i, '')::tagged as tg,
       int4range(i, i + 5) as r, case when i % 2 = 0 then 'empty' else '(,5]' end::int8range as r2,
       floats(i, i + 0.5, '[]') as fr, moods('sad', 'happy') as mr,
       int4multirange(int4range(i, i + 2), int4range(i + 10, i + 12)) as mu, '{}'::datemultirange as mu0,
       to_tsvector('english', 'the quick foxes ' || i) as tv, to_tsquery('english', 'fox & ' || i) as tq,
       i::oid as o, '1 2 3'::int2vector as i2v, '1 2'::oidvector as ov, (i || '.50')::money as mo,
       '0/16B3748'::pg_lsn as lsn, xmlparse(content '<a>ä</a>') as x
from generate_series(0, 600) i;
select sparse_commit_rows('every', 'select * from every order by id');
select differs('select * from every order by id', 'every');
select bool_and(a.type::regtype = b.atttypid) as types
from sparse_columns('every') a
join pg_attribute b on b.attrelid = 'every'::regclass and b.attname = a.name;
-- as any row type: columns are found by name, and only those are read
create type few as (hex text, id int, m mood);
select * from sparse_rows_as(null::few, 'every', first => 599, rows => 5);
select sparse_rows('every', columns => array['id', 'm', 'p', 'ia2', 'f8', 't', 'j', 'tz'], first => 4, rows => 2);
select count(*) from sparse_rows_as(null::few, 'every', first => 601);
select sparse_rows_as(null::few, 'every', rows => -1);
create type wrong_type as (id bigint);
create type wrong_name as (nowhere int);
select sparse_rows_as(null::wrong_type, 'every');
select sparse_rows_as(null::wrong_name, 'every');
select sparse_rows_as(1, 'every');
select sparse_rows('every', columns => array['nowhere']);

-- the stored form depends on no setting: the same content gives the same version back
set datestyle = 'SQL, DMY'; set intervalstyle = 'iso_8601'; set extra_float_digits = -5; set client_encoding = 'latin1';
set bytea_output = 'escape'; set timezone = 'Asia/Tokyo'; set sparse.chunk_size = '64kB'; set xmloption = 'document';
select sparse_commit_rows('every', 'select * from every order by id');
select differs('select * from every order by id', 'every');
reset all;
set client_min_messages = warning;
-- another order is another version
select sparse_commit_rows('every', 'select * from every order by id desc', 'every');
select differs('select * from every order by id desc', 'every');
select differs('select * from every order by id', 'every@1');

-- what a dataset cannot hold is refused by name
select sparse_commit_rows('no', 'select 1 as a, ''pg_class''::regclass as c');
select sparse_commit_rows('no', 'select array[''pg_class''::regclass] as c');
select sparse_commit_rows('no', 'select row(1, 2) as r');
select sparse_commit_rows('no', 'select relacl as acl from pg_class limit 1');
select sparse_commit_rows('no', 'select 1 as a, 2 as a');
select sparse_commit_rows('no', 'select 1; select 2');
select sparse_commit_rows('no', 'drop table every');
select sparse_commit_rows(null, 'select 1');
select sparse_commit_rows('7', 'select 1 as a');

-- edges: no rows, no columns, nulls beside empty strings, long values, many columns
select sparse_commit_rows('edge/no-rows', 'select 1 as a, ''x''::text as b where false');
select differs('select 1 as a, ''x''::text as b where false', 'edge/no-rows');
select sparse_commit_rows('edge/no-columns', 'select from generate_series(1, 5)');
select sparse_checkout('edge/no-columns', 'no_columns');
select sparse_commit_rows('edge/long', 'select i, repeat(chr(65 + i), 300000 * i) as t from generate_series(0, 3) i');
select differs('select i, repeat(chr(65 + i), 300000 * i) as t from generate_series(0, 3) i', 'edge/long');
select sparse_commit_rows('edge/huge', 'select string_agg(md5(i::text), '''') as t from generate_series(1, 600000) i');
create type huge as (t text);
select length(t), md5(t) = (select md5(string_agg(md5(i::text), '')) from generate_series(1, 600000) i) as whole
from sparse_rows_as(null::huge, 'edge/huge');
select sparse_commit_rows('edge/wide', (select 'select ' || string_agg(i || ' as c' || i, ', ') from generate_series(1, 1600) i));
select count(*), sum(bytes) from sparse_columns('edge/wide');
select sparse_commit_rows('edge/constant', 'select 1 as a, ''same''::text as b, null::int as c from generate_series(1, 300000)');
select sum(chunks), sum(stored_bytes) < 3000 as small from sparse_columns('edge/constant');
create type constants as (a int, b text, c int);
select count(*), count(a), count(c), count(distinct b) from sparse_rows_as(null::constants, 'edge/constant');

-- keys
select sparse_commit_rows('keyed', 'select i as id, ''v'' || i as v from generate_series(1, 100) i', key => array['id']);
select sparse_row('keyed', '42');
select sparse_row('keyed', '101');
select sparse_row('keyed', '1', '2');
select sparse_row('every', '1');
select sparse_commit_rows('twice', 'select i % 7 as id, ''x''::text as lang from generate_series(1, 10) i', key => array['id', 'lang']);
select sparse_commit_rows('null', 'select nullif(i, 3) as id from generate_series(1, 5) i', key => array['id']);
select sparse_commit_rows('none', 'select 1 as id', key => array['nowhere']);
select sparse_commit_rows('none', 'select 1 as id', key => array['id', 'id']);

-- the query only reads
create sequence s;
create table written (i int);
create function writes() returns int language sql as 'insert into written values (1) returning i';
select sparse_commit_rows('no', 'select nextval(''s'') as i');
select sparse_commit_rows('no', 'with w as (insert into written values (1) returning i) select i from w');
select sparse_commit_rows('no', 'select writes() as i');
insert into written values (1);
select count(*) from written;

-- splits
select sparse_commit_splits('splits', '{"train": "select i from generate_series(1, 10) i", "test": "select i, i::text as t from generate_series(1, 3) i"}');
select split, rows, columns, bytes from sparse_splits('splits');
select sparse_rows('splits', 'test', first => 2);
select sparse_rows('splits');
select sparse_rows('splits', 'validation');

-- a model is no dataset, and a dataset no model
select sparse_import_file('model', current_setting('sparse_test.data') || '/mini-lora-adapter.safetensors', parents => array['keyed']) > 0 as imported;
select sparse_rows('model');
select sparse_reconstruct('keyed');
select sparse_reconstruct_file('keyed', 'a');
select sparse_read('keyed', 'a', 0, 1);
select sparse_export('keyed', '/nowhere/to/go');
select sparse_delta('keyed');
\echo :LAST_ERROR_SQLSTATE
select * from sparse_delta('keyed', '{model}', path => 'a', first_byte => 0, length => 1);
select sparse_compare('keyed', 'model');
\echo :LAST_ERROR_SQLSTATE
select sparse_compare('model', 'keyed');
select sparse_compare('keyed', 'keyed@1');
select kind, name, parent.role from sparse.version v join sparse.parent on child = v.id where v.name = 'model';

-- all is read and checked; what was changed behind our back is found
select * from sparse_verify_rows('every');
select sparse_verify('every');
begin;
update sparse.column_chunk set object = (select array[max(id)] from sparse.object)
where version = (select id from sparse.version where name = 'keyed') and ordinal = 1;
select split, column_name, problem ~ 'SHA-256|corrupt' as found from sparse_verify_rows('keyed');
select sparse_rows('keyed');
rollback;
begin;
update sparse.column_chunk set rows = array[99] where version = (select id from sparse.version where name = 'keyed') and ordinal = 0;
select sparse_rows('keyed');
rollback;
begin;
update sparse.column set type = 'int); drop table every; --' where name = 'id' and version = (select id from sparse.version where name = 'keyed');
select sparse_checkout('keyed', 'injected');
rollback;

-- types that change
alter type point3 add attribute z int;
select sparse_rows('every', columns => array['p']);
select sparse_rows('every', columns => array['id'], rows => 1);

-- dropped and collected; what others share stays
select sparse_drop('every@2');
select versions, objects > 0 as objects from sparse_collect();
select count(*) from sparse_rows_as(null::few, 'every@1');
select sparse_drop(id) from sparse.version where state = 'ready';
select versions > 5 as versions from sparse_collect();
select (select count(*) from sparse.object) as objects, (select count(*) from sparse.column_chunk) as chunks;
