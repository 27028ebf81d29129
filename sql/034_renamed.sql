-- Tensors that the parents have under other names, in other places, fused or split, are found by their content.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

create function le(x float4) returns bytea language sql immutable as $$
    select substr(b, 4, 1) || substr(b, 3, 1) || substr(b, 2, 1) || substr(b, 1, 1) from float4send(x) b $$;
-- weights of a tensor: `rows` rows of 64, by a seed, moved a little by `noise`
create function weights(seed int, rows int, noise int default 0, columns int default 64) returns bytea language sql as $$
    select string_agg(le(((hashint4(i + seed * 1000000) % 100000) / 3000000.0
                          + case when noise = 0 then 0 else hashint4(i + noise * 77777777) % 1000 / 300000000.0 end)::float4), '' order by i)
    from generate_series(0, rows * columns - 1) i $$;
-- a file of F32 tensors: names, numbers of columns (0: a vector), contents
create function model(names text[], columns int[], data bytea[]) returns bytea language sql as $$
    select string_agg(substr(int8send(octet_length(h)), 9 - i, 1), '' order by i) || h || (select string_agg(d, '' order by o) from unnest(data) with ordinality x (d, o))
    from (select convert_to('{' || string_agg(format('"%s":{"dtype":"F32","shape":%s,"data_offsets":[%s,%s]}', names[i],
                     case columns[i] when 0 then format('[%s]', octet_length(data[i]) / 4) else format('[%s,%s]', octet_length(data[i]) / 4 / columns[i], columns[i]) end,
                     first, first + octet_length(data[i])), ',' order by i) || '}', 'UTF8') as h
          from generate_subscripts(data, 1) i, lateral (select coalesce(sum(octet_length(d)), 0)::int as first from unnest(data[:i - 1]) d) f) x,
         generate_series(1, 8) i group by h $$;
create function child(name text, parents text[], data bytea, out came_back boolean, out tensors text) language plpgsql as $$
declare new_id bigint;
begin
    new_id := sparse_import_bytes(name, data, parents);
    came_back := (select string_agg(p, '' order by n) = data from sparse_reconstruct(new_id) with ordinality r (p, n))
        and not exists (select from sparse_verify(new_id));
    tensors := (select string_agg(t.name || ': ' || predictor || case when depth > 0 and stored_bytes * 10 < bytes * 8 then ' pays' else '' end, ', ' order by t.name)
                from sparse_tensors(new_id) t);
end $$;

select came_back from child('base', '{}', model('{embed,l.0.q,l.0.k,l.0.v,l.0.norm,l.1.q,l.1.k,l.1.v,l.1.norm}', '{64,64,64,64,0,64,64,64,0}',
    array[weights(1, 200), weights(2, 64), weights(3, 64), weights(4, 64), weights(5, 4), weights(6, 64), weights(7, 64), weights(8, 64), weights(9, 4)]));
-- other names, another order
select * from child('renamed', '{base}', model('{a,b,c,n}', '{64,64,64,0}', array[weights(7, 64, 1), weights(2, 64, 2), weights(1, 200, 3), weights(9, 4, 4)]));
-- a layer left out: what has the name is something else
select * from child('shallower', '{base}', model('{l.0.q,l.0.k}', '{64,64}', array[weights(6, 64, 1), weights(7, 64, 2)]));
-- an embedding under a second name, with more rows
select * from child('untied', '{base}', model('{embed,head}', '{64,64}', array[weights(1, 200, 1), weights(1, 230, 2)]));
-- fused, and of fused ones the parts
select * from child('fused', '{base}', model('{l.0.qkv,l.1.qkv}', '{64,64}',
    array[weights(2, 64, 1) || weights(3, 64, 2) || weights(4, 64, 3), weights(6, 64, 1) || weights(7, 64, 2) || weights(8, 64, 3)]));
select * from child('split', '{fused}', model('{l.0.q,l.0.k,l.0.v,l.1.q,l.1.k,l.1.v}', '{64,64,64,64,64,64}',
    array[weights(2, 64, 4), weights(3, 64, 5), weights(4, 64, 6), weights(6, 64, 4), weights(7, 64, 5), weights(8, 64, 6)]));
select came_back from child('grouped', '{}', model('{qkv,b}', '{64,0}', array[weights(11, 128) || weights(12, 32) || weights(13, 32), weights(14, 2) || weights(15, 1)]));
select * from child('heads', '{grouped}', model('{q,k,v,bq,bk}', '{64,64,64,0,0}',
    array[weights(11, 128, 1), weights(12, 32, 2), weights(13, 32, 3), weights(14, 2, 4), weights(15, 1, 5)]));
-- a cast and a merge of tensors under other names
select came_back from child('other', '{base}', model('{x.a,x.b}', '{64,64}', array[weights(7, 64, 7), weights(2, 64, 8)]));
-- nothing is found where there is nothing
select * from child('stranger', '{base,fused}', model('{l.0.q,z}', '{64,64}', array[weights(20, 64), weights(21, 192)]));
select * from child('zeros', '{base}', model('{z}', '{64}', array[decode(repeat('00', 64 * 64 * 4), 'hex')]));
-- chunks that begin in the middle of a part
set sparse.chunk_size = '64kB';
select came_back from child('large', '{}', model('{a,b,c}', '{1000,1000,1000}', array[weights(31, 50, 0, 1000), weights(32, 30, 0, 1000), weights(33, 41, 0, 1000)]));
select * from child('large fused', '{large}', model('{abc}', '{1000}', array[weights(31, 50, 1, 1000) || weights(33, 41, 2, 1000) || weights(32, 30, 3, 1000)]));
select * from child('large split', '{large fused}', model('{first,last}', '{1000,1000}', array[weights(31, 50, 2, 1000), weights(32, 30, 4, 1000)]));
select bool_and(sparse_slice('large fused', 'abc', r, 2) = substr(sparse_tensor('large fused', 'abc'), r * 4000 + 1, 8000)) as slices from unnest(array[0, 49, 50, 90, 119]) r;
-- what is put together of unchanged parts, or is a part of one, takes next to nothing: a reference that is off by one would not
create function stored(version text) returns text language sql as $$
    select string_agg(t.name || case when t.stored_bytes < 1000 then ': next to nothing' else ': ' || t.stored_bytes end, ', ' order by t.name) from sparse_tensors(version) t $$;
