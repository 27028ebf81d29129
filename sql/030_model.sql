-- Models: what goes in comes out, whole and in parts, and what is no model stays out.
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
-- a safetensors file from a header and the tensors' bytes
create function framed(header text, data bytea default '') returns bytea language sql as $$
    select string_agg(substr(n, i, 1), '' order by i desc) || convert_to(header, 'UTF8') || data
    from int8send(octet_length(convert_to(header, 'UTF8'))) n, generate_series(1, 8) i $$;
create function came_back(name text, header text, data bytea default '') returns boolean language plpgsql as $$
begin
    perform sparse_import_bytes(name, framed(header, data));
    return joined(name) = framed(header, data);
end $$;
-- why an import is refused
create function refusal(data bytea) returns text language plpgsql as $$
declare detail text;
begin
    perform sparse_import_bytes('bad', data);
    return 'it was taken';
exception when invalid_binary_representation then
    get stacked diagnostics detail = pg_exception_detail;
    return detail;
end $$;

-- A base, its fine-tunes and a child whose vocabulary grew come back byte for byte
select sparse_import_file('base', data_file('mini-base')) as base;
select sparse_import_file('finetune', data_file('mini-finetune'), '{base}') as finetune;
select sparse_import_file('grown', data_file('mini-longer-vocabulary'), '{base}', metadata => '{"k": 1}') as grown;
select v, is_file(v, f) from (values ('base', 'mini-base'), ('finetune', 'mini-finetune'), ('grown', 'mini-longer-vocabulary')) x (v, f);
select name, revision, kind, state, exact, files, tensors, raw_bytes, metadata, stored_bytes < raw_bytes * 0.7 as small
from sparse.version order by id;
-- A version is named by id, by id as text, by name and by revision
select count(*) from (
    select sparse_reconstruct(2) union select sparse_reconstruct('2')
    union select sparse_reconstruct('finetune') union select sparse_reconstruct('finetune@1')) same
having count(*) = (select count(*) from sparse_reconstruct(2));

-- A child is predicted from its parent; grown tensors too, by the rows that both have
select predictor, depth, count(*) from sparse_tensors('finetune') group by 1, 2 order by 1, 2;
select t.name, t.dtype, t.shape, b.shape as base_shape, t.predictor, t.depth, t.chunks, t.stored_bytes < t.bytes / 3 as small
from sparse_tensors('grown') t join sparse_tensors('base') b using (name) where t.shape <> b.shape;
-- A shrunk child of the grown one is predicted as well, and finds what the store has
select sparse_import_file('shrunk', data_file('mini-chain-1'), '{grown}') as shrunk, is_file('shrunk', 'mini-chain-1');
select t.predictor, t.depth, t.stored_bytes < t.bytes / 3 as small
from sparse_tensors('shrunk') t join sparse_tensors('grown') g using (name) where t.shape <> g.shape;

-- The same content under the same name is the same version, and nothing is written
create table before as select (select count(*) from sparse.object) as objects, (select count(*) from sparse.chunk) as chunks;
select sparse_import_file('base', data_file('mini-base')) as again;
select sparse_import_file('base', data_file('mini-base'), '{finetune}') as with_another_parent;
select sparse_import_file('copy', data_file('mini-base')) as under_another_name;
select new_objects, new_bytes, stored_bytes, unique_file_bytes from sparse.version where name = 'copy';
select objects = (select count(*) from sparse.object) and chunks = (select count(*) from sparse.chunk) as nothing_written from before;
-- A file counts once, whichever of two imports that took their ids at the same time ended first
begin;
select setval(pg_get_serial_sequence('sparse.version', 'id'), 1000) is not null as ahead;
select sparse_import_bytes('ended first', framed('{}    ')) as id;
select setval(pg_get_serial_sequence('sparse.version', 'id'), 500) is not null as back;
select sparse_import_bytes('ended second', framed('{}    ')) as id;
select name, unique_file_bytes from sparse.version where name like 'ended%' order by 1;
-- and what a rule suppresses is said, and forgotten with the rule
create rule nothing as on update to sparse.version do instead nothing;
savepoint s;
select sparse_import_bytes('suppressed', framed('{}'));
rollback to s;
drop rule nothing on sparse.version;
select sparse_import_bytes('suppressed no more', framed('{}')) is not null as imported;
rollback;
select setval(pg_get_serial_sequence('sparse.version', 'id'), (select max(id) from sparse.version)) is not null as restored;
-- Other content under the same name is the next revision, of the same family
select sparse_import_bytes('base', framed('{}')) as other;
select revision, family = 1 as same_family, raw_bytes from sparse.version where name = 'base' order by revision;
select octet_length(joined('base')) as newest, is_file('base@1', 'mini-base') as first;

