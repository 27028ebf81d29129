-- Models over the wire: what is pushed by chunks and deltas is what is pulled, nothing
-- that was not checked becomes ready, and what is wrong is said.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
create function content(name text) returns bytea language sql as $$ select pg_read_binary_file(data_file(name)) $$;
create function framed(header text, data bytea default '') returns bytea language sql as $$
    select string_agg(substr(n, i, 1), '' order by i desc) || convert_to(header, 'UTF8') || data
    from int8send(octet_length(convert_to(header, 'UTF8'))) n, generate_series(1, 8) i $$;
create function joined(version text, path text default 'model.safetensors') returns bytea language sql as $$
    select string_agg(piece, '' order by n)
    from sparse_reconstruct_file(version, path) with ordinality as pieces (piece, n) $$;

-- What a client says of a safetensors file, and of any other
create function header_bytes(data bytea) returns int language sql as $$
    select 8 + sum(get_byte(data, i) * 256 ^ i)::int from generate_series(0, 3) i $$;
create function described(data bytea, path text default 'model.safetensors') returns jsonb language sql as $$
    select jsonb_build_object('path', path, 'size', octet_length(data), 'sha256', encode(sha256(data), 'hex'),
        'header', translate(encode(substr(data, 1, h), 'base64'), E'\n', ''),
        'tensors', (select coalesce(jsonb_object_agg(key, encode(sha256(substr(data, h + 1 + (value #>> '{data_offsets,0}')::int,
                        (value #>> '{data_offsets,1}')::int - (value #>> '{data_offsets,0}')::int)), 'hex')), '{}')
                    from json_each(convert_from(substr(data, 9, h - 8), 'UTF8')::json) where key <> '__metadata__'))
    from header_bytes(data) h $$;
create function described_bytes(data bytea, path text) returns jsonb language sql as $$
    select jsonb_build_object('path', path, 'size', octet_length(data), 'sha256', encode(sha256(data), 'hex')) $$;

-- A delta's bytes are those of its base64. Bound: it says of which content it is which piece
create function as_delta(bytes bytea) returns sdelta language sql as $$
    select translate(encode(bytes, 'base64'), E'\n', '')::sdelta $$;
create function little(n bigint, bytes int) returns bytea language sql as $$
    select string_agg(substr(int8send(n), 9 - i, 1), '' order by i) from generate_series(1, bytes) i $$;
create function bound(delta sdelta, seq int, sha256 bytea, first bigint default 0) returns sdelta language sql as $$
    select as_delta(case when get_byte(d, 4) = 0 then d else overlay(d placing little(first, 8) from 57) end)
    from (select overlay(overlay(sdelta_send(delta) placing little(seq, 4) from 37) placing substr(sha256, 1, 8) from 41) as d) x $$;
-- Its reference, to bytes that were cut out
create function rebased(delta sdelta) returns sdelta language sql as $$
    select as_delta(overlay(sdelta_send(delta) placing '\x0000000000000000' from 57)) $$;
-- What refs name in the files that a client holds, by element
create function cut(refs bigint[], have bytea[]) returns bytea language sql as $$
    select coalesce(string_agg(substr(have[refs[i][1]], refs[i][3]::int + 1, refs[i][4]::int), '' order by i), '')
    from generate_subscripts(refs, 1) i $$;

-- A client without the codec: it sends contents
create function send_contents(id bigint, path text, data bytea) returns bigint language sql as $$
    select count(*) from (
        select sparse_write(id, l.tensor, l.seq, substr(data, l.file_offset::int + 1, l.bytes::int), path)
        from sparse_layout(id) l where l.wanted and l.file = path offset 0) x $$;
create function dtype_of(id bigint, name text) returns text language sql as $$
    select coalesce((select dtype from sparse.tensor t where t.version = $1 and t.name = $2), 'BYTES') $$;
-- One with it: it sends deltas against what it has
create function send_deltas(id bigint, path text, data bytea, have text[], held bytea[]) returns bigint language sql as $$
    select count(*) from (
        select sparse_write_delta(id, l.tensor, l.seq, bound(
                   sdelta_encode(substr(data, l.file_offset::int + 1, l.bytes::int),
                                 case when l.refs is null then '{}' else array[cut(l.refs, held)] end, t.dtype),
                   l.seq, t.sha256, l.refs[1][3] / t.unit - t.first / t.unit), path)
        from sparse_layout(id, have) l
        cross join lateral (select dtype_of(id, l.tensor), case dtype_of(id, l.tensor) when 'BYTES' then 1 when 'U8' then 1 when 'F32' then 4 else 2 end,
                       decode(coalesce(d.described #>> array['tensors', l.tensor], d.described ->> 'sha256'), 'hex'),
                       coalesce((select p.first_byte from sparse.tensor p, sparse.version v where p.version = v.id and v.id::text = have[l.refs[1][1]] and p.name = l.tensor), 0)
                     from (select case when l.tensor is null then described_bytes(data, path) else described(data, path) end as described) d) t (dtype, unit, sha256, first)
        where l.wanted and l.file = path offset 0) x $$;
-- And what a client makes of sparse_delta
create function pulled(version text, have text[] default '{}', held bytea[] default '{}', path text default null) returns bytea language sql as $$
    select string_agg(case when encoding = 'same' then cut(refs, held)
                           when refs is null then sdelta_apply('{}', delta)
                           else cut(refs, held) + rebased(delta) end, '' order by file_offset)
    from sparse_delta(version, have, path) $$;

create function push(name text, data bytea, parents text[] default '{}') returns bigint language plpgsql as $$
declare id bigint := sparse_begin(name, jsonb_build_array(described(data)), parents);
begin
    perform send_contents(id, 'model.safetensors', data);
    return sparse_commit(id);
end $$;
create function is_file(version text, name text) returns boolean language sql as $$
    select sha256(joined(version)) = sha256(content(name)) $$;
create function digest(version text, have text[] default '{}', held bytea[] default '{}') returns bytea language sql as $$
    select sha256(pulled(version, have, held)) $$;
-- what an error says, with its detail
create function refusal(statement text) returns text language plpgsql as $$
declare state text; message text; detail text;
begin
    execute statement;
    return 'it was taken';
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail;
    return concat_ws(' / ', state, message, nullif(detail, ''));
end $$;
-- small chunks, so that there are some
set sparse.chunk_size = '64kB';

select sparse_format();

-- A base, pushed as contents by a client without the codec, comes back byte for byte
select sparse_begin('base', jsonb_build_array(described(content('mini-base')))) as base \gset
select count(*) as chunks, count(*) filter (where wanted) as wanted, count(refs) as predicted, sum(bytes) as bytes, min(file_offset) as first from sparse_layout(:base);
select sum(bytes) = max(file_offset + bytes) - min(file_offset) as without_gaps, bool_and(file_offset = before) as in_order
from (select *, coalesce(lag(file_offset + bytes) over (order by file_offset), header_bytes(content('mini-base'))) as before from sparse_layout(:base)) l;
select send_contents(:base, 'model.safetensors', content('mini-base')) as chunks_sent;
select count(*) filter (where wanted) as wanted from sparse_layout(:base);
-- It cannot be read before it is committed, nor be named as a parent or as what one has
select refusal($$select sparse_reconstruct('base')$$);
select refusal($$select sparse_delta('base')$$);
select refusal($$select sparse_import_bytes('x', content('mini-finetune'), '{base}')$$);
select refusal($$select sparse_delta('base', '{base}')$$);
select count(*) from sparse_find_file(sha256(content('mini-base')));
select sparse_commit(:base) = :base as committed;
select is_file('base', 'mini-base'), (select count(*) from sparse_verify('base')) as problems;
select state, files, tensors, raw_bytes, unique_file_bytes, new_objects, new_bytes, stored_bytes = (select sum(sdelta_bytes(delta)) from sparse.chunk) as stored from sparse.version;
select count(*) as uploads, (select count(*) from sparse.staged) as staged, (select count(*) from sparse.object where sha256 is null) as unnamed from sparse.upload;
-- What was committed is the same as what an import stores, but for the chunks' coding
select sparse_import_bytes('base', content('mini-base')) = :base as same;
-- Committing again, and writing by a client that has not heard of it, do nothing
select sparse_commit(:base) = :base as again, sparse_write(:base, 'model.norm.weight', 0, 'whatever') is not null as written;
select count(*) filter (where wanted) as wanted from sparse_layout(:base);
select sparse_begin('base', jsonb_build_array(described(content('mini-base')))) = :base as begun_again;

-- A fine-tune as deltas against what the client has: only they travel, and they are stored as they came
select sparse_begin('tuned', jsonb_build_array(described(content('mini-finetune'))), '{base}', have => '{base}') as tuned \gset
select count(*) as chunks, count(*) filter (where wanted) as wanted, count(*) filter (where wanted and refs is null) as unpredicted from sparse_layout(:tuned, '{base}');
-- the layout shows no prediction to those who do not have it
select count(refs) from sparse_layout(:tuned);
select count(*) filter (where wanted) as wanted, count(refs) from sparse_layout(:tuned, array['sha256:' || repeat('0', 64), 'sha256:' || encode(sha256(content('mini-base')), 'hex')]);
select distinct refs[1][1] as element, refs[1][2] as file from sparse_layout(:tuned, array['sha256:' || repeat('0', 64), 'sha256:' || encode(sha256(content('mini-base')), 'hex')]) where refs is not null;
select send_deltas(:tuned, 'model.safetensors', content('mini-finetune'), array[:'base'], array[content('mini-base')]) as chunks_sent;
select sparse_commit(:tuned) = :tuned as committed;
select is_file('tuned', 'mini-finetune'), (select count(*) from sparse_verify('tuned')) as problems;
select stored_bytes < raw_bytes * 0.3 as small from sparse.version where id = :tuned;
select predictor, depth, count(*) from sparse_tensors('tuned') group by 1, 2 order by 2, 1;

-- What is pulled is the file, whatever the client has
select digest('base') = sha256(content('mini-base')) as base, digest('tuned') = sha256(content('mini-finetune')) as tuned;
select digest('tuned', '{base}', array[content('mini-base')]) = sha256(content('mini-finetune')) as has_parent;
select digest('tuned', '{tuned}', array[content('mini-finetune')]) = sha256(content('mini-finetune')) as has_itself;
select digest('base', '{tuned}', array[content('mini-finetune')]) = sha256(content('mini-base')) as has_child;
select digest('tuned', array['sha256:' || encode(sha256(content('mini-base')), 'hex')], array[content('mini-base')]) = sha256(content('mini-finetune')) as by_content;
select digest('tuned', array['sha256:' || repeat('ab', 32)]) = sha256(content('mini-finetune')) as unknown_content;
select encoding, refs is null as alone, sum(bytes) as bytes, round(sum(sdelta_bytes(delta))::numeric / sum(bytes), 1) as fraction from sparse_delta('tuned') group by 1, 2 order by 1, 2;
select encoding, refs is null as alone, sum(bytes) as bytes, round(sum(sdelta_bytes(delta))::numeric / sum(bytes), 1) as fraction from sparse_delta('tuned', '{base}') group by 1, 2 order by 1, 2;
select encoding, refs is null as alone, sum(bytes) as bytes, round(sum(sdelta_bytes(delta))::numeric / sum(bytes), 1) as fraction from sparse_delta('base', '{tuned}') group by 1, 2 order by 1, 2;
-- Without gaps, in order, checksums as in the deltas
select bool_and(file_offset = before) as in_order, bool_and(delta is null or lpad(to_hex(content_xxh3), 16, '0') = (sdelta_info(delta)).content_xxh3) as checksums
from (select *, coalesce(lag(file_offset + bytes) over (), 0) as before from sparse_delta('tuned', '{base}')) d;
-- A range of a file: the chunks that hold any of it
select min(file_offset) <= 100000 and max(file_offset + bytes) >= 300000 as covers, min(file_offset + bytes) > 100000 and max(file_offset) < 300000 as no_more
from sparse_delta('tuned', '{}', 'model.safetensors', 100000, 200000);
select count(*) from sparse_delta('tuned', '{}', 'model.safetensors', 100000, 0);
select count(*) from sparse_delta('tuned', '{}', 'model.safetensors', 1000000000, 10);
select count(*), max(file_offset + bytes) = octet_length(content('mini-finetune')) as to_the_end from sparse_delta('tuned', '{}', 'model.safetensors', octet_length(content('mini-finetune')) - 1);
select count(*) = (select count(*) from sparse_delta('tuned')) as all from sparse_delta('tuned', null, null, null, null);
-- Rows do not depend on when they are asked for
select digest('tuned') = sha256(string_agg(sdelta_apply('{}', delta), '' order by file_offset)) as in_parts
from (select distinct on (file_offset) file_offset, delta from generate_series(0, 4400000, 50000) at, lateral sparse_delta('tuned', '{}', 'model.safetensors', at, 50000)) d;

-- Deltas of a client that has nothing are coded again against the parent, and smaller for it
select sparse_begin('tuned/alone', jsonb_build_array(described(content('mini-finetune-strong'))), '{base}') as alone \gset
select send_deltas(:alone, 'model.safetensors', content('mini-finetune-strong'), '{}'::text[], '{}'::bytea[]) as chunks_sent;
select sparse_commit(:alone) = :alone as committed, is_file('tuned/alone', 'mini-finetune-strong');
select predictor, depth, count(*), sum(stored_bytes) < 0.4 * sum(bytes) as small from sparse_tensors('tuned/alone') group by 1, 2 order by 2, 1;
-- so are contents
select push('tuned/contents', content('mini-finetune-light'), '{base}') is not null as committed, is_file('tuned/contents', 'mini-finetune-light');
select max(depth), sum(stored_bytes) < 0.2 * sum(bytes) as small from sparse_tensors('tuned/contents');
-- A chain that would become too long is stored against the parent's parent, whatever the client has
set sparse.max_chain_depth = 1;
select sparse_begin('chain', jsonb_build_array(described(content('mini-chain-1'))), '{tuned}', have => '{tuned}') as chain \gset
select count(refs) > 10 as predicted from sparse_layout(:chain, '{tuned}');
select send_deltas(:chain, 'model.safetensors', content('mini-chain-1'), array[:'tuned'], array[content('mini-finetune')]) > 10 as sent;
select sparse_commit(:chain) = :chain as committed, is_file('chain', 'mini-chain-1');
select max(depth) as depth from sparse_tensors('chain');
reset sparse.max_chain_depth;
-- A tensor that grew, one that shrank
select sparse_begin('grown', jsonb_build_array(described(content('mini-longer-vocabulary'))), '{base}', have => '{base}') as grown \gset
select count(*) filter (where wanted and refs is null) > 0 as new_rows, count(refs) > 10 as old_rows from sparse_layout(:grown, '{base}');
select send_deltas(:grown, 'model.safetensors', content('mini-longer-vocabulary'), array[:'base'], array[content('mini-base')]) > 10 as sent;
select sparse_commit(:grown) = :grown as committed, is_file('grown', 'mini-longer-vocabulary');
select push('shrunk', content('mini-base'), '{grown}') > 0 as known_content;
select digest('grown', '{base}', array[content('mini-base')]) = sha256(content('mini-longer-vocabulary')) as pulled,
       digest('base', '{grown}', array[content('mini-longer-vocabulary')]) = sha256(content('mini-base')) as shrunk;
-- Other dtypes: a parent of another one predicts nothing
select push('fp16', content('mini-base-fp16'), '{base}') > 0 as fp16, push('int8', content('mini-base-int8'), '{base,fp16}') > 0 as int8, push('fp32', content('mini-finetune-fp32'), '{base}') > 0 as fp32;
select v, is_file(v, f), digest(v) = sha256(content(f)) as pulled, digest(v, '{base}', array[content('mini-base')]) = sha256(content(f)) as with_base
from (values ('fp16', 'mini-base-fp16'), ('int8', 'mini-base-int8'), ('fp32', 'mini-finetune-fp32')) x (v, f);

-- A folder: shards, plain files, an empty one, equal tensors, empty tensors
create table part (path text primary key, data bytea, tensors boolean);
insert into part values
    ('a.safetensors', framed('{"x":{"dtype":"U8","shape":[70000],"data_offsets":[0,70000]},"none":{"dtype":"F32","shape":[0],"data_offsets":[70000,70000]}}', decode(repeat('01', 70000), 'hex')), true),
    ('b/b.safetensors', framed('{"x":{"dtype":"U8","shape":[70000],"data_offsets":[0,70000]},"y":{"dtype":"I16","shape":[2],"data_offsets":[70000,70004]}}   ', decode(repeat('01', 70000) || '0a0b0c0d', 'hex')), true),
    ('config.json', convert_to('{"architectures": ["LlamaForCausalLM"], "hidden_size": 384, "torch_dtype": "bfloat16"}', 'UTF8'), false),
    ('empty', '', false),
    ('tokenizer.json', convert_to((select string_agg('"token' || i || '": ' || i, ', ') from generate_series(1, 9000) i), 'UTF8'), false),
    ('without.safetensors', 'no header is given', false);
create function described_parts() returns jsonb language sql as $$
    select jsonb_agg(case when tensors then described(data, path) else described_bytes(data, path) end) from part $$;
create function send_parts(id bigint) returns numeric language sql as $$
    select sum(send_contents(id, path, data)) from part $$;
select sparse_begin('folder', described_parts(), metadata => '{"k": 1}') as folder \gset
select file, tensor, seq, bytes, wanted from sparse_layout(:folder) order by file collate "C", file_offset;
-- the name of a tensor alone may not say which is meant
select refusal(format('select sparse_write(%s, %L, 0, %L)', :folder, 'x', '\x01'));
select refusal(format('select sparse_write(%s, null, 0, %L)', :folder, '\x01'));
select refusal(format('select sparse_write(%s, null, 0, %L, %L)', :folder, '\x01', 'a.safetensors'));
select send_parts(:folder);
select sparse_commit(:folder) = :folder as committed;
select count(*) as problems from sparse_verify(:folder);
select path, f.format, f.tensors, joined('folder', path) is not distinct from data as equal, coalesce(pulled('folder', path => path), '') = data as pulled from part join sparse_files('folder') f using (path) order by path collate "C";
select metadata, files, tensors, new_objects from sparse.version where name = 'folder';
-- its next version, of which little changed: files are predicted from those of the same path
update part set data = replace(encode(data, 'escape'), 'token77', 'tokens77')::bytea where path = 'tokenizer.json';
select sparse_begin('folder', described_parts(), '{folder}', have => '{folder}') as folder2 \gset
select file, tensor, seq, wanted, refs from sparse_layout(:folder2, '{folder}') order by file collate "C", file_offset;
select send_deltas(:folder2, path, data, array[:'folder'], (select array[null, null, null, null, x.data, null] from part x where path = 'config.json')) from part where path = 'config.json';
select refusal(format('select sparse_commit(%s)', :folder2));
select send_parts(:folder2);
select sparse_commit(:folder2) = :folder2 as committed;
select joined('folder', 'tokenizer.json') = data as equal from part where path = 'tokenizer.json';
-- also as deltas, for which they serve as a dictionary
update part set data = replace(encode(data, 'escape'), 'token78', 'tokens78')::bytea where path = 'tokenizer.json' returning 1 as changed;
select sparse_begin('folder', described_parts(), '{folder}', have => '{folder}') as folder3 \gset
select send_deltas(:folder3, path, data, array[:'folder2'], array[joined('folder@2', path)]) from part where path = 'tokenizer.json';
select sparse_commit(:folder3) = :folder3 as committed;
select joined('folder', path) = data as equal, pulled('folder', array[:'folder2'], array[joined('folder@2', path)], path) = data as pulled from part where path = 'tokenizer.json';
select encoding, refs, sdelta_bytes(delta) < 1500 as small from sparse_delta('folder', '{folder@2}', 'tokenizer.json');
select new_objects, stored_bytes < 3000 as small, parent, role from sparse.version join sparse.parent on child = id where name = 'folder' and revision = 2;

-- ---- begin: what is known, what goes on, what is refused ----

-- The same content under another name is known: nothing is wanted, and it is checked all the same
select sparse_begin('copy', jsonb_build_array(described(content('mini-base')))) as copy \gset
select count(*) filter (where wanted) as wanted from sparse_layout(:copy);
select sparse_commit(:copy) = :copy as committed, is_file('copy', 'mini-base');
select new_objects, unique_file_bytes from sparse.version where id = :copy;
-- Begun again, it is the same open version; with anything else it is another one
create table declared as select jsonb_build_array(described(content('mini-chain-2'))) as files;
select sparse_begin('again', files) as again from declared \gset
select sparse_begin('again', files) = :again as same, sparse_begin('again', files, have => '{base}') = :again as whatever_it_has from declared;
select sparse_begin('again', files, '{base}') <> :again as other_parents, sparse_begin('again', files, metadata => '{"k": 1}') <> :again as other_metadata,
       sparse_begin('again', files, '{base}', '{merge}') <> sparse_begin('again', files, '{base}') as other_roles, sparse_begin('another', files) <> :again as other_name from declared;
select name, revision, state from sparse.version where name like 'a%' and state = 'open' order by 1, 2;
-- Of several that are under way the first to be committed is the version, and the others' commit gives its id
select send_contents(:again, 'model.safetensors', content('mini-chain-2')) > 10 as sent, sparse_commit(:again) = :again as committed;
select sparse_commit(id) = :again as the_first from sparse.version where name = 'again' and state = 'open';
select count(*) from sparse.version where name = 'again';
select sparse_begin('again', files) = :again as ready from declared;
-- Nothing is left of what was given up
select sparse_abort(id) is not null as given_up from sparse.version where name = 'another';
select count(*) as uploads, (select count(*) from sparse.staged) as staged, (select count(*) from sparse.object where sha256 is null) as unnamed,
       (select count(*) from sparse.version where state = 'open') as open from sparse.upload;
select refusal(format('select sparse_abort(%s)', :again)) ~ '55000 / version .* is ready' as ready_is_not_given_up;

-- What is said of the files must hold together
create function begin_refusal(files jsonb, name text default 'bad') returns text language plpgsql as $$
begin
    return refusal(format('select sparse_begin(%L, %L)', name, files));
end $$;
create table good as select described(content('mini-base')) as file;
select begin_refusal('[]'), begin_refusal('{}'), begin_refusal('1'), begin_refusal('[1]');
select key, begin_refusal(jsonb_build_array(file - key)) from good, unnest(array['path', 'size', 'sha256', 'tensors', 'header']) key;
select begin_refusal(jsonb_build_array(file || value)) from good, (values
    ('{"path": 1}'::jsonb), ('{"path": ""}'), ('{"path": "/etc/passwd"}'), ('{"path": "../x"}'), ('{"path": "a//b"}'), ('{"size": -1}'), ('{"size": 1.5}'), ('{"size": "1"}'), ('{"size": 1e30}'), ('{"size": 9223372036854775808}'),
    ('{"size": 100}'), ('{"sha256": "00"}'), ('{"sha256": null}'), ('{"header": 1}'), ('{"header": "!"}'), ('{"header": ""}'), ('{"header": "AAAAAAAAAAA="}'), ('{"tensors": {}}'), ('{"tensors": []}'), ('{"unknown": 1}')) x (value);
select begin_refusal(jsonb_build_array(jsonb_set(file, '{tensors,model.norm.weight}', '"xyz"'))), begin_refusal(jsonb_build_array(jsonb_set(file #- '{tensors,model.norm.weight}', '{tensors,other}', to_jsonb(repeat('0', 64))))) from good;
select begin_refusal(jsonb_build_array(file || jsonb_build_object('header', (file ->> 'header') || 'AAAA'))) ~ 'not a valid safetensors file' as longer from good;
select begin_refusal(jsonb_build_array(file, file)) from good;
select begin_refusal(jsonb_build_array(described_bytes('x', 'a'), described_bytes('y', 'a-b'), described_bytes('z', 'a/b/c')));
select begin_refusal(jsonb_build_array(jsonb_set(file, '{tensors,model.norm.weight}', file #> '{tensors,model.embed_tokens.weight}'))) from good;
select begin_refusal(jsonb_build_array(described_bytes('', 'a') || '{"size": 9223372036854775807}')), begin_refusal(jsonb_build_array(described_bytes('', 'a') || '{"size": 1000000000000000}', described_bytes('', 'b') || '{"size": 9223372036854775807}'));
select begin_refusal(jsonb_build_array(described_bytes('x', 'a')), '7'), refusal($$select sparse_begin(null, '[]')$$), refusal($$select sparse_begin('x', null)$$);
select refusal($$select sparse_begin('x', '[]', '{no such}')$$), refusal($$select sparse_begin('x', '[]', have => '{no such}')$$), refusal($$select sparse_begin('x', '[]', have => '{sha256:xyz}')$$), refusal($$select sparse_begin('x', '[]', have => array[null])$$);
select count(*) as nothing_was_opened from sparse.version where state = 'open';

-- ---- write: what does not fit is refused ----

select sparse_begin('w', jsonb_build_array(described(content('mini-finetune-strong') || '')), '{tuned}') is not null as known_content;
create table model as select set_byte(content('mini-finetune-strong'), octet_length(content('mini-finetune-strong')) - 1, 77) as data;
select sparse_begin('w', jsonb_build_array(described(data)), '{base}', have => '{base}') as w from model \gset
create view wanted as select l.*, substr(m.data, l.file_offset::int + 1, l.bytes::int) as content from sparse_layout((select max(id) from sparse.version), '{base}') l, model m where wanted;
select count(*) as wanted, max(tensor) as tensor, max(octet_length(content)) as bytes from wanted;
select refusal(format('select sparse_write(%s, %L, %s, content) from wanted limit 1', v, t, s)) from (values
    (:w, 'model.norm.weight', 1), (:w, 'model.norm.weight', -1), (:w, 'no such', 0), (:w, 'model.layers.0.mlp.up_proj.weight', 2147483647), (99999, 'model.norm.weight', 0)) x (v, t, s);
select refusal(format('select sparse_write(%s, tensor, seq, substr(content, 2)) from wanted', :w)), refusal(format('select sparse_write(%s, tensor, seq, content || content) from wanted', :w)), refusal(format('select sparse_write(%s, tensor, seq, %L) from wanted', :w, ''));
select refusal(format('select sparse_write(%s, null, 0, %L)', :w, '')), refusal(format('select sparse_write(%s, tensor, null, content) from wanted', :w)), refusal(format('select sparse_write(%s, tensor, seq, null) from wanted', :w)),
       refusal(format('select sparse_write(null::bigint, tensor, seq, content) from wanted')), refusal(format('select sparse_write(%s, tensor, seq, content, %L) from wanted', :w, 'other'));
create function wanted_sha() returns bytea language sql as $$ select decode(described(data) #>> array['tensors', tensor], 'hex') from model, wanted limit 1 $$;
select tensor, bytes, seq from wanted;
create table sent as select w.tensor, content, seq, cut(refs, array[content('mini-base')]) as prediction, (refs[1][3] - t.first_byte) / 2 as first, wanted_sha() as sha
from wanted w, sparse_tensors('base') t where t.name = w.tensor;
create function try_delta(version bigint, delta sdelta) returns text language sql as $$
    select refusal(format('select sparse_write_delta(%s, %L, %s, %L)', version, tensor, seq, delta)) from sent $$;
select try_delta(:w, sdelta_encode(content, array[prediction], 'BF16')) from sent;
select try_delta(:w, bound(sdelta_encode(content, array[prediction], 'BF16'), seq + 1, sha, first)) from sent;
select try_delta(:w, bound(sdelta_encode(content, array[prediction], 'BF16'), seq, sha256(sha), first)) ~ 'of another content' as another from sent;
select try_delta(:w, bound(sdelta_encode(content, array[prediction], 'F16'), seq, sha, first)) from sent;
select try_delta(:w, bound(sdelta_encode(substr(content, 3), array[substr(prediction, 3)], 'BF16'), seq, sha, first)) from sent;
select try_delta(:w, bound(sdelta_encode(content, array[prediction], 'BF16'), seq, sha, first + 1)) from sent;
select try_delta(:w, bound(sdelta_encode(content, array[''::bytea, prediction], 'BF16'), seq, sha, first)) from sent;
select try_delta(:w, bound(sdelta_encode(content), seq, sha)) from sent;
select try_delta(:w, bound(as_delta(overlay(d placing little(2000, 4) from 33) || decode(repeat('00', 2000 - octet_length(d) + 72), 'hex')), seq, sha, first)) as too_long
from sent, lateral (select sdelta_send(sdelta_encode(content, array[prediction], 'BF16')) as d) x;
select refusal(format('select sparse_write_delta(%s, %L, 0, null)', :w, 'model.norm.weight'));
-- A delta that has no prediction is decoded at once, one that is damaged refused
select try_delta(:w, bound(as_delta(set_byte(d, octet_length(d) - 5, 255 - get_byte(d, octet_length(d) - 5))), seq, sha)) ~ '^XX001 / could not apply the delta' as damaged
from sent, lateral (select sdelta_send(sdelta_encode(content, '{}', 'BF16')) as d) x;
-- One that has a prediction is read by the commit: what is wrong is named, and nothing is lost
select try_delta(:w, bound(as_delta(set_byte(d, octet_length(d) - 5, 255 - get_byte(d, octet_length(d) - 5))), seq, sha, first)) as damaged
from sent, lateral (select sdelta_send(sdelta_encode(content, array[prediction], 'BF16')) as d) x;
select refusal(format('select sparse_commit(%s)', :w)) ~ '^XX001 / chunk . of object .* is corrupt' as refused;
\set VERBOSITY default
\set SHOW_CONTEXT always
do $$ begin perform sparse_commit((select max(id) from sparse.version)); exception when data_corrupted then declare context text; begin get stacked diagnostics context = pg_exception_context; raise warning '%', substring(context from 'reading[^\n]*'); end; end $$;
\set SHOW_CONTEXT errors
\set VERBOSITY terse
-- wrong content too, of the chunk or of all
select sparse_write(:w, tensor, seq, set_byte(content, 7, 255 - get_byte(content, 7))) is not null as wrong_content from sent;
select refusal(format('select sparse_commit(%s)', :w)) ~ '^XX001 / tensor "[a-z_.0-9]+" of file "model.safetensors" of version "w@2" is not what it was said to be / Its SHA-256 is' as refused;
select state from sparse.version where id = :w;
-- and what is written again is right
select try_delta(:w, bound(sdelta_encode(content, array[prediction], 'BF16'), seq, sha, first)) as mended from sent;
select sparse_commit(:'w') = :w as committed;
select joined(:'w') = data as equal from model;
-- A file is checked as a whole too: right tensors do not make a wrong SHA-256 right
select sparse_begin('wrong', jsonb_build_array(described(content('mini-base')) || jsonb_build_object('sha256', repeat('7', 64)))) as wrong \gset
select refusal(format('select sparse_commit(%s)', :wrong));
select sparse_abort(:'wrong');
select refusal(format('select sparse_commit(%s)', :wrong));
-- So is a file that is not safetensors, and content that is known under its SHA-256
select sparse_begin('wrong', jsonb_build_array(described_bytes('abc', 'a'))) as wrong \gset
select sparse_write(:wrong, null, 0, 'abd');
select refusal(format('select sparse_commit(%s)', :wrong)) ~ '^XX001 / file "a" of version "wrong@.*" is not what it was said to be' as refused;
select sparse_write(:wrong, null, 0, 'abc');
select sparse_commit(:wrong) = :wrong as committed;
select joined('wrong', 'a');
select sparse_begin('wrong', jsonb_build_array(described_bytes('abc', 'a') || '{"size": 4}')) as wrong \gset
select wanted from sparse_layout(:wrong);
select sparse_write(:wrong, null, 0, 'abcd');
select refusal(format('select sparse_commit(%s)', :wrong)) ~ '^XX001' as refused;
select sparse_abort(:wrong);

-- What an open version says of itself counts nowhere
select sparse_begin('said', jsonb_build_array(described_bytes(framed('{} '), 'x'))) as said \gset
select sparse_import_bytes('done', framed('{} ')) > 0 as imported;
select unique_file_bytes from sparse.version where name = 'done';
select sparse_abort(:said);

-- ---- reading: arguments ----

select refusal($$select sparse_delta('no such')$$), refusal($$select sparse_delta(null::text)$$), refusal($$select sparse_delta('base', '{no such}')$$), refusal($$select sparse_delta('base', '{sha256:12}')$$), refusal($$select sparse_delta('base', array[null])$$);
select refusal($$select sparse_delta('base', '{}', 'no such')$$), refusal($$select sparse_delta('base', '{}', null, 1)$$), refusal($$select sparse_delta('base', '{}', null, 0, 1)$$), refusal($$select sparse_delta('base', '{}', 'model.safetensors', -1)$$), refusal($$select sparse_delta('base', '{}', 'model.safetensors', 0, -1)$$);
select refusal($$select sparse_delta('base', array_fill('base'::text, array[1001]))$$), refusal($$select sparse_layout(0)$$), refusal($$select sparse_layout('no such')$$), refusal($$select sparse_find_file('abc')$$);
select count(*) = 1 as limited from (select sparse_delta('base') limit 1) x;
select name, path, f.bytes from sparse_find_file(sha256(content('mini-base'))) f join sparse.version v on v.id = f.version order by f.version desc;
select count(*) from sparse_find_file(sha256('no such'));

-- Rows go on over a savepoint that is rolled back
begin;
declare rows cursor for select (d).* from (select sparse_delta('tuned') as d offset 0) s;
create table got (file_offset bigint, delta sdelta);
create function take() returns boolean language plpgsql as $$
declare rows refcursor := 'rows'; r record;
begin
    fetch next from rows into r;
    if found then insert into got values (r.file_offset, r.delta); end if;
    return found;
end $$;
select take(), take();
savepoint s;
select digest('base') = sha256(content('mini-base'));
rollback to s;
do $$ begin while take() loop null; end loop; end $$;
select sha256(string_agg(sdelta_apply('{}', delta), '' order by file_offset)) = sha256(content('mini-finetune')) as whole from got;
rollback;

-- ---- dropping and collecting open versions ----

select sparse_begin('open', jsonb_build_array(described_bytes('some content', 'a'), described_bytes('other content', 'b'))) as open \gset
select sparse_write(:open, null, 0, 'some content', 'a');
select versions, chunks from sparse_collect();
select sparse_write(:open, null, 0, 'other content', 'b');
update sparse.upload set begun_at = now() - interval '2 days';
update sparse.version set created_at = now() - interval '2 days' where id = :open;
-- whoever begins it again keeps it
begin;
select sparse_begin('open', jsonb_build_array(described_bytes('some content', 'a'), described_bytes('other content', 'b'))) = :open as again;
select versions from sparse_collect();
rollback;
select versions, objects, chunks from sparse_collect();
select refusal(format('select sparse_write(%s, null, 0, %L, %L)', :open, 'some content', 'a'));
select count(*) as uploads, (select count(*) from sparse.staged) as staged, (select count(*) from sparse.object where sha256 is null) as unnamed from sparse.upload;
select sparse_begin('open', jsonb_build_array(described_bytes('some content', 'a'))) as open \gset
select sparse_write(:open, null, 0, 'some content', 'a');
select sparse_drop(:open);
select refusal(format('select sparse_write(%s, null, 0, %L, %L)', :open, 'some content', 'a')), refusal(format('select sparse_commit(%s)', :open));
-- begun again it is another one
select sparse_begin('open', jsonb_build_array(described_bytes('some content', 'a'))) > :open as another;
select sparse_abort(max(id)) from sparse.version;
select versions, objects, chunks from sparse_collect();
select name, count(*) from sparse.version v, sparse_verify(v.id) where v.state = 'ready' group by 1;
-- An open version keeps what it is predicted from
create table late as select set_byte(content('mini-chain-2'), 2000, 77) as data;
select sparse_begin('late', jsonb_build_array(described(data)), '{tuned}', have => '{tuned}') as late from late \gset
-- or what deltas for it may refer to
select push('deep', set_byte(data, 2002, 78), '{tuned}') > 0 as pushed from late;
set sparse.max_chain_depth = 1;
select sparse_begin('deeper', jsonb_build_array(described(set_byte(data, 2002, 79))), '{deep}', have => '{deep}') as deeper from late \gset
reset sparse.max_chain_depth;
select count(refs) as predicted from sparse_layout(:deeper, '{deep}') where wanted;
select sparse_drop(id) from sparse.version where name in ('tuned', 'base', 'again', 'deep') and state = 'ready';
select objects > 0 as collected from sparse_collect();
select count(refs) as predicted from sparse_layout(:late);
select count(*) as lost from sparse.staged s where not exists (select from sparse.object o where o.id = s.source);
select count(*) as sources, count(*) filter (where s.source <> p.parent) as that_are_no_parents from sparse.staged s join sparse.object_parent p using (object);
select send_contents(:late, 'model.safetensors', data) > 10 as sent, sparse_commit(:late) = :late as committed from late;
select joined('late') = data as equal, (select max(depth) from sparse_tensors('late')) as depth from late;

-- Transactions that keep one snapshot: what is new is checked all the same
select sparse_begin('snapshot', jsonb_build_array(described_bytes('xyz', 'a'))) as snapshot \gset
begin isolation level repeatable read;
select sparse_write(:snapshot, null, 0, 'xyz');
select sparse_commit(:snapshot) = :snapshot as committed;
commit;
begin isolation level serializable;
select sparse_begin('snapshot', jsonb_build_array(described_bytes('xyw', 'a'))) as snapshot \gset
select sparse_write(:snapshot, null, 0, 'xyw');
select sparse_commit(:snapshot) = :snapshot as committed;
commit;
select joined('snapshot', 'a');

-- An upload keeps its name
select sparse_begin('named', jsonb_build_array(described_bytes('one', 'a'))) as named \gset
select refusal($$select sparse_rename('named', 'otherwise')$$);
select sparse_write(:named, null, 0, 'one'), sparse_commit(:named) = :named as committed;
select sparse_rename('named', 'otherwise');
select joined('otherwise', 'a');

-- What was committed has its checksum, however it came to be; what is under way has none
select state, bool_and(f.checksum is not null) as all_summed, bool_or(f.checksum is not null) as any_summed
from sparse.version v join sparse.file f on f.version = v.id group by 1 order by 1;
select count(*) as problems from sparse.version v, sparse_verify(v.id) where v.state = 'ready' and v.kind = 'model';
