-- Checkpoints of one run go on in the direction that their parent came from, and fine-tunes of one base lean on each other; not on what their maker cannot read.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
create function is_file(version text, name text) returns boolean language sql as $$
    select (select sha256(string_agg(piece, '' order by n)) from sparse_reconstruct(version) with ordinality as pieces (piece, n))
        = sha256(pg_read_binary_file(data_file(name))) $$;
create function fraction(child text) returns numeric language sql as $$
    select round(v.stored_bytes / v.raw_bytes::numeric, 3) from sparse.version v where v.name = child $$;
-- versions from whose objects one of this version is predicted, beside itself
create function leans_on(child text) returns text[] language sql as $$
    select array_agg(distinct o.name order by o.name)
    from sparse.version v join sparse.tensor t on t.version = v.id join sparse.object_parent e on e.object = t.object and not e.made
    join sparse.tensor s on s.object = e.parent join sparse.version o on o.id = s.version
    where v.name = child and o.name <> child $$;

-- a chain: each names its parent alone
select sparse_import_file('base', data_file('mini-base')) > 0 as imported;
select sparse_import_file('tuned', data_file('mini-finetune'), '{base}') > 0 as imported;
select sparse_import_file('further', data_file('mini-chain-1'), '{tuned}') > 0 as imported;
select sparse_import_file('furthest', data_file('mini-chain-2'), '{further}') > 0 as imported;
select v, is_file(v, f), leans_on(v), fraction(v) < most as small
from (values ('tuned', 'mini-finetune', 0.195), ('further', 'mini-chain-1', 0.165), ('furthest', 'mini-chain-2', 0.170)) x (v, f, most);
-- lineage still names the parent alone
select p.name from sparse.version v join sparse.parent e on e.child = v.id join sparse.version p on p.id = e.parent where v.name = 'furthest';

-- With all effort a sibling is looked at
set sparse.effort = 3;
select sparse_import_file('strong', data_file('mini-finetune-strong'), '{base}') > 0 as imported;
select is_file('strong', 'mini-finetune-strong'), leans_on('strong'), fraction('strong') < 0.268 as small;
reset sparse.effort;
-- what they lean on is kept when its version is dropped and collected
select sparse_drop('tuned');
select versions > 0 as collected from sparse_collect();
select is_file('further', 'mini-chain-1'), is_file('furthest', 'mini-chain-2'), is_file('strong', 'mini-finetune-strong');
select count(*) as problems from unnest(array['further', 'furthest', 'strong']) v, sparse_verify(v);

-- Who cannot read the parent's parent gets nothing of it: the bytes are those of a parent that has none
drop role if exists regress_sparse_runner;
create role regress_sparse_runner;
grant usage on schema sparse to regress_sparse_runner;
grant select, insert, update on sparse.version to regress_sparse_runner;
grant select on sparse.file, sparse.tensor, sparse.parent to regress_sparse_runner;
grant pg_read_server_files to regress_sparse_runner;
select sparse_import_file('hidden/tuned', data_file('mini-finetune'), '{base}') > 0 as imported;
alter table sparse.version enable row level security;
create policy open on sparse.version using (name not like 'hidden/%' and name <> 'base');
select sparse_drop('further'), sparse_drop('furthest'), sparse_drop('strong');
select versions > 0 as collected from sparse_collect();
select sparse_import_file('open/further', data_file('mini-chain-1'), '{hidden/tuned}') > 0 as imported;
set role regress_sparse_runner;
select sparse_import_file('open/furthest', data_file('mini-chain-2'), '{open/further}') > 0 as imported;
reset role;
select leans_on('open/further'), leans_on('open/furthest');
-- nor when it is coded again for everybody
call sparse_optimize('open/furthest');
select leans_on('open/furthest'), is_file('open/furthest', 'mini-chain-2');
drop owned by regress_sparse_runner;
drop role regress_sparse_runner;
