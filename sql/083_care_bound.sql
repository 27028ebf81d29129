-- The bound on depth holds, also where it is smaller than before and room must be made at a cost
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

create function framed(header text, data bytea) returns bytea language sql as $$
    select substr(int8send(octet_length(header)), 8, 1) || '\x00000000000000'::bytea || convert_to(header, 'UTF8') || data $$;
-- the same numbers everywhere
create function drawn(what text, below integer) returns integer language sql as $$
    select ('x' || substr(md5(what), 1, 6))::bit(24)::integer % below $$;
-- a tree of versions, runs and branches, each another at some bytes than the one that it was made from; all imported with the first as parent
do $$
declare
    content bytea[];
    c bytea;
begin
    for k in 1..200 loop
        c := decode(repeat(md5('first'), 128), 'hex');
        if k > 1 then
            c := content[case when drawn('run ' || k, 2) = 0 then k - 1 else 1 + drawn('branch ' || k, k - 1) end];
        end if;
        for j in 1..40 loop
            c := set_byte(c, drawn(format('place %s %s', k, j), 2048), drawn(format('byte %s %s', k, j), 256));
        end loop;
        content[k] := c;
        perform sparse_import_bytes('v' || k, framed(rpad('{"t": {"dtype": "U8", "shape": [2048], "data_offsets": [0, 2048]}}', 128), c),
                                    case when k = 1 then '{}' else array['v1'] end);
    end loop;
end $$;
create table before as select v.id, sha256(string_agg(p, '')) from sparse.version v, sparse_reconstruct(v.id) p group by v.id;

call sparse_repack('v1', 8) \gset was_
select :was_bytes_after < 0.7 * :was_bytes_before as smaller, :was_depth_after between 5 and 8 as bounded;
call sparse_repack('v1', 4) \gset was_
select :was_depth_after as depth;
-- at once: nothing is left for a second time
call sparse_repack('v1', 4) \gset was_
select :was_objects as objects;
call sparse_repack('v1', 2) \gset was_
select :was_depth_after as depth;
call sparse_repack('v1', 2) \gset was_
select :was_objects as objects;
call sparse_repack('v1', 1) \gset was_
select :was_depth_after as depth, max(o.depth) from sparse.object o;
-- and back
call sparse_repack('v1', 8) \gset was_
select :was_bytes_after < 0.8 * :was_bytes_before as smaller;

select count(*) from (table before except select v.id, sha256(string_agg(p, '')) from sparse.version v, sparse_reconstruct(v.id) p group by v.id) other;
select count(*) from sparse.version v, sparse_verify(v.id);
