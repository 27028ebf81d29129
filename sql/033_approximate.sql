-- An approximation is a version of its own, made of a formula over stored factors, and says how far it is off.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
create function joined(version text) returns bytea language sql as $$
    select string_agg(piece, '' order by n)
    from sparse_reconstruct(version) with ordinality as pieces (piece, n) $$;
select sparse_import_file('mini-base', data_file('mini-base')) as base;
select sparse_import_file('mini-finetune', data_file('mini-finetune'), '{mini-base}') as finetune;

-- int8, by rows of the tensors; svd and bit1 of the difference to the parent
select sparse_approximate('mini-finetune', 'int8') as int8;
select sparse_approximate('mini-finetune', 'svd', rank => 8) as svd;
select sparse_approximate('mini-finetune', 'bit1') as bit1;
select name, revision, exact, message, metadata -> 'approximation' as approximation
from sparse_versions('{"exact": false}') order by id;
select version, name, role from sparse_lineage('mini-finetune-bit1') order by 1;

-- Each is smaller than the exact one, and far nearer to it than its parent is
select v.name, v.stored_bytes < e.stored_bytes * most as small, a.*
from (values ('mini-finetune-int8', 1.0), ('mini-finetune-svd', 0.3), ('mini-finetune-bit1', 0.5)) x (name, most)
join sparse.version v using (name)
join sparse.version e on e.name = 'mini-finetune'
cross join lateral (select count(*) filter (where a.method = 'exact') as left_exact,
                           count(*) filter (where a.method <> 'exact') as approximated,
                           max(relative_l2) < 0.02 as near,
                           bool_and((a.method = 'exact') = (max_abs = 0 and relative_l2 = 0 and max_ulp = 0)) as said
                    from sparse.approximation a where a.version = v.id) a
order by v.id;
-- what stands in the table is what is: against sparse_compare, which knows nothing of it
select v.name, count(*) as tensors, bool_and(abs(a.max_abs - c.largest_change) <= 1e-6 * a.max_abs) as same_largest
from sparse.version v
join sparse.approximation a on a.version = v.id and a.method <> 'exact'
cross join lateral sparse_compare('mini-finetune', v.name) c
where not v.exact and c.tensor = a.tensor group by 1 order by 1;

-- Names, dtypes and shapes are those of the exact one; norms and what equals the parent's are its objects
select count(*) as differing
from unnest(array['mini-finetune-int8', 'mini-finetune-svd', 'mini-finetune-bit1']) n,
     lateral (select file, name, dtype, shape, bytes from sparse_tensors(n)
              except select file, name, dtype, shape, bytes from sparse_tensors('mini-finetune')) d;
select bool_and(t.object = e.object) as shared, count(*) > 0 as there_are
from sparse.approximation a
join sparse.tensor t using (version, file, ordinal)
join sparse.tensor e on e.version = (select id from sparse.version where name = 'mini-finetune') and e.name = t.name
where a.method = 'exact';
-- No chunk of a tensor holds more than its formula
select v.name, max((sdelta_info(c.delta)).coding) as coding, max(octet_length(sdelta_send(c.delta))) < 500 as no_residual
from sparse.version v
join sparse.approximation a on a.version = v.id and a.method <> 'exact'
join sparse.tensor t on (t.version, t.file, t.ordinal) = (a.version, a.file, a.ordinal)
join sparse.chunk c on c.object = t.object
group by 1 order by 1;

-- Every reader reads them, and they verify
select n, sha256(joined(n)) = f.sha256 as whole, octet_length(joined(n)) = f.bytes as bytes,
       (select count(*) from sparse_verify(n)) as problems
from unnest(array['mini-finetune-int8', 'mini-finetune-svd', 'mini-finetune-bit1']) n, lateral sparse_files(n) f;
select n, bool_and(sparse_slice(n, t.name, 1, 1) = substr(sparse_tensor(n, t.name), (t.bytes / t.shape[1] + 1)::int, (t.bytes / t.shape[1])::int)) as slices
from unnest(array['mini-finetune-int8', 'mini-finetune-svd', 'mini-finetune-bit1']) n, lateral sparse_tensors(n) t
where cardinality(t.shape) = 2 group by 1 order by 1;

-- The same is not made twice; another rank is another revision
select sparse_approximate('mini-finetune', 'svd', 8) = sparse_version_id('mini-finetune-svd@1') as same;
select sparse_approximate('mini-finetune', 'svd', 32) > 0 as made;
select name, revision from sparse_versions('{"name": "mini-finetune-svd"}') order by revision;
select (select sum(relative_l2) from sparse.approximation where version = sparse_version_id('mini-finetune-svd@2'))
     < (select sum(relative_l2) from sparse.approximation where version = sparse_version_id('mini-finetune-svd@1')) as nearer;