-- Tensors lie where the header says, and slices are their rows
select bool_and(sparse_tensor('grown', name) = substr(joined('grown'), first_byte::int + 1, bytes::int)) from sparse_tensors('grown');
select bool_and(sha256(sparse_tensor('finetune', name)) = sha256) from sparse_tensors('finetune');
select name, first_row, sparse_slice('grown', name, first_row, 3)
     = substr(sparse_tensor('grown', name), (first_row * bytes / shape[1])::int + 1, (3 * bytes / shape[1])::int) as equal
from sparse_tensors('grown'), unnest(array[0, 1, shape[1] - 3]) first_row where shape[1] > 3 and cardinality(shape) > 1 order by 1, 2 limit 6;
select octet_length(sparse_slice('base@1', name, 0, 0)), sparse_slice('base@1', name, 0, shape[1]) = sparse_tensor('base@1', name)
from sparse_tensors('base@1') limit 1;
select sparse_slice('base@1', name, shape[1], 1) from sparse_tensors('base@1') where cardinality(shape) = 2 limit 1;
select sparse_slice('base@1', name, -1, 1) from sparse_tensors('base@1') limit 1;
select sparse_slice('base@1', name, 1, 9223372036854775807) from sparse_tensors('base@1') limit 1;
select sparse_tensor('base@1', 'no such');

-- A range of a file is that part of it, over header and tensors, cut off at the end
select first, length, sparse_read('grown', f.path, first, length) = substr(joined('grown'), first::int + 1, least(length, f.bytes)::int) as equal
from sparse_files('grown') f, (values (0, 8), (0, 1), (7, 1021), (1000, 70001), (65537, 1048577), (1048575, 3), (4377915, 100), (4378015, 50), (0, 9223372036854775807)) x (first, length);
select octet_length(sparse_read('grown', path, bytes, 10)), octet_length(sparse_read('grown', path, 9223372036854775807, 10)), octet_length(sparse_read('grown', path, 5, 0)) from sparse_files('grown');
select sparse_read('grown', path, -1, 10) from sparse_files('grown');
select sparse_read('grown', 'no such', 0, 1);

