-- What the chunks of a version need that a client lacks comes before them, where that takes fewer bytes:
-- factors, scales, levels; to whom they may be shown, and to nobody else.
\set VERBOSITY terse
set client_min_messages = warning;
drop role if exists regress_factors_bob;
create role regress_factors_bob;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
create function content(name text) returns bytea language sql as $$ select pg_read_binary_file(data_file(name)) $$;
create function as_delta(bytes bytea) returns sdelta language sql as $$
    select translate(encode(bytes, 'base64'), E'\n', '')::sdelta $$;
create function little(n bigint, bytes int) returns bytea language sql as $$
    select string_agg(substr(int8send(n), 9 - i, 1), '' order by i) from generate_series(1, bytes) i $$;
create function number_at(bytes bytea, place int, count int) returns bigint language sql as $$
    select sum(get_byte(bytes, place + i)::bigint << (8 * i))::bigint from generate_series(0, count - 1) i $$;

-- A delta decoded against all that its references name, in one piece: each becomes a parent of its own
create function decoded(delta sdelta, prediction bytea) returns bytea language plpgsql as $$
declare
    bytes bytea := sdelta_send(delta);
    width constant int[] := '{1,1,1,1,2,2,4,4,8,8,1,1,2,2,4,8}';
    parents bytea[] := '{}';
    at int := 1;
    place int;
    length int;
begin
    for i in 0 .. number_at(bytes, 4, 2)::int - 1 loop
        place := 48 + 24 * i;
        length := number_at(bytes, place + 16, 8) * width[1 + get_byte(bytes, place + 2)];
        parents := parents || substr(prediction, at, length);
        at := at + length;
        bytes := overlay(overlay(bytes placing little(i, 2) from place + 1) placing little(0, 8) from place + 9);
    end loop;
    if at <> octet_length(prediction) + 1 then raise exception 'the references are % bytes, not %', at - 1, octet_length(prediction); end if;
    return sdelta_apply(parents, as_delta(bytes));
end $$;

-- A client: it keeps a tape of what comes before chunks, and believes nothing
create function pulled(version text, have text[], held bytea[], path text default null, first bigint default 0, bytes bigint default null) returns bytea language plpgsql as $$
declare
    r record;
    tape bytea := '';
    piece bytea;
    file bytea := '';
begin
    for r in select * from sparse_delta_factors(version, have, path, first, bytes) loop
        select coalesce(string_agg(case when r.refs[i][1] = 0 then substr(tape, r.refs[i][3]::int + 1, r.refs[i][4]::int)
                                        else substr(held[r.refs[i][1]], r.refs[i][3]::int + 1, r.refs[i][4]::int) end, '' order by i), '')
        into piece from generate_subscripts(r.refs, 1) i;
        if r.encoding <> 'same' then piece := decoded(r.delta, piece); end if;
        if octet_length(piece) <> r.bytes or r.content_xxh3 <> ('x' || (sdelta_info(sdelta_encode(piece))).content_xxh3)::bit(64)::bigint then
            raise exception 'a row is not what it says';
        end if;
        if r.encoding <> 'factor' then
            file := file || piece;
        elsif r.file_offset = 0 then
            tape := piece;
        elsif r.file_offset = octet_length(tape) then
            tape := tape || piece;
        else
            raise exception 'the tape ends at %, not %', octet_length(tape), r.file_offset;
        end if;
    end loop;
    return file;
end $$;
create function is_right(version text, have text[] default '{}', held text[] default '{}') returns boolean language sql as $$
    select sha256(pulled(version, have, (select array_agg(content(h) order by n) from unnest(held) with ordinality x (h, n)))) = f.sha256
    from sparse_files(version) f $$;
-- bytes of deltas for each of content: before, and with what chunks need
create function takes(version text, have text[] default '{}', out anew numeric, out by_factors numeric, out factors bigint) language sql as $$
    select round((select sum(sdelta_bytes(delta)) from sparse_delta(version, have))::numeric / sum(bytes), 2),
           round((select sum(sdelta_bytes(delta)) from sparse_delta_factors(version, have))::numeric / sum(bytes), 2),
           (select count(distinct tensor) from sparse_delta_factors(version, have) where encoding = 'factor')
    from sparse_files(version) $$;
create function refusal(statement text) returns text language plpgsql as $$
declare state text; message text;
begin
    execute statement;
    return 'it was taken';
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text;
    return state || ' ' || message;
end $$;
-- all that a call tells, in one number
create function told(version text, have text[] default '{}') returns text language sql as $$
    select md5(string_agg(concat_ws('|', file, tensor, seq, file_offset, bytes, encoding, refs, delta, content_xxh3), E'\n'))
    from sparse_delta_factors(version, have) $$;

