-- Children that are computed from their parents cost next to nothing, and come back whole and in parts.
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
create function is_file(version text, name text) returns boolean language sql as $$
    select sha256(joined(version)) = sha256(pg_read_binary_file(data_file(name))) $$;
select sparse_import_file(f, data_file(f)) > 0 as imported from unnest(array['mini-base', 'mini-lora-adapter']) f;
select sparse_import_file(f, data_file(f), '{mini-base}') > 0 as imported from unnest(array['mini-finetune', 'mini-finetune-strong']) f;

-- Merges, a merged adapter, pruning, quantisation: each below the figure that was asked for
-- imports a file, and says whether it came back, whether it took less than this part of it, and how it was predicted
create function child(name text, parents text[], most numeric, out came_back boolean, out small boolean, out predictors text)
language plpgsql as $$
declare new_id bigint;
begin
    new_id := sparse_import_file(name, data_file(name), parents);
    came_back := is_file(new_id::text, name);
    small := (select v.stored_bytes < v.raw_bytes * most from sparse.version v where v.id = new_id);
    predictors := (select string_agg(p, ', ' order by p) from (select distinct predictor as p from sparse_tensors(new_id)) x);
end $$;
select * from child('mini-merge-linear', '{mini-finetune,mini-finetune-strong}', 0.003);
select * from child('mini-merge-slerp', '{mini-finetune,mini-finetune-strong}', 0.005);
select * from child('mini-lora-merged', '{mini-base,mini-lora-adapter}', 0.010);
select * from child('mini-finetune-pruned', '{mini-finetune}', 0.020);
select * from child('mini-base-int8', '{mini-base}', 0.010);
select * from child('mini-base-fp32', '{mini-base}', 0.51);
select * from child('mini-base-fp16', '{mini-base-fp32}', 0.001);
-- without the adapter, and with an unrelated parent, nothing is worse than it was
select * from child('mini-finetune-light', '{mini-base,mini-lora-adapter,mini-finetune-pruned}', 0.076);

-- Slices and ranges decode what they need of every parent
create function slices_agree(version text) returns boolean language sql as $$
    select bool_and(sparse_slice(version, t.name, r, 1) = substr(whole, (r * octet_length(whole) / t.shape[1] + 1)::int, (octet_length(whole) / t.shape[1])::int))
    from sparse_tensors(version) t, lateral (select sparse_tensor(version, t.name) as whole offset 0) w,
         unnest(array[0, t.shape[1] / 2, t.shape[1] - 1]) r
    where cardinality(t.shape) = 2 $$;
select v, slices_agree(v) from unnest(array['mini-merge-slerp', 'mini-lora-merged', 'mini-finetune-pruned', 'mini-base-int8', 'mini-base-fp32']) v;
select count(*) as problems from unnest(array['mini-merge-linear', 'mini-merge-slerp', 'mini-lora-merged', 'mini-finetune-pruned', 'mini-base-int8', 'mini-base-fp16']) v, sparse_verify(v);

-- An object has an edge to every parent that it needs, deeper than each
select o.predictor, max(p.ordinal) + 1 as parents, bool_and(p.parent_depth < p.depth) as deeper
from sparse.object o join sparse.object_parent p on p.object = o.id
where o.predictor in ('blend', 'low-rank', 'quantised', 'maxima', 'pruned', 'cast')
group by 1 order by 1;
-- and so keeps them when their versions are dropped and collected
select sparse_drop('mini-lora-adapter'), sparse_drop('mini-finetune-strong');
select versions > 0 as collected from sparse_collect();
select v, is_file(v, v) from unnest(array['mini-merge-linear', 'mini-merge-slerp', 'mini-lora-merged']) v;
-- The totals of versions are those of their deltas
select (select sum(stored_bytes) from sparse.version) = (select sum(stored_bytes) from sparse.object) as same;

-- What is not in the family's files: a 4-bit child with its scales, back to floats, 2:4, a transposed adapter
create function le(x float4) returns bytea language sql immutable as $$
    select substr(b, 4, 1) || substr(b, 3, 1) || substr(b, 2, 1) || substr(b, 1, 1) from float4send(x) b $$;
create function framed(header text, data bytea default '') returns bytea language sql as $$
    select string_agg(substr(n, i, 1), '' order by i desc) || convert_to(header, 'UTF8') || data
    from int8send(octet_length(convert_to(header, 'UTF8'))) n, generate_series(1, 8) i $$;