-- A bound is kept, or nothing is left behind
select sparse_approximate('mini-finetune', 'int8', max_error => 0.0001, name => 'strict') as refused;
select count(*) as versions from sparse.version where name = 'strict';
select sparse_approximate('mini-finetune', 'svd', max_error => 0.008, name => 'within') > 0 as made;
select max(relative_l2) <= 0.008 as kept, max(rank) > min(rank) as ranks_differ, count(*) filter (where method = 'svd' and rank is null) as of_parent
from sparse.approximation where version = sparse_version_id('within');

-- Without a parent, the tensor itself takes the place of the difference
select sparse_approximate('mini-base', 'int8') > 0 as int8, sparse_approximate('mini-base', 'svd', 16) > 0 as svd,
       sparse_approximate('mini-base', 'bit1') > 0 as bit1;
select v.name, round(max(a.relative_l2)::numeric, 1) as error, (select count(*) from sparse_verify(v.name)) as problems
from sparse.approximation a join sparse.version v on v.id = a.version
where v.name like 'mini-base-%' group by 1 order by 1;

-- Progressive: the exact version on top of its approximation
call sparse_rebase('mini-finetune', 'mini-finetune-svd@1', null, null, null);
select sha256(joined('mini-finetune')) = sha256(pg_read_binary_file(data_file('mini-finetune'))) as exact,
       (select count(*) from sparse_verify('mini-finetune')) as problems;
-- An approximation needs nothing of the exact version
select sparse_drop('mini-finetune');
select versions from sparse_collect();
select n, sha256(joined(n)) = f.sha256 as whole
from unnest(array['mini-finetune-int8', 'mini-finetune-svd', 'mini-finetune-bit1']) n, lateral sparse_files(n) f;
select (select sum(stored_bytes) from sparse.version) = (select sum(stored_bytes) from sparse.object) as same_totals;

-- What is not finite, not a float or no matrix is left as it is; the rest of such a file is not
create function model(tensors jsonb, content bytea) returns bytea language sql as $$
    select substr(int8send(octet_length(h)), 8, 1) || substr(int8send(octet_length(h)), 7, 1) || '\x000000000000'::bytea || h || content
    from (select convert_to(tensors::text, 'UTF8')) x (h) $$;
create function le(x float4) returns bytea language sql as $$
    select string_agg(substr(float4send(x), i, 1), '' order by i desc) from generate_series(1, 4) i $$;
create function matrix(seed int, special float4 default null) returns bytea language sql as $$
    select string_agg(le(case when i = 5 and special is not null then special else (sin(i * seed) * 10 ^ (i % 3))::float4 end), '' order by i)
    from generate_series(1, 32) i $$;
create function model_of(seed int) returns bytea language sql as $$
    select model('{"a": {"dtype": "F32", "shape": [4, 8], "data_offsets": [0, 128]},
                   "b": {"dtype": "F32", "shape": [4, 8], "data_offsets": [128, 256]},
                   "c": {"dtype": "F32", "shape": [4, 8], "data_offsets": [256, 384]},
                   "d": {"dtype": "I32", "shape": [4, 8], "data_offsets": [384, 512]},
                   "e": {"dtype": "F32", "shape": [32], "data_offsets": [512, 640]},
                   "f": {"dtype": "F32", "shape": [2, 16], "data_offsets": [640, 768]},
                   "g": {"dtype": "F32", "shape": [0, 8], "data_offsets": [768, 768]}}'::jsonb,
        matrix(seed) || matrix(seed, 'NaN') || matrix(seed, '-Infinity') || matrix(seed) || matrix(seed + 1) || decode(repeat('00', 128), 'hex')) $$;
select sparse_import_bytes('odd', model_of(3)) > 0 as imported;
select sparse_import_bytes('odd-child', model_of(4), '{odd}') > 0 as imported;
select n, m, sparse_approximate(n, m, rank => case when m = 'svd' then 1 end) > 0 as made
from unnest(array['odd', 'odd-child']) n, unnest(array['int8', 'bit1', 'svd']) m;
select v.name, string_agg(a.tensor || ' ' || a.method, ', ' order by a.ordinal) as tensors,
       (select count(*) from sparse_verify(v.name)) as problems
from sparse.approximation a join sparse.version v on v.id = a.version where v.name like 'odd%' group by 1 order by 1;
-- int8 is off by half a step at most: what is worked out here from the definition
select bool_and(a.max_abs <= (select max(abs(sin(i * 3) * 10 ^ (i % 3))) from generate_series(1, 32) i) / 254 * 1.0001) as half_a_step
from sparse.approximation a where a.version = sparse_version_id('odd-int8') and a.tensor = 'a';