-- Whatever the format allows comes back as it was
select came_back('empty header', '{}');
select came_back('padded header', '{}      ');
select came_back('metadata', '{"__metadata__":{"format":"pt","note":"\u00e9 \ud83d\ude00"}}');
select came_back('keys in another order', '{"t":{"data_offsets":[0,4],"shape":[2],"dtype":"F16"}}', '\x00010203');
select came_back('scalar', '{"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}', '\x0000c07f');
select came_back('zero in a shape', '{"z":{"dtype":"BF16","shape":[0,7],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"y":{"dtype":"I64","shape":[2,0],"data_offsets":[3,3]}}', '\x010203');
select came_back('offsets in another order', '{"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}', '\x01020304');
select came_back('unknown dtype', '{"q":{"dtype":"F6_E9M9","shape":[5,3],"data_offsets":[0,12]}}', '\x000102030405060708090a0b');
select came_back('not numbers', '{"n":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', '\x010080ff0000008001c0ff7fffffffff');
select came_back('names', '{"Gewicht.\u00e4\u4e2d\"\\":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}', '\x01');
select came_back('tied', '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[2,2],"data_offsets":[4,8]}}', '\x0102030401020304');
select name, dtype, shape, first_byte, bytes, chunks from sparse_tensors('zero in a shape');
select name, dtype, shape, bytes from sparse_tensors('unknown dtype');
select name from sparse_tensors('names');
select sparse_tensor('scalar', 's'), octet_length(sparse_tensor('zero in a shape', 'y')), octet_length(sparse_slice('zero in a shape', 'z', 0, 0));
select sparse_slice('scalar', 's', 0, 1);
select sparse_slice('unknown dtype', 'q', 0, 1);
select came_back('four bits', '{"f":{"dtype":"F4","shape":[4,2],"data_offsets":[0,4]}}', '\x12345678');
select sparse_slice('four bits', 'f', 1, 2);
select came_back('complex', '{"c":{"dtype":"C64","shape":[2],"data_offsets":[0,16]}}', '\x000102030405060708090a0b0c0d0e0f');
select sparse_slice('complex', 'c', 1, 1);
select new_objects from sparse.version where name = 'tied';

-- Whatever it forbids is refused, and nothing is left of it
create table stood as select (select count(*) from sparse.version) as versions, (select count(*) from sparse.object) as objects;
select refusal('');
select refusal('\x0102030405');
select refusal('\xffffffffffffffff7b7d');
select refusal('\x01e1f505000000007b7d');
select refusal('\x03000000000000007b7d');
select refusal(framed('nothing'));
select refusal(framed('[]'));
select refusal(framed('{"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}'));
select refusal(framed('{}', '\x00'));
select refusal(framed('{"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}', '\x00'));
select refusal(framed('{"t":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}', '\x000000'));
select refusal(framed('{"t":{"dtype":"U8","shape":[2],"data_offsets":[2,0]}}', '\x0000'));
select refusal(framed('{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,2]}}', '\x0000'));
select refusal(framed('{"t":{"dtype":"U8","shape":[-2],"data_offsets":[0,2]}}', '\x0000'));
select refusal(framed('{"t":{"dtype":"U8","shape":[2.0],"data_offsets":[0,2]}}', '\x0000'));
select refusal(framed('{"t":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'));
select refusal(framed('{"t":{"dtype":"U8","shape":[2]}}', '\x0000'));
select refusal(framed('{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}', '\x000000'));
select refusal(framed('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', '\x0000'));
select refusal(framed('{"__metadata__":{"n":1}}'));
select versions = (select count(*) from sparse.version) and objects = (select count(*) from sparse.object) as nothing_left from stood;

-- Arguments are checked
select sparse_import_bytes(null, framed('{}'));
select sparse_import_bytes('x', null);
select sparse_import_bytes('7', framed('{}'));
select sparse_import_bytes('a@b', framed('{}'));
select sparse_import_bytes('', framed('{}'));
select sparse_import_bytes('x', framed('{}'), '{no such}');
select sparse_import_bytes('x', framed('{}'), array[null]);
select sparse_import_bytes('x', framed('{}'), '{base,finetune}', '{merge}');
select sparse_import_bytes('x', framed('{}'), '{base,base}');
select sparse_import_bytes('x', framed('{}'), '{base}', '{""}');
select sparse_import_file('x', '/no/such/file.safetensors');
select sparse_import_file('x', '/dev/null');
select sparse_reconstruct('no such');
select sparse_reconstruct(0);
select count(*) from sparse_reconstruct(null::bigint);

-- Parents have roles, in the order in which they were named; a merge has two
select sparse_import_file('merge', data_file('mini-finetune-strong'), '{finetune,base@1}', '{merge,base}') as merge;
select p.ordinal, v.name, p.role from sparse.parent p join sparse.version v on v.id = p.parent where p.child = (select id from sparse.version where name = 'merge') order by 1;
select is_file('merge', 'mini-finetune-strong');