-- small chunks, so that there are some
set sparse.chunk_size = '64kB';
select sparse_import_file('base', data_file('mini-base')) as base \gset
select sparse_import_file('tuned', data_file('mini-finetune'), '{base}') as tuned \gset
select sparse_import_file('merged', data_file('mini-lora-merged'), '{base}') as merged \gset
select sparse_import_file('adapter', data_file('mini-lora-adapter')) as adapter \gset
select sparse_import_file('quantised', data_file('mini-base-int8'), '{base}') as quantised \gset
select sparse_import_file('pruned', data_file('mini-finetune-pruned'), '{tuned}') as pruned \gset
select sparse_approximate('tuned', 'svd', 8, name => 'svd') as svd \gset
select sparse_approximate('tuned', 'int8', name => 'int8') as int8 \gset
select sparse_approximate('tuned', 'bit1', name => 'bit1') as bit1 \gset

-- With its base at hand, a merged adapter that an import found, approximations, what was quantised by its own scales, and
-- what needs a version between the two
select v as version, t.*, is_right(v, '{base}', '{mini-base}') as right
from unnest(array['merged', 'svd', 'int8', 'bit1', 'quantised', 'pruned', 'tuned']) v, takes(v, '{base}') t;
-- Levels have a use without a base: coded alone, they are less than what they make
select v as version, t.*, is_right(v) as right from unnest(array['merged', 'svd', 'int8', 'bit1']) v, takes(v) t;
-- What the client holds is not sent; nor is anything where that would be more
select count(*) filter (where encoding = 'factor') as factors, count(*) filter (where encoding = 'same') > 0 as same from sparse_delta_factors('merged', '{base,adapter,merged}');
select t.*, is_right('merged', '{tuned}', '{mini-finetune}') as right from takes('merged', '{tuned}') t;

-- A range needs only what its chunks do, and is the same
create temporary table whole as select v as version, pulled(v, '{base}', array[content('mini-base')]) as bytes from unnest(array['merged', 'svd', 'int8', 'bit1']) v;
select w.version, count(*) as ranges, count(*) filter (where position(substr(w.bytes, first + 1, length) in p.bytes) = 0) as wrong, count(*) filter (where octet_length(p.bytes) > length + 300000) as too_long
from whole w, (values (0, 1), (8, 100), (1000000, 1), (1234567, 150000), (2000001, 777777), (3000000, 400000)) r (first, length),
     lateral (select pulled(w.version, '{base}', array[content('mini-base')], f.path, first, length) as bytes from sparse_files(w.version) f) p
group by w.version order by w.version;
-- not more of it than a bound
select bool_and(factors <= 64 * 1024 * 1024 + 4 * length) as within, max(factors) > 0 as some
from (values (1, 1), (1234567, 150000), (1, 4000000)) r (first, length),
     lateral (select coalesce(sum(bytes) filter (where encoding = 'factor'), 0) as factors from sparse_delta_factors('bit1', '{base}', (select path from sparse_files('bit1')), first, length)) p;
-- each stands before what refers to it, and no row of sparse_delta needs it
select count(*) from sparse_delta('svd', '{base}') where encoding = 'factor' or refs[1][1] = 0;

-- It is called like sparse_delta
select refusal($$select sparse_delta_factors('nothing')$$);
select refusal($$select sparse_delta_factors('svd', '{nothing}')$$);
select refusal($$select sparse_delta_factors('svd', first_byte => 5)$$);
select refusal($$select sparse_delta_factors('svd', path => 'x')$$);
select refusal($$select sparse_delta_factors(null::bigint)$$);
select count(*) > 0 as by_id from sparse_delta_factors(:svd);

-- What was worked out of a version is marked, and nothing else is
select v.name, count(*) filter (where p.made) as made, count(*) filter (where not p.made) as others
from sparse.version v join sparse.tensor t on t.version = v.id join sparse.object_parent p using (object)
group by v.id order by v.id;

-- ---- who may have what ----

drop schema sparse cascade;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
set sparse.chunk_size to default;
select sparse_import_file('base', data_file('mini-base')) as base \gset
select sparse_import_file('tuned', data_file('mini-finetune'), '{base}') as tuned \gset
select sparse_import_file('adapter', data_file('mini-lora-adapter')) as adapter \gset
select sparse_import_file('merged', data_file('mini-lora-merged'), '{base,adapter}') as merged \gset
select sparse_import_file('pruned', data_file('mini-finetune-pruned'), '{tuned}') as pruned \gset
select sparse_approximate('tuned', 'svd', 8, name => 'svd') as svd \gset
select sparse_approximate('tuned', 'int8', name => 'int8') as int8 \gset
grant usage on schema sparse to regress_factors_bob;
grant select on sparse.version to regress_factors_bob;
alter table sparse.version enable row level security;
create policy own on sparse.version for select using (metadata ->> 'bob' = 'yes');
create function show_bob(variadic names text[]) returns void language sql as $$
    update sparse.version set metadata = jsonb_build_object('bob', case when name = any (names) then 'yes' end) $$;
