-- Whatever is damaged in the tables of a dataset or of a model is reported by its verification, as rows, and never ends it.
\set SHOW_CONTEXT never
set client_min_messages = error;
create extension sparse;
select sparse_create_store();
create type mood as enum ('sad', 'ok', 'happy');
create type pair as (x int, y text);
create table data as
select i as id, 'text ' || i as t, 'other ' || i / 2 as u, (enum_range(null::mood))[1 + i % 3] as m, row(i, 'y')::pair as p, i / 3.0::numeric as n
from generate_series(1, 3000) i;
select sparse_commit_splits('d', '{"test": "select * from data where id > 2500", "train": "select * from data where id <= 2500"}', key => array['id']);
select sparse_commit_rows('single', $$select repeat('long ', 500000) as t$$);
select sparse_import_file('base', current_setting('sparse_test.data') || '/mini-base.safetensors');
select sparse_import_file('child', current_setting('sparse_test.data') || '/mini-finetune.safetensors', '{base}');

-- objects: of column t of split test; of a tensor of child; of one of base that child is predicted from
create table known as
select (select id from sparse.version where name = 'd') as d,
       (select id from sparse.version where name = 'single') as single,
       (select id from sparse.version where name = 'child') as child,
       (select object[1] from sparse.column_chunk c join sparse.version v on v.id = c.version where v.name = 'd' and split = 0 and ordinal = 1) as text_object,
       (select object[1] from sparse.column_chunk c join sparse.version v on v.id = c.version where v.name = 'single') as long_object,
       (select object from sparse.tensor t join sparse.version v on v.id = t.version where v.name = 'child' order by t.bytes desc, t.ordinal limit 1) as tensor_object;
alter table known add parent_object bigint;
update known set parent_object = (select parent from sparse.object_parent where object = tensor_object);
select parent_object is not null as predicted from known;

-- What verification says after a damage, which is taken back: how many problems; an error would be a failure.
create function verified(name text) returns text language plpgsql as $$
declare
    kind text := (select v.kind from sparse.version v where v.name = verified.name);
    problems bigint;
begin
    if kind = 'dataset' then
        problems := (select count(*) from sparse_verify_rows(name) where problem <> '');
    else
        problems := (select count(*) from sparse_verify(name) where problem <> '');
    end if;
    return case when problems > 0 then 'reported' else 'nothing found' end;
exception when others then
    return 'FAILED ' || sqlstate || ' ' || sqlerrm;
end $$;
create function after(damage text) returns text language plpgsql as $$
declare
    name text := case when damage like '%child%' or damage like '%tensor_object%' or damage like '%parent_object%' then 'child'
                      when damage ~ 'long_object' and damage !~ 'column_chunk' then 'single' else 'd' end;
    done bigint;
begin
    set local session_replication_role = replica;
    execute 'with known as (select * from known) ' || damage;
    get diagnostics done = row_count;
    set local session_replication_role = origin;
    if done = 0 then
        raise exception using errcode = 'P0099', message = 'nothing damaged';
    end if;
    raise exception using errcode = 'P0099', message = verified(name);
exception when sqlstate 'P0099' then
    return sqlerrm;
end $$;
select v.name, v.kind, verified(v.name) as undamaged from sparse.version v where name in ('d', 'single', 'child') order by 1;

-- bytes of chunks, whatever they are