-- Reading goes on over a savepoint that is rolled back
create temporary table pieces (n serial, piece bytea);
begin;
declare reading cursor for select sparse_reconstruct('grown') as piece;
create function fetch_piece() returns boolean language plpgsql as $$
declare reading refcursor := 'reading'; piece bytea;
begin
    fetch next from reading into piece;
    if found then insert into pieces (piece) values (piece); end if;
    return found;
end $$;
select fetch_piece();
savepoint s;
select octet_length(joined('base@1')), fetch_piece();
rollback to s;
select fetch_piece(), fetch_piece(), fetch_piece(), fetch_piece(), fetch_piece();
select fetch_piece() from generate_series(1, 5);
commit;
-- The row of the second piece was rolled back, not the reader
select array_agg(piece order by n) = (select array_agg(piece order by n)
                                      from sparse_reconstruct('grown') with ordinality as all_pieces (piece, n)
                                      where n <> 2) as all_but_the_second from pieces;
-- A reader that is not read to its end leaves nothing behind
select octet_length(sparse_reconstruct('base@1')) > 0 limit 1;

-- Reading works where parallel workers are wanted, and in a read-only transaction
begin read only;
set local max_parallel_workers_per_gather = 2;
set local parallel_setup_cost = 0;
set local parallel_tuple_cost = 0;
set local min_parallel_table_scan_size = 0;
select sha256(sparse_tensor(v.id, t.name)) = t.sha256 as equal, count(*)
from sparse.version v, sparse_tensors(v.id) t where v.state = 'ready' group by 1;
commit;

-- A version that is whole has no problems; a damaged one has a row for each, and is not returned
select * from sparse_verify('grown');
select name, count(*) from sparse.version v, sparse_verify(v.id) group by 1;
begin;
update sparse.chunk set delta = (select delta from sparse.chunk c where c.object <> chunk.object limit 1)
where object = (select object from sparse.tensor where version = 3 and name like '%embed%') and seq = 0;
select file, tensor, chunk, problem <> '' as said from sparse_verify('grown');
select tensor, chunk from sparse_verify('base@1');
select sum(octet_length(p)) from sparse_reconstruct('grown') p;
rollback;
begin;
update sparse.file set sha256 = sha256('') where version = 3;
select file, tensor, chunk, left(problem, 30) as problem from sparse_verify('grown');
select sum(octet_length(p)) from sparse_reconstruct('grown') p;
rollback;
-- Streams side by side have a codec and a piece each: what is collected of both is each one's file
select encode(sha256(string_agg(a, '' order by n)), 'hex') = (select encode(sha256, 'hex') from sparse_files('grown')) as one,
    encode(sha256(string_agg(b, '' order by n)), 'hex') = (select encode(sha256, 'hex') from sparse_files('finetune')) as other
from (select row_number() over () as n, a, b from (select sparse_reconstruct('grown') as a, sparse_reconstruct('finetune') as b offset 0) x) y;
-- and one that is left in the middle leaves the next one a sound codec
select octet_length(p) > 0 as some from (select sparse_reconstruct('grown') as p offset 0) x limit 1;
select encode(sha256(string_agg(p, '' order by n)), 'hex') = (select encode(sha256, 'hex') from sparse_files('grown')) as whole
from sparse_reconstruct('grown') with ordinality as pieces (p, n);
-- A row that leads to another tensor of the same size: its chunks are sound, the file is not
begin;
update sparse.tensor t set object = o.object from sparse.tensor o
where t.version = 3 and o.version = 3 and t.bytes = o.bytes and t.dtype = o.dtype and t.object < o.object and t.ordinal <> o.ordinal
and not exists (select from sparse.tensor x where x.version = 3 and x.bytes = o.bytes and x.object > o.object);
select sum(octet_length(p)) from sparse_reconstruct('grown') p;
rollback;
-- Without a checksum the SHA-256 decides
begin;
update sparse.file set checksum = null where version = 3;
select sum(octet_length(p)) from sparse_reconstruct('grown') p;
update sparse.file set sha256 = sha256('') where version = 3;
select sum(octet_length(p)) from sparse_reconstruct('grown') p;
rollback;
begin;
delete from sparse.tensor where version = 2;
delete from sparse.file where version = 2;
select * from sparse_verify('finetune');
rollback;
begin;
delete from sparse.tensor where version = 2 and ordinal = 5;
select file, tensor, chunk, problem from sparse_verify('finetune');
select sum(octet_length(p)) from sparse_reconstruct('finetune') p;
rollback;
begin;
delete from sparse.chunk where object = (select object from sparse.tensor where version = 2 and name like '%embed%');
select tensor, chunk, problem ~ 'missing' as missing from sparse_verify('finetune');
rollback;

