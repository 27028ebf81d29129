-- What a version or a file will take, before it is stored.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
create function within(estimated bigint, stored bigint, fraction numeric) returns boolean language sql as $$
    select abs(estimated - stored) <= stored * fraction $$;

-- A file is estimated, and then stored, by its parents alone: what is smaller than the sample is coded throughout
set sparse.effort = 1;
create temporary table estimated (name text, raw bigint, sampled bigint, stored bigint);
insert into estimated select 'base', e.raw_file_bytes, e.sampled_bytes, e.stored_bytes from sparse_estimate_file(data_file('mini-base')) e;
select sparse_import_file('base', data_file('mini-base'));
insert into estimated select 'tuned', e.raw_file_bytes, e.sampled_bytes, e.stored_bytes from sparse_estimate_file(data_file('mini-finetune'), '{base}') e;
select sparse_import_file('tuned', data_file('mini-finetune'), '{base}');
insert into estimated select 'strong', e.raw_file_bytes, e.sampled_bytes, e.stored_bytes from sparse_estimate_file(data_file('mini-finetune-strong'), '{base}', 1500000) e;
select sparse_import_file('strong', data_file('mini-finetune-strong'), '{base}');
select e.name, e.raw = v.raw_bytes as raw, e.sampled <= e.raw as sampled, within(e.stored, v.stored_bytes, case e.name when 'strong' then 0.2 else 0.001 end) as close
from estimated e join sparse.version v using (name) order by v.id;

-- A version against another parent, or none
select within(e.stored_bytes, v.stored_bytes, 0.001) as close, e.fraction_of_raw_files < 0.3 as small from sparse_estimate('tuned', 'base') e, sparse.version v where v.name = 'tuned';
select e.fraction_of_raw_files > 0.6 as alone from sparse_estimate('tuned', null) e;
select e.stored_bytes < 1000 as itself from sparse_estimate('tuned', 'tuned') e;
-- of two parents the better one
select two.stored_bytes <= one.stored_bytes + 1000 as no_worse from sparse_estimate_file(data_file('mini-finetune-light'), '{strong}') one, sparse_estimate_file(data_file('mini-finetune-light'), '{strong,base}') two;

reset sparse.effort;
-- A formula of several parents is found by a sample, as by an import; so is one of factors that nobody gave. An import that is taken back tells to the byte
select sparse_import_file('other', data_file('mini-finetune'), '{base}') > 0 as other;
select e.fraction_of_raw_files < 0.001 as merged from sparse_estimate_file(data_file('mini-merge-linear'), '{other,strong}') e;
select within(e.stored_bytes, t.stored_bytes, 0.01) as low_rank from sparse_estimate_file(data_file('mini-lora-merged'), '{base}') e, sparse_try_import(data_file('mini-lora-merged'), '{base}') t;
select within(e.stored_bytes, t.stored_bytes, 0.01) as cast_up from sparse_estimate_file(data_file('mini-base-fp32'), '{base}') e, sparse_try_import(data_file('mini-base-fp32'), '{base}') t;
select e.fraction_of_raw_files < 0.002 as quantised from sparse_estimate_file(data_file('mini-base-int8'), '{base}') e;
select count(*) as versions, (select count(*) from sparse.object) as objects, (select count(*) from sparse.chunk) as chunks from sparse.version \gset before_
select t.* from sparse_try_import(data_file('mini-merge-linear'), '{other,strong}') t \gset
select count(*) = :before_versions as versions, (select count(*) from sparse.object) = :before_objects as objects,
       (select count(*) from sparse.chunk) = :before_chunks as chunks from sparse.version;
select sparse_import_file('merge', data_file('mini-merge-linear'), '{other,strong}') > 0 as imported;
select stored_bytes = :stored_bytes as stored, raw_bytes = :raw_file_bytes as raw, :fraction_of_raw_files < 0.001 as small from sparse.version where name = 'merge';
select * from sparse_try_import('/no/such.safetensors');

-- Refusals
select * from sparse_estimate('no such', 'tuned');
select * from sparse_estimate('tuned', 'no such');
select * from sparse_estimate('tuned', 'base', 0);
select * from sparse_estimate_file('/etc/passwd');
drop role if exists regress_sparse_reader;
create role regress_sparse_reader;
grant usage on schema sparse to regress_sparse_reader;
grant select on sparse.version to regress_sparse_reader;
alter table sparse.version enable row level security;
create policy own on sparse.version for select to regress_sparse_reader using (name <> 'base');
select data_file('mini-base') as file \gset
set role regress_sparse_reader;
select * from sparse_estimate_file(:'file');
select * from sparse_estimate('tuned', 'base');
select raw_file_bytes from sparse_estimate('tuned', 'strong');
reset role;
drop owned by regress_sparse_reader;
drop role regress_sparse_reader;