select came_back from child('large copied', '{large}', model('{abc,ca,b,tail}', '{1000,1000,1000,1000}', array[weights(31, 50, 0, 1000) || weights(33, 41, 0, 1000) || weights(32, 30, 0, 1000),
    weights(33, 41, 0, 1000) || weights(31, 50, 0, 1000), substr(weights(32, 30, 0, 1000), 1, 60000), substr(weights(33, 41, 0, 1000), 84001)]));
select stored('large copied');
select came_back from child('large parts', '{large copied}', model('{first,last}', '{1000,1000}', array[substr(weights(33, 41, 0, 1000), 1, 120000), substr(weights(31, 50, 0, 1000), 100001)]));
select stored('large parts');
-- found again by what is stored, when nothing is known of them but their contents
call sparse_materialize('large copied') \gset was_
call sparse_optimize('large copied') \gset was_
select :was_objects as recoded, stored('large copied'), (select count(*) from sparse_verify('large copied')) as problems;
-- A parent that is dropped meanwhile is not looked at again, whatever was learnt of it
select came_back from child('first', '{}', model('{p,q}', '{64,64}', array[weights(41, 64), weights(42, 64)]));
select came_back from child('second', '{}', model('{r,s}', '{64,64}', array[weights(41, 64, 1), weights(42, 64, 2)]));
select came_back from child('of both', '{first,second}', model('{x,y}', '{64,64}', array[weights(41, 64, 3), weights(42, 64, 4)]));
create function parents(version text) returns text language sql as $$
    select string_agg(distinct t.name || ' of ' || v.name, ', ') from sparse.tensor c
    join sparse.object_parent p on p.object = c.object join sparse.tensor t on t.object = p.parent join sparse.version v on v.id = t.version
    where c.version = sparse_version_id($1) $$;
select parents('of both');
call sparse_materialize('of both') \gset was_
create function drop_first() returns trigger language plpgsql set search_path = public as $$
begin
    perform sparse_drop(id) from sparse.version where name = 'first' and state = 'ready';
    return null;
end $$;
create trigger drop_first after update of stored_bytes on sparse.object for each row when (old.stored_bytes > 0 and new.dtype = 'F32') execute function drop_first();
call sparse_optimize('of both') \gset was_
drop trigger drop_first on sparse.object;
select :was_objects as recoded, parents('of both'), (select count(*) from sparse_verify('of both')) as problems;
-- Parts of another dtype are not put together: what they are is found whole only
create function model_of(dtype text, size int, names text[], data bytea[]) returns bytea language sql as $$
    select string_agg(substr(int8send(octet_length(h)), 9 - i, 1), '' order by i) || h || (select string_agg(d, '' order by o) from unnest(data) with ordinality x (d, o))
    from (select convert_to('{' || string_agg(format('"%s":{"dtype":"%s","shape":[%s,64],"data_offsets":[%s,%s]}', names[i], dtype, octet_length(data[i]) / size / 64, first, first + octet_length(data[i])), ',' order by i) || '}', 'UTF8') as h
          from generate_subscripts(data, 1) i, lateral (select coalesce(sum(octet_length(d)), 0)::int as first from unnest(data[:i - 1]) d) f) x,
         generate_series(1, 8) i group by h $$;
create function shortened(f32 bytea) returns bytea language sql as $$ select string_agg(substr(f32, i + 2, 2), '' order by i) from generate_series(1, octet_length(f32), 4) i $$;
create function lengthened(bf16 bytea) returns bytea language sql as $$ select string_agg('\x0000' || substr(bf16, i, 2), '' order by i) from generate_series(1, octet_length(bf16), 2) i $$;
create table part as select n, shortened(weights(n, 64)) as b from generate_series(51, 54) n;
select came_back from child('short', '{}', model_of('BF16', 2, '{p,q,s}', array[(select b from part where n = 51), (select b from part where n = 52), (select string_agg(b, '' order by n) from part where n > 52)]));
select * from child('long', '{short}', model_of('F32', 4, '{pq,r,whole}', array[(select lengthened(string_agg(b, '' order by n)) from part where n < 53), (select lengthened(b) from part where n = 54), (select lengthened(b) from part where n = 51)]));
-- Fused of which the first is the half or more: gate and up, grouped queries
select came_back from child('parts', '{}', model('{gate,up,q,k,v,bq,bk}', '{64,64,64,64,64,0,0}', array[weights(61, 64), weights(62, 64), weights(63, 128), weights(64, 32), weights(65, 32), weights(66, 4), weights(67, 2)]));
select came_back from child('fused halves', '{parts}', model('{gate_up,qkv,b}', '{64,64,0}', array[weights(61, 64) || weights(62, 64), weights(63, 128) || weights(64, 32) || weights(65, 32), weights(66, 4) || weights(67, 2)]));
select stored('fused halves');
-- Of several that are alike the nearest is taken
select came_back from child('alike', '{}', model('{p,q,r}', '{64,64,64}', array[weights(71, 64), weights(71, 64, 1), weights(71, 64, 2)]));
select came_back from child('nearest', '{alike}', model('{x}', '{64}', array[weights(71, 60, 1) || weights(72, 4)]));
select parents('nearest');