create table damage (id int generated always as identity, statement text);
-- versions, splits, columns
insert into damage (statement) values
    ('update sparse.version set content_sha256 = sha256(''x'') from known where id = d'),
    ('update sparse.version set raw_bytes = raw_bytes + 1 from known where id = d'),
    ('delete from sparse.split using known where version = d'),
    ('delete from sparse.split using known where version = d and ordinal = 0'),
    ('delete from sparse.split using known where version = d and ordinal = 1'),
    ('delete from sparse.column using known where version = d'),
    ('delete from sparse.column using known where version = d and ordinal = 1'),
    ('delete from sparse.column using known where version = d and split = 1 and ordinal = 5'),
    ('update sparse.split set name = ''other'' from known where version = d and ordinal = 0'),
    ('update sparse.split set name = case name when ''test'' then ''train'' else ''test'' end || '' '' from known where version = d'),
    ('update sparse.split set rows = rows + 1 from known where version = d and ordinal = 0'),
    ('update sparse.split set rows = rows - 1 from known where version = d and ordinal = 0'),
    ('update sparse.split set rows = 0 from known where version = d and ordinal = 0'),
    ('update sparse.split set rows = 9223372036854775807 from known where version = d and ordinal = 0'),
    ('update sparse.split set key = ''{1}'' from known where version = d and ordinal = 0'),
    ('update sparse.split set key = ''{}'' from known where version = d and ordinal = 0'),
    ('update sparse.split set key = ''{0,1}'' from known where version = d and ordinal = 0'),
    ('update sparse.split set key = ''{99}'' from known where version = d and ordinal = 0'),
    ('update sparse.split set key = ''{-1}'' from known where version = d and ordinal = 0'),
    ('update sparse.split set key = ''{null}'' from known where version = d and ordinal = 0'),
    ('update sparse.split set key = ''{{0,1},{0,1}}'' from known where version = d and ordinal = 0'),
    ('update sparse.split set ordinal = 7 from known where version = d and ordinal = 1'),
    ('update sparse.column set name = ''renamed'' from known where version = d and ordinal = 1 and split = 0'),
    ('update sparse.column set name = case name when ''t'' then ''u'' else ''t'' end from known where version = d and split = 0 and name in (''t'', ''u'')'),
    ('update sparse.column set ordinal = 100 - ordinal from known where version = d and split = 0 and ordinal in (1, 2)'),
    ('update sparse.column set ordinal = 9 from known where version = d and split = 0 and ordinal = 5'),
    ('update sparse.column set type = ''pg_catalog.bytea'' from known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column set type = ''bigint'' from known where version = d and split = 0 and ordinal = 0'),
    ('update sparse.column set type = ''no such ( type'' from known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column set type = '''' from known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column set structure = ''(x integer'' from known where version = d and split = 0 and name = ''p'''),
    ('update sparse.column set structure = ''as no.such (x integer) of'' from known where version = d and split = 0 and name = ''m'''),
    ('update sparse.column set sha256 = sha256(''x'') from known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column set bytes = bytes + 1 from known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column set bytes = bytes + case ordinal when 1 then 1 else -1 end from known where version = d and split = 0 and ordinal in (1, 2)');
-- chunks of columns
insert into damage (statement) values
    ('delete from sparse.column_chunk using known where version = d'),
    ('delete from sparse.column_chunk using known where version = d and split = 1 and ordinal = 5'),
    ('update sparse.column_chunk set first_row = 1 from known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column_chunk set rows = ''{}'', object = ''{}'' from known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column_chunk set rows[1] = 0 from known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column_chunk set rows[1] = null from known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column_chunk set rows[1] = -rows[1] from known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column_chunk set rows[1] = rows[1] - 1 from known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column_chunk set rows[1] = rows[1] + 1 from known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column_chunk set object[1] = 987654 from known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column_chunk set object[1] = null from known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column_chunk set object[1] = long_object from known where version = d and split = 0 and ordinal = 1'),
    ('insert into sparse.column_chunk select version, split, ordinal, 500, rows, object from sparse.column_chunk, known where version = d and split = 0 and ordinal = 1'),
    ('insert into sparse.column_chunk select version, split, 77, first_row, rows, object from sparse.column_chunk, known where version = d and split = 0 and ordinal = 1'),
    ('update sparse.column_chunk c set ordinal = 3 - ordinal + 100 from known where version = d and split = 0 and ordinal in (1, 2)');
