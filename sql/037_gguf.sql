-- GGUF files: tensors, and what lies between them, go in and come out byte for byte, over every road.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

create function little(n bigint, bytes int) returns bytea language sql as $$
    select string_agg(substr(int8send(n), 9 - i, 1), '' order by i) from generate_series(1, bytes) i $$;
create function text_of(t text) returns bytea language sql as $$
    select little(octet_length(convert_to(t, 'UTF8')), 8) || convert_to(t, 'UTF8') $$;
create function filled(bytes int, seed text) returns bytea language sql as $$
    select coalesce(substr(string_agg(sha256(convert_to(seed || i, 'UTF8')), '' order by i), 1, bytes), '')
    from generate_series(0, bytes / 32) i $$;
create function padding(bytes int, alignment int, byte bytea) returns bytea language sql as $$
    select coalesce(string_agg(byte, ''), '') from generate_series(1, (alignment - bytes % alignment) % alignment) $$;
-- A file of these tensors (name, innermost dimension, rows, type, bytes, content), padded with a byte, with a tail
create type made_tensor as (name text, inner_dimension int, n_rows int, type int, bytes int, seed text);
create function gguf(tensors made_tensor[], alignment int default 32, pad bytea default '\x00', tail bytea default '', format int default 3)
returns bytea language plpgsql as $$
declare t made_tensor; head bytea; data bytea := ''; named boolean := alignment <> 32;
begin
    head := 'GGUF'::bytea || little(format, 4) || little(cardinality(tensors), 8) || little(case when named then 2 else 1 end, 8)
        || text_of('general.architecture') || little(8, 4) || text_of('llama');
    if named then
        head := head || text_of('general.alignment') || little(4, 4) || little(alignment, 4);
    end if;
    foreach t in array tensors loop
        data := data || padding(octet_length(data), alignment, pad);
        head := head || text_of(t.name) || little(2, 4) || little(t.inner_dimension, 8) || little(t.n_rows, 8)
            || little(t.type, 4) || little(octet_length(data), 8);
        data := data || filled(t.bytes, t.seed);
    end loop;
    return head || padding(octet_length(head), alignment, '\x00') || data || tail;
end $$;
create function joined(version text, path text default 'model.gguf') returns bytea language sql as $$
    select string_agg(piece, '' order by n) from sparse_reconstruct_file(version, path) with ordinality as pieces (piece, n) $$;
create table made (name text primary key, content bytea);
insert into made values
    ('plain', gguf(array[('blk.0.attn_q.weight', 32, 2, 8, 68, 'a'), ('blk.0.attn_norm.weight', 4, 1, 0, 16, 'b')]::made_tensor[], tail => '\x')),
    ('padded', gguf(array[('a', 32, 2, 8, 68, 'a'), ('f', 3, 5, 1, 30, 'f'), ('b', 256, 3, 12, 432, 'k')]::made_tensor[], 64, '\x07', 'the tail')),
    ('second', gguf(array[('a', 32, 2, 8, 68, 'a'), ('f', 3, 5, 1, 30, 'g'), ('b', 256, 3, 12, 432, 'k')]::made_tensor[], 64, '\x07', 'a longer tail')),
    ('two', gguf(array[('a', 32, 2, 2, 36, 'a')]::made_tensor[], format => 2)),
    ('none', gguf('{}'));

-- What goes in comes out, and its tensors have the shapes of other formats and the names of ggml's types
select name, sparse_import_bytes(name, content) as version, joined(name) = content as same from made order by name;
select file, format, bytes, tensors from made, lateral (select path as file, format, bytes, (select count(*) from sparse.tensor t where t.version = f.version) as tensors
    from sparse.file f where f.version = sparse_version_id(name)) f order by made.name;