-- Refusals
select sparse_approximate('odd', 'gzip');
select sparse_approximate('odd', null);
select sparse_approximate(null::text, 'int8');
select sparse_approximate('odd', 'svd');
select sparse_approximate('odd', 'svd', 0);
select sparse_approximate('odd', 'svd', 257);
select sparse_approximate('odd', 'int8', 8);
select sparse_approximate('odd', 'int8', max_error => 0);
select sparse_approximate('odd', 'int8', max_error => 'NaN');
select sparse_approximate('odd', 'int8', name => '7');
select sparse_approximate('odd-int8', 'int8');
select sparse_approximate('odd', 'int8', name => 'odd-child');
select sparse_import_bytes('odd-int8', model_of(5));
select sparse_approximate('nothing', 'int8');
select sparse_import_bytes('scalars', model('{"a": {"dtype": "F32", "shape": [32], "data_offsets": [0, 128]}}', matrix(1))) > 0 as imported;
select sparse_approximate('scalars', 'int8');
set sparse.max_chain_depth = 1;
select sparse_approximate('odd-child', 'bit1', name => 'too-deep');
reset sparse.max_chain_depth;
begin transaction read only;
select sparse_approximate('odd', 'int8', name => 'read-only');
rollback;
-- Drawn and listed, it says what it is
select regexp_replace(sparse_graph('odd', 'tree'), '\d+(\.\d+)? [kM]?B', 'n B', 'g');
select name, exact from sparse.savings where name like 'odd%' order by version;
select distinct name, exact from sparse_descendants('odd') order by 1;

-- Who cannot read the version cannot approximate it; whose parent he cannot read, its tensors are not used
drop role if exists regress_sparse_ann;
create role regress_sparse_ann;
grant usage on schema sparse to regress_sparse_ann;
grant select on sparse.version, sparse.approximation to regress_sparse_ann;
alter table sparse.version enable row level security;
create policy of_ann on sparse.version to regress_sparse_ann using (name ~ '^odd-child');
set role regress_sparse_ann;
select sparse_approximate('odd-child', 'bit1', name => 'odd-child-mine');
reset role;
grant insert on sparse.version to regress_sparse_ann;
set role regress_sparse_ann;
select sparse_approximate('odd', 'bit1');
select sparse_approximate('odd-child', 'bit1', name => 'hers');
select sparse_approximate('odd-child', 'bit1', name => 'odd-child-mine') > 0 as made;
select count(distinct version) as versions from sparse.approximation;
reset role;
select t.name, string_agg(distinct o.predictor, ', ') as computed
from sparse.tensor t join sparse.object o on o.id = t.object
where t.version = sparse_version_id('odd-child-mine') and t.name = 'a' group by 1;
-- and a quota counts it
insert into sparse.quota values ('regress_sparse_ann', 1, null, null);
set role regress_sparse_ann;
select sparse_approximate('odd-child', 'int8', name => 'odd-child-more');
reset role;
-- Who may insert the columns that an import writes, and not exact, makes no approximations
reset role;
revoke insert on sparse.version from regress_sparse_ann;
grant insert (id, kind, name, revision, family, created_by, message, metadata) on sparse.version to regress_sparse_ann;
set role regress_sparse_ann;
select sparse_approximate('odd-child', 'int8', name => 'odd-child-less');
reset role;
drop owned by regress_sparse_ann;
drop role regress_sparse_ann;

-- What was measured goes with the tensors, when a dropped approximation is collected
select count(*) as measured from sparse.approximation where version = (select id from sparse.version where name = 'odd-int8');
select sparse_drop('odd-int8');
select versions from sparse_collect();
select count(*) as measured from sparse.approximation where version = (select id from sparse.version where name = 'odd-int8');
-- A cancelled one leaves nothing behind
select count(*) as versions from sparse.version \gset before_
set statement_timeout = '1ms';
select sparse_approximate('mini-base', 'svd', 200, name => 'cancelled');
reset statement_timeout;
select count(*) - :before_versions as more, (select count(*) from sparse_verify('mini-base')) as problems from sparse.version;
-- Files of a folder that hold no tensors are as they were
do $$ begin
    execute format('copy (select 1) to program %L', format('cd %L && mkdir with-notes && cp %L with-notes/model.safetensors && cat > with-notes/notes && : > with-notes/empty',
                   current_setting('data_directory'), data_file('mini-base')));
end $$;
select sparse_import_file('noted', current_setting('data_directory') || '/with-notes') > 0 as imported;
select sparse_approximate('noted', 'int8') > 0 as approximated;
select path, format, bytes, checksum is not null as summed,
       checksum = (select checksum from sparse.file e join sparse.version v on v.id = e.version where v.name = 'noted' and e.path = f.path) as same,
       (select sum(octet_length(piece)) from sparse_reconstruct_file('noted-int8', path) piece) = bytes as whole
from sparse.file f where version = sparse_version_id('noted-int8') order by path collate "C";
-- Every file has a checksum, also those that are as they were
select bool_and(f.checksum is not null) as summed, (select count(*) from sparse.version v, sparse_verify(v.id) where v.state = 'ready') as problems
from sparse.version v join sparse.file f on f.version = v.id where v.state = 'ready';