-- objects and their bytes, of a dataset
insert into damage (statement)
select format(s, o) from unnest(array['text_object', 'long_object', 'tensor_object', 'parent_object']) o, unnest(array[
    'delete from sparse.object using known where id = %s',
    'delete from sparse.chunk using known where object = %s',
    'update sparse.object set sha256 = set_byte(sha256, 31, get_byte(sha256, 31) # 1) from known where id = %s',
    'update sparse.object set sha256 = sha256(''x'') from known where id = %s',
    'update sparse.object set sha256 = null from known where id = %s',
    'update sparse.object set bytes = bytes + 1 from known where id = %s',
    'update sparse.object set bytes = bytes - 1 from known where id = %s',
    'update sparse.object set bytes = 1::bigint << 60 from known where id = %s',
    'update sparse.object set chunk_bytes = 64 from known where id = %s',
    'update sparse.object set dtype = ''no such'' from known where id = %s',
    'update sparse.chunk set seq = seq + 1000 from known where object = %s',
    'update sparse.chunk set delta = decode(repeat(''00'', octet_length(delta)), ''hex'') from known where object = %s',
    'update sparse.chunk set delta = set_byte(delta, 0, 9) from known where object = %s',
    'update sparse.chunk set delta = set_byte(delta, 0, 0) from known where object = %s',
    'update sparse.chunk set delta = set_byte(delta, 0, 255) from known where object = %s',
    'update sparse.chunk set delta = set_byte(delta, octet_length(delta) - 1, 255 - get_byte(delta, octet_length(delta) - 1)) from known where object = %s',
    'update sparse.chunk set delta = substr(delta, 1, octet_length(delta) / 2) from known where object = %s',
    'update sparse.chunk set delta = substr(delta, 1, 1) from known where object = %s',
    'update sparse.chunk set delta = ''\x'' from known where object = %s']) s
where not (o = 'parent_object' and s ~ 'sha256|chunk_bytes|set bytes|dtype');
-- models
insert into damage (statement) values
    ('update sparse.version set content_sha256 = sha256(''x'') from known where id = child'),
    ('update sparse.version set files = files + 1 from known where id = child'),
    ('update sparse.version set tensors = tensors - 1 from known where id = child'),
    ('update sparse.version set raw_bytes = 0 from known where id = child'),
    ('delete from sparse.file using known where version = child'),
    ('update sparse.file set path = ''other.safetensors'' from known where version = child'),
    ('update sparse.file set format = ''bytes'' from known where version = child'),
    ('update sparse.file set bytes = bytes + 1 from known where version = child'),
    ('update sparse.file set sha256 = sha256(''x'') from known where version = child'),
    ('update sparse.file set checksum = substr(sha256(''x''), 1, 16) from known where version = child'),
    ('update sparse.file set object = 987654 from known where version = child'),
    ('update sparse.file set object_bytes = object_bytes - 1 from known where version = child'),
    ('delete from sparse.tensor using known where version = child'),
    ('delete from sparse.tensor using known where version = child and ordinal = 0'),
    ('update sparse.tensor set name = ''other'' from known where version = child and ordinal = 0'),
    ('update sparse.tensor set dtype = ''F16'' from known where version = child and ordinal = 0'),
    ('update sparse.tensor set shape = ''{1}'' from known where version = child and ordinal = 0'),
    ('update sparse.tensor set first_byte = first_byte + 1 from known where version = child and ordinal = 1'),
    ('update sparse.tensor set bytes = bytes + 1 from known where version = child and ordinal = 1'),
    ('update sparse.tensor set object = 987654 from known where version = child and ordinal = 1'),
    ('update sparse.tensor set object = (select object from sparse.tensor t where t.version = child and t.ordinal = 0) from known where version = child and ordinal = 1'),
    ('delete from sparse.object_parent using known where object = tensor_object'),
    ('update sparse.object_parent set parent = (select object from sparse.file where version = child) from known where object = tensor_object');
select id, statement, outcome from (select id, statement, after(statement) as outcome from damage) d where outcome <> 'reported' order by id;
select count(*) as damages from damage;

-- Types: one whose labels, fields or name are no longer what they were is reported; the values come out as text, and as bytes.
begin;
alter type mood rename value 'ok' to 'fine';
select count(*) > 0 as reported, bool_and(column_name = 'm') as only_that from sparse_verify_rows('d');
select sparse_rows('d', 'test', '{id,m}', rows => 2);
rollback;
select count(*) as problems from sparse_verify_rows('d');

-- One damaged version hides no other
begin;
set local session_replication_role = replica;
delete from sparse.chunk using known where object = tensor_object;
delete from sparse.split using known where version = d;
set local session_replication_role = origin;
select v.name, count(*) > 0 as problems from sparse.version v, sparse_verify(v.id) where v.kind = 'model' group by 1 order by 1;
select v.name, count(*) > 0 as problems from sparse.version v, sparse_verify_rows(v.id) where v.kind = 'dataset' group by 1 order by 1;
rollback;
