-- The store of which make.sh keeps a dump: every kind of version that there is. Variable cut: the folder of the models.
set timezone = 'UTC';
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
reset client_min_messages;

-- ---- models: every predictor ----

select sparse_import_file('org/base', :'cut' || '/base.safetensors', metadata => '{"license": "none"}');
select sparse_import_file('org/fp32', :'cut' || '/fp32.safetensors', '{org/base}', '{cast}');
select sparse_import_file('org/finetune', :'cut' || '/finetune.safetensors', '{org/base}');
select sparse_import_file('org/strong', :'cut' || '/strong.safetensors', '{org/base}');
select sparse_import_file('org/finetune', :'cut' || '/next.safetensors', '{org/finetune@1}');
select sparse_import_file('org/merge', :'cut' || '/merge.safetensors', '{org/finetune@1,org/strong}', '{merge,merge}');
select sparse_import_file('org/slerp', :'cut' || '/slerp.safetensors', '{org/finetune@1,org/strong}', '{merge,merge}');
select sparse_import_file('org/adapter', :'cut' || '/adapter.safetensors');
select sparse_import_file('org/lora', :'cut' || '/lora.safetensors', '{org/base,org/adapter}', '{finetune,adapter}');
select sparse_import_file('org/pruned', :'cut' || '/pruned.safetensors', '{org/finetune@1}');
select sparse_import_file('org/int8', :'cut' || '/int8.safetensors', '{org/base}');
select sparse_import_file('org/longer', :'cut' || '/longer.safetensors', '{org/base}');
select sparse_import_file('org/folder', :'cut' || '/folder');
select sparse_import_file('org/folder', :'cut' || '/folder-child', '{org/folder@1}');
select sparse_approximate('org/finetune@1', 'svd', 4, name => 'org/svd');
select sparse_approximate('org/finetune@1', 'int8', name => 'org/approximate-int8');
select sparse_approximate('org/strong', 'bit1', name => 'org/bit1');

-- Of a tombstone whose child stays, and of one that is collected.
select sparse_import_bytes('org/gone', '\x02000000000000007b7d');
select sparse_drop('org/gone');
select sparse_collect();
select sparse_drop('org/strong');

select sparse_tag('org/finetune@1', 'production');
select sparse_tag('org/finetune@2', 'production');
select sparse_tag('org/base', 'stable');
insert into sparse.quota values ('*', 1000, null, null);
insert into sparse.expiry (prefix, keep_last) values ('org/nightly/', 3);

-- An upload of which one file has come.
select sparse_write(sparse_begin('org/upload', jsonb_build_array(
    jsonb_build_object('path', 'a', 'size', 3, 'sha256', encode(sha256('one'), 'hex')),
    jsonb_build_object('path', 'b', 'size', 3, 'sha256', encode(sha256('two'), 'hex')))), null, 0, 'one', 'a');

-- ---- datasets: every form of values and of chunks ----

create type mood as enum ('sad', 'ok', 'happy');
create type place as (x float8, y int, felt mood);
create domain positive as int check (value > 0);
create table faq (
    id bigint, hex text, felt mood, at place, size positive, flag boolean, small smallint, ratio real, day date, moment timestamptz,
    price numeric, answer text, long text, notes jsonb, raw bytea, vector real[], ragged int[], span int8range, tags text[]
);
insert into faq
select i, to_hex(1000000000 + i * 3) , (enum_range(null::mood))[1 + i % 3], row(i / 3.0, i, 'ok')::place, i + 1, i % 2 = 0, i % 100, i / 7.0,
       date '2020-01-01' + i % 50, timestamptz '2020-01-01 00:00+00' + i * interval '1 hour', i * 1.10,
       'answer ' || i % 40, case when i = 7 then repeat(md5('long'), 10000) else md5(i::text) end, jsonb_build_object('n', i, 's', 'x' || i % 5),
       decode(md5(i::text), 'hex'), array[i, i / 2.0, -i]::real[], array_fill(i, array[i % 4]), int8range(i, i + 5),
       case when i % 10 = 0 then null else array['a', 'b' || i % 3, null] end
from generate_series(1, 1500) i;
update faq set ratio = null, day = null where id % 11 = 0;

select sparse_commit_splits('org/faq', '{"train": "select * from faq where id % 10 > 0 order by id", "test": "select * from faq where id % 10 = 0 order by id desc"}', key => '{id}');
create table faq_before as select * from faq;
update faq set answer = 'changed', price = price + 0.001 where id % 97 = 0;
delete from faq where id between 300 and 320;
insert into faq (id, answer) select i, 'new' from generate_series(2000, 2010) i;
select sparse_commit_splits('org/faq', '{"train": "select * from faq where id % 10 > 0 order by id", "test": "select * from faq where id % 10 = 0 order by id desc"}', 'org/faq', '{id}');
select sparse_commit_rows('org/plain', 'select id, answer from faq order by id desc');
create type plain as (id bigint, answer text);

-- What the list will say is what was committed.
create function same(of_version text, split text, query text)
returns boolean
language plpgsql
as $$
declare
    good boolean;
begin
    execute format('select (select array_agg(r::text) from (select sparse_rows_as(null::faq, %L, %L) as r offset 0) x) = array(%s)', of_version, split, query)
    into good;
    if good is not true then raise '% of % is not what was committed', split, of_version; end if;
    return good;
end
$$;
select same('org/faq@1', 'train', 'select f::text from faq_before f where id % 10 > 0 order by id'),
       same('org/faq@1', 'test', 'select f::text from faq_before f where id % 10 = 0 order by id desc'),
       same('org/faq@2', 'train', 'select f::text from faq f where id % 10 > 0 order by id'),
       same('org/faq@2', 'test', 'select f::text from faq f where id % 10 = 0 order by id desc');
drop function same(text, text, text);
drop table faq_before;
truncate faq;