create table w as
select r, c, ((hashint4(r * 1000 + c) % 1000) / 997.0)::float4 as x from generate_series(0, 63) r, generate_series(0, 63) c;
create table s as select r, (max(abs(x)) / 7::float4)::float4 as s from w group by r;
create table q as select r, c, greatest(-8, least(7, round((x / s)::numeric)::int)) as q from w join s using (r);
create function floats(sql text) returns bytea language plpgsql as $$
declare b bytea;
begin
    execute 'select string_agg(le(x), '''' order by r, c) from (' || sql || ') y' into b;
    return b;
end $$;
select sparse_import_bytes('f', framed('{"m.weight":{"dtype":"F32","shape":[64,64],"data_offsets":[0,16384]}}', floats('select r, c, x from w'))) > 0 as f;
create function four_bit() returns bytea language sql as $$
    select framed('{"m.weight":{"dtype":"U8","shape":[64,32],"data_offsets":[0,2048]},"m.weight_scale":{"dtype":"F32","shape":[64],"data_offsets":[2048,2304]}}',
        (select string_agg(set_byte('\x00', 0, (a.q & 15) | ((b.q & 15) << 4)), '' order by a.r, a.c)
         from q a join q b on b.r = a.r and b.c = a.c + 1 where a.c % 2 = 0)
        || (select string_agg(le(s), '' order by r) from s)) $$;
select sparse_import_bytes('q', four_bit(), '{f}') > 0 as q;
select name, predictor from sparse_tensors('q');
select joined('q') = four_bit() as same;
create function again() returns bytea language sql as $$
    select framed('{"m.weight":{"dtype":"F32","shape":[64,64],"data_offsets":[0,16384]}}', floats('select r, c, (q * s)::float4 as x from q join s using (r)')) $$;
select sparse_import_bytes('d', again(), '{q}') > 0 as d;
select name, predictor, stored_bytes < 300 as small from sparse_tensors('d');
select joined('d') = again() as same;
create function two_of_four() returns bytea language sql as $$
    select framed('{"model.m.weight":{"dtype":"F32","shape":[64,64],"data_offsets":[0,16384]}}',
        floats('select r, c, case when rank() over (partition by r, c / 4 order by abs(x) desc, c) <= 2 then x else 0 end as x from w')) $$;
select sparse_import_bytes('p', two_of_four(), '{f}') > 0 as p;
select name, predictor, stored_bytes < 300 as small from sparse_tensors('p');
select joined('p') = two_of_four() as same;
create table a as select k as r, c, ((hashint4(k * 77 + c) % 100) / 512.0)::float4 as x from generate_series(0, 3) k, generate_series(0, 63) c;
create table b as select r, k as c, ((hashint4(r * 13 + k) % 100) / 512.0)::float4 as x from generate_series(0, 63) r, generate_series(0, 3) k;
create function adapter() returns bytea language sql as $$
    select framed('{"base_model.model.m.lora_embedding_A":{"dtype":"F32","shape":[4,64],"data_offsets":[0,1024]},"base_model.model.m.lora_embedding_B":{"dtype":"F32","shape":[64,4],"data_offsets":[1024,2048]}}',
        floats('select * from a') || floats('select * from b')) $$;
create function merged() returns bytea language sql as $$
    select framed('{"m.weight":{"dtype":"F32","shape":[64,64],"data_offsets":[0,16384]}}',
        floats('select w.r, w.c, (w.x::float8 + 1.5 * sum(a.x::float8 * b.x::float8))::float4 as x
                from w join a on a.c = w.r join b on b.r = w.c and b.c = a.r group by w.r, w.c, w.x')) $$;
select sparse_import_bytes('adapter', adapter()) > 0 as adapter, sparse_import_bytes('merged', merged(), '{f,adapter}') > 0 as merged;
select name, predictor, stored_bytes < 1000 as small from sparse_tensors('merged');
select joined('merged') = merged() as same;

-- What was worked out for a proposal that was not taken is gone
set client_min_messages = error;
drop schema sparse cascade;
select sparse_create_store();
set sparse.effort = 3;
select sparse_import_file('mini-base', data_file('mini-base')) > 0 as imported;
select sparse_import_file('fp16 base', data_file('mini-base-fp16'), '{mini-base}') > 0 as imported, sparse_import_file('fp16', data_file('mini-finetune-fp16'), '{fp16 base}') > 0 as imported;
select count(*) as needed_by_nothing from sparse.object o
where not exists (select from sparse.tensor t where t.object = o.id) and not exists (select from sparse.file f where f.object = o.id)
  and not exists (select from sparse.object_parent p where p.parent = o.id);