select name, dtype, shape, first_byte % 64 as aligned, bytes from sparse_tensors('padded');
select sparse_tensor('padded', 'b') = filled(432, 'k') as whole, sparse_slice('padded', 'b', 1, 1) = substr(filled(432, 'k'), 145, 144) as second_row;
select name, v.* from made left join lateral sparse_verify(name) v on true where v.problem is not null;
-- Any range of it is what stands there
select count(*) as wrong from made, generate_series(0, octet_length(content), 7) first, unnest(array[0, 1, 40, 2000]) length
where sparse_read(name, 'model.gguf', first, length) <> substr(content, first + 1, length);
-- Two versions share the tensors that are equal
select count(distinct t.object) as objects from sparse.tensor t where t.version in (sparse_version_id('padded'), sparse_version_id('second'));

-- Over the wire: the same is pulled, and what is pushed is stored the same
create function pulled(version text) returns bytea language sql as $$
    select string_agg(sdelta_apply('{}', delta), '' order by file_offset) from sparse_delta(version) $$;
select name, pulled(name) = content as same from made order by name;
create function literal(version text) returns bytea language sql as $$
    select string_agg(sparse_read(version, 'model.gguf', first, bytes), '' order by first) from (
        select lag(t.first_byte + t.bytes, 1, 0::bigint) over (order by t.first_byte) as first,
               t.first_byte - lag(t.first_byte + t.bytes, 1, 0::bigint) over (order by t.first_byte) as bytes
        from (select first_byte, bytes from sparse_tensors(version)
              union all select bytes, 0 from sparse_files(version)) t) l $$;
create function described(version text, content bytea) returns jsonb language sql as $$
    select jsonb_build_array(jsonb_build_object('path', 'model.gguf', 'size', octet_length(content), 'sha256', encode(sha256(content), 'hex'),
        'header', translate(encode(literal(version), 'base64'), E'\n', ''),
        'tensors', (select coalesce(jsonb_object_agg(name, encode(sha256, 'hex')), '{}') from sparse_tensors(version)))) $$;
create function push(name text, version text, content bytea) returns bigint language plpgsql as $$
declare id bigint := sparse_begin(name, described(version, content));
begin
    perform sparse_write(id, l.tensor, l.seq, substr(content, l.file_offset::int + 1, l.bytes::int), 'model.gguf')
    from (select * from sparse_layout(id) offset 0) l where l.wanted;
    return sparse_commit(id);
end $$;
select name, push(name || '-pushed', name, content) is not null as committed from made order by name;
select name, joined(name || '-pushed') = content as same, (select count(*) from sparse_verify(name || '-pushed')) as problems from made order by name;
-- A declaration whose literal is cut is refused
select sparse_begin('cut', jsonb_set(described('padded', content), '{0,header}', to_jsonb(translate(encode(substr(literal('padded'), 1, 200), 'base64'), E'\n', ''))))
from made where name = 'padded';

-- A malformed file is refused where its kind is asked for
create function refusal(data bytea) returns text language plpgsql as $$
declare detail text;
begin
    perform sparse_import_bytes('bad', data);
    return 'it was taken';
exception when invalid_binary_representation then
    get stacked diagnostics detail = pg_exception_detail;
    return sqlerrm || ': ' || detail;
end $$;
select refusal(substr(content, 1, octet_length(content) - 20)) from made where name = 'padded';
select refusal(gguf(array[('a', 33, 2, 8, 68, 'a')]::made_tensor[]));
select refusal(gguf(array[('a', 32, 2, 99, 68, 'a')]::made_tensor[]));
select refusal(gguf(array[('a', 32, 2, 8, 68, 'a')]::made_tensor[], format => 1));
-- Damage of the literal, and of what rows say, is found
begin;
update sparse.tensor set first_byte = first_byte + 1 where version = sparse_version_id('padded') and name = 'f';
select file, tensor, problem from sparse_verify('padded');
rollback;
begin;
update sparse.file set object = (select object from sparse.file where version = sparse_version_id('plain')) where version = sparse_version_id('padded');
select count(*) > 0 as found from sparse_verify('padded');
rollback;
drop schema sparse cascade;
drop extension sparse cascade;