create function takes_bob(version text, have text[] default '{}') returns text language sql as $$
    select concat_ws(' ', (select round(sum(sdelta_bytes(delta)) / (select sum(bytes) from sparse_files(version)), 2) from sparse_delta_factors(version, have)),
                     (select count(distinct tensor) from sparse_delta_factors(version, have) where encoding = 'factor'),
                     told(version, have) = (select md5(string_agg(concat_ws('|', file, tensor, seq, file_offset, bytes, encoding, refs, delta, content_xxh3), E'\n')) from sparse_delta(version, have))) $$;

-- An adapter that was merged, of whose tensors the chunks are made, is sent to who can read it, and to nobody else; so are
-- tensors of a version in between. Bytes for each of the model; tensors that need something; whether it is all that sparse_delta tells
select show_bob('base', 'merged', 'adapter', 'tuned', 'pruned', 'svd');
set role regress_factors_bob;
select v as version, takes_bob(v, '{base}') from unnest(array['merged', 'pruned', 'svd']) v;
reset role;
select show_bob('base', 'merged', 'pruned', 'svd');
set role regress_factors_bob;
select v as version, takes_bob(v, '{base}') from unnest(array['merged', 'pruned', 'svd']) v;
select refusal($$select sparse_delta_factors('adapter')$$), refusal($$select sparse_delta_factors('merged', '{adapter}')$$), refusal(format('select sparse_delta_factors(%s)', :adapter));
-- Who cannot read the base is told nothing of the difference to it; levels, of which an approximation is made alone, are his
reset role;
select show_bob('merged', 'pruned', 'svd', 'int8');
select array['sha256:' || encode(sha256(content('mini-base')), 'hex')] as by_content \gset
set role regress_factors_bob;
select v as version, takes_bob(v) from unnest(array['merged', 'pruned', 'svd', 'int8']) v;
select refusal($$select sparse_delta_factors('svd', '{base}')$$);
select takes_bob('svd', :'by_content');
reset role;
select show_bob('base', 'svd');
set role regress_factors_bob;
select takes_bob('svd', :'by_content');
reset role;

-- That what was worked out of a version is also a tensor of somebody's does not show
create function framed(header text, data bytea) returns bytea language sql as $$
    select little(octet_length(convert_to(header, 'UTF8')), 8) || convert_to(header, 'UTF8') || data $$;
create temporary table factor as select row_number() over () as n, sdelta_apply('{}', delta) as bytes from sparse_delta_factors('svd', '{base}')
where encoding = 'factor' and tensor = 'model.layers.0.self_attn.q_proj.weight';
create temporary table model as
select framed(format('{"a":{"dtype":"I16","shape":[%s],"data_offsets":[0,%s]},"b":{"dtype":"I16","shape":[%s],"data_offsets":[%s,%s]}}',
                     octet_length(a.bytes) / 2, octet_length(a.bytes), octet_length(b.bytes) / 2, octet_length(a.bytes), octet_length(a.bytes) + octet_length(b.bytes)),
              a.bytes || b.bytes) as bytes
from factor a, factor b where a.n = 1 and b.n = 2;
select show_bob('base', 'svd');
set role regress_factors_bob;
select told('svd', '{base}') as before \gset
reset role;
select sparse_import_bytes('hidden', bytes) as hidden from model \gset
select count(*) as are_tensors_of_it from sparse.tensor t join sparse.object_parent p on p.parent = t.object where t.version = :hidden and p.made;
set role regress_factors_bob;
select told('svd', '{base}') = :'before' as the_same;
reset role;
-- nor where it was a tensor before
drop schema sparse cascade;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
select sparse_import_bytes('hidden', bytes) as hidden from model \gset
select sparse_import_file('base', data_file('mini-base')) as base \gset
select sparse_import_file('tuned', data_file('mini-finetune'), '{base}') as tuned \gset
select sparse_approximate('tuned', 'svd', 8, name => 'svd') as svd \gset
select count(*) as are_tensors_of_it from sparse.tensor t join sparse.object_parent p on p.parent = t.object where t.version = :hidden and p.made;
grant usage on schema sparse to regress_factors_bob;
grant select on sparse.version to regress_factors_bob;
alter table sparse.version enable row level security;
create policy own on sparse.version for select using (metadata ->> 'bob' = 'yes');
select show_bob('base', 'svd');
set role regress_factors_bob;
select told('svd', '{base}') = :'before' as the_same;
reset role;

drop schema sparse cascade;
drop owned by regress_factors_bob;
drop role regress_factors_bob;
