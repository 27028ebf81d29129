-- Files made to mislead the searches for predictors: they are stored, come back, and cost no more than they must to read.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
-- what each is predicted from is named
set sparse.find_parents = off;

create function le(x float4) returns bytea language sql immutable as $$
    select substr(b, 4, 1) || substr(b, 3, 1) || substr(b, 2, 1) || substr(b, 1, 1) from float4send(x) b $$;
create function le(x float8) returns bytea language sql immutable as $$
    select string_agg(substr(b, i, 1), '' order by i desc) from float8send(x) b, generate_series(1, 8) i $$;
create function framed(header text, data bytea) returns bytea language sql as $$
    select string_agg(substr(n, i, 1), '' order by i desc) || convert_to(header, 'UTF8') || data
    from int8send(octet_length(convert_to(header, 'UTF8'))) n, generate_series(1, 8) i $$;
-- one tensor of a dtype, one after another: {dtype, name, ...}
create function model(tensors text[], variadic data bytea[]) returns bytea language sql as $$
    select framed('{' || string_agg(format('"%s":{"dtype":"%s","shape":[%s],"data_offsets":[%s,%s]}', tensors[2 * i], tensors[2 * i - 1],
                                    octet_length(data[i]) / case when tensors[2 * i - 1] like '%64' then 8 when tensors[2 * i - 1] like '%32' then 4
                                                                 when tensors[2 * i - 1] like '%16' then 2 else 1 end,
                                    first, first + octet_length(data[i])), ',' order by i) || '}',
                  (select string_agg(d, '' order by o) from unnest(data) with ordinality x (d, o)))
    from generate_subscripts(data, 1) i, lateral (select coalesce(sum(octet_length(d)), 0)::int as first from unnest(data[:i - 1]) d) f $$;
-- imports it and says whether it came back, and how its tensors were predicted
create function child(name text, parents text[], data bytea, out came_back boolean, out predictors text) language plpgsql as $$
declare new_id bigint;
begin
    new_id := sparse_import_bytes(name, data, parents);
    came_back := (select string_agg(p, '' order by n) = data from sparse_reconstruct(new_id) with ordinality r (p, n));
    predictors := (select string_agg(t.name || ' ' || predictor, ', ' order by t.name) from sparse_tensors(new_id) t);
end $$;
create table w as select i, ((hashint4(i) % 1000) / 997.0)::float4 as x, ((hashint4(i + 100000) % 1000) / 991.0)::float4 as y from generate_series(0, 4095) i;
create function floats(sql text) returns bytea language plpgsql as $$
declare b bytea;
begin
    execute 'select string_agg(le(v), '''' order by i) from (' || sql || ') x (i, v)' into b;
    return b;
end $$;

-- Zero points of a dtype that formulas cannot use
create function int8s() returns bytea language sql as $$
    select string_agg(set_byte('\x00', 0, (round((x * 127)::numeric)::int) & 255), '' order by i) from w $$;
select came_back from child('f', '{}', model('{F32,m.weight}', floats('select i, x from w')));
select * from child('zeros', '{f}', model('{I8,m.weight,F32,m.weight_scale,I64,m.weight_zero_point}', int8s(), le((1 / 127.0)::float4), '\x0000000000000000'));

-- Equal bytes are one object, whose dtype is that of whoever brought it first
create function bf16s() returns bytea language sql as $$ select string_agg(substr(le(x), 3, 2), '' order by i) from w $$;
select came_back from child('as-f16', '{}', model('{F16,m.weight}', bf16s()));
select came_back from child('as-bf16', '{}', model('{BF16,m.weight}', bf16s()));
select * from child('wider', '{as-bf16}', model('{F32,m.weight}', (select string_agg('\x0000' || substr(le(x), 3, 2), '' order by i) from w)));
select came_back from child('as-i8', '{}', model('{I8,m.weight}', substr(bf16s(), 1, 4096)));
select came_back from child('as-e4m3', '{as-i8}', model('{F8_E4M3,m.weight,F32,m.weight_scale}', substr(bf16s(), 1, 4096), le(1::float4)));

-- A tensor that has its own scales' content, and scales that have scales
select * from child('self', '{f}', model('{F8_E4M3,m.weight,F8_E4M3,m.weight_scale}', substr(int8s(), 3) || '\x0203', substr(int8s(), 3) || '\x0203'));
select came_back from child('circle', '{f}', model('{F8_E4M3,m.weight,F8_E4M3,m.weight_scale,F8_E4M3,m.weight_scale_scale}',
    int8s(), substr(int8s(), 2) || '\x00', substr(int8s(), 3) || '\x0001'));

-- Sums in which some elements are infinite or none, and of 64-bit floats
select came_back from child('y', '{}', model('{F32,m.weight}', floats('select i, case i % 400 when 7 then ''infinity'' when 8 then ''nan'' else y end::float4 from w')));
select * from child('sum', '{f,y}', model('{F32,m.weight}', floats('select i, case when i % 400 in (7, 8) then 0 else x::float8 * 0.25 + y::float8 * 0.75 end::float4 from w')));
select came_back from child('f64', '{}', model('{F64,m.weight}', floats('select i, x::float8 / 3 from w')));
select came_back from child('y64', '{}', model('{F64,m.weight}', floats('select i, y::float8 / 7 from w')));
select * from child('sum64', '{f64,y64}', model('{F64,m.weight}', floats('select i, 0.25::float8 * (x::float8 / 3) + 0.75::float8 * (y::float8 / 7) from w')));

-- Merges of merges of merges: with each generation one more, but the chunks that must be decoded for one are bounded
create table generation as select 0 as g, i, x as a, y as b from w;
do $$
begin
    perform sparse_import_bytes('a0', model('{F32,m.weight}', floats('select i, a from generation')));
    perform sparse_import_bytes('b0', model('{F32,m.weight}', floats('select i, b from generation')));
    for k in 1 .. 7 loop
        insert into generation select k, i, (a::float8 * 0.5 + b::float8 * 0.5)::float4, (a::float8 * 0.25 + b::float8 * 0.75)::float4 from generation where g = k - 1;
        perform sparse_import_bytes('a' || k, model('{F32,m.weight}', floats('select i, a from generation where g = ' || k)), array['a' || k - 1, 'b' || k - 1]);
        perform sparse_import_bytes('b' || k, model('{F32,m.weight}', floats('select i, b from generation where g = ' || k)), array['a' || k - 1, 'b' || k - 1]);
    end loop;
end $$;
with recursive decoded as (
    select t.version, t.object from sparse.tensor t join sparse.version v on v.id = t.version where v.name ~ '^[ab][0-7]$'
    union all
    select d.version, p.parent from decoded d join sparse.object_parent p on p.object = d.object)
select max(n) > 10 as merges_of_merges, max(n) <= 40 as bounded from (select count(*) as n from decoded group by version) x;
select bool_and(problems = 0) as verified from (select (select count(*) from sparse_verify(v.id)) as problems from sparse.version v) x;
