-- A family that cannot be repacked keeps no other from its turn
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
select sparse_import_file('broken', data_file('mini-base')) > 0, sparse_import_file('broken-child', data_file('mini-finetune'), '{broken}') > 0,
       sparse_import_file('whole', data_file('mini-chain-1'), find_parents => false) > 0, sparse_import_file('whole-child', data_file('mini-chain-2'), '{whole}') > 0;
-- one of its contents is lost
delete from sparse.chunk where object = (select object from sparse.tensor where version = 1 order by bytes desc limit 1);
\set VERBOSITY sqlstate
call sparse_repack();
select name, repacked_at is not null as done from sparse.family order by id;
call sparse_repack();
select name, repacked_at is not null as done from sparse.family order by id;
-- Nor does an upload that cannot be read keep others from theirs
insert into sparse.unoptimized select id from sparse.version where name in ('broken-child', 'whole-child');
call sparse_nightly();
call sparse_nightly();
select v.name, u.begun_at is not null as begun from sparse.unoptimized u join sparse.version v on v.id = u.version;