-- Rows that say something else than the header are problems, though every byte is right
begin;
update sparse.tensor set name = case ordinal when 3 then (select name from sparse.tensor where version = 2 and ordinal = 4)
                                             else (select name from sparse.tensor where version = 2 and ordinal = 3) end
where version = 2 and ordinal in (3, 4);
update sparse.tensor set dtype = 'F16' where version = 2 and ordinal = 5;
update sparse.tensor set shape = '{2,192}' where version = 2 and ordinal = 10;
select tensor, chunk, problem from sparse_verify('finetune');
rollback;
begin;
delete from sparse.tensor where version = (select id from sparse.version where name = 'zero in a shape') and name = 'y';
select tensor, chunk, problem from sparse_verify('zero in a shape');
insert into sparse.tensor select version, file, 7, 'invented', dtype, shape, first_byte, 0, object from sparse.tensor
where version = (select id from sparse.version where name = 'zero in a shape') and name = 'z';
update sparse.tensor set first_byte = 175 where name = 'invented';
select tensor, chunk, problem from sparse_verify('zero in a shape');
rollback;
begin;
update sparse.file set format = 'safetensors', object = (select object from sparse.tensor where version = 2 and ordinal = 10),
    object_bytes = 768, bytes = 768, sha256 = (select sha256 from sparse.object o join sparse.tensor t on t.object = o.id where t.version = 2 and ordinal = 10) where version = 2;
delete from sparse.tensor where version = 2;
select tensor, chunk, problem from sparse_verify('finetune') where file is not null;
rollback;
-- An object of another size than the row of its tensor says is not taken for its beginning
begin;
update sparse.tensor set object = (select object from sparse.tensor where version = 2 and name like '%embed%')
where version = 2 and name = 'model.norm.weight';
select tensor, chunk, problem ~ 'bytes instead of 768' as size from sparse_verify('finetune') where tensor is not null;
savepoint s;
select octet_length(sparse_tensor('finetune', 'model.norm.weight'));
rollback to s;
select octet_length(sparse_slice('finetune', 'model.norm.weight', 0, 1));
rollback to s;
select octet_length(sparse_read('finetune', f.path, first_byte, 1)) from sparse_tensors('finetune') t, sparse_files('finetune') f where name = 'model.norm.weight';
rollback to s;
select count(*) from sparse_reconstruct('finetune');
rollback;

-- A dropped version cannot be read, but its children can
select sparse_drop('grown');
select sparse_reconstruct('grown');
select is_file('shrunk', 'mini-chain-1');
select sparse_collect() is not null as collected;
select is_file('shrunk', 'mini-chain-1'), is_file('base@1', 'mini-base'), is_file('merge', 'mini-finetune-strong');
select name, count(*) from sparse.version v, sparse_verify(v.id) where v.state = 'ready' group by 1;
-- Its revision is never given again
select sparse_import_file('grown', data_file('mini-longer-vocabulary'), '{base@1}') is not null as imported;
select name, revision, state from sparse.version where name = 'grown' order by revision;
select is_file('grown', 'mini-longer-vocabulary');
