-- A tensor that is uploaded as deltas against several parents: tensors of what the client has, of the version itself, and
-- factors that come along. What cannot be is refused, what is not true is found by the commit.
\set VERBOSITY terse
set client_min_messages = warning;
drop role if exists regress_parents_bob;
create role regress_parents_bob;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
-- Bob reads all but one name
grant usage on schema sparse to regress_parents_bob;
grant select, insert on sparse.version to regress_parents_bob;
grant select on sparse.file, sparse.tensor, sparse.parent to regress_parents_bob;
alter table sparse.version enable row level security;
create policy shown on sparse.version for select to regress_parents_bob using (name <> 'fused');
create policy new on sparse.version for insert to regress_parents_bob with check (true);

create function as_delta(bytes bytea) returns sdelta language sql as $$
    select translate(encode(bytes, 'base64'), E'\n', '')::sdelta $$;
create function little(n bigint, bytes int) returns bytea language sql as $$
    select string_agg(substr(int8send(n), 9 - i, 1), '' order by i) from generate_series(1, bytes) i $$;
-- Bytes that nothing predicts
create function noise(seed text, bytes int default 256) returns bytea language sql as $$
    select substr(string_agg(sha256(convert_to(seed || i, 'UTF8')), '' order by i), 1, bytes) from generate_series(0, bytes / 32) i $$;
create function model(names text[], contents bytea[]) returns bytea language sql as $$
    with parts as (
        select n, name, octet_length(contents[n]) as bytes,
            coalesce(sum(octet_length(contents[n])) over (order by n rows between unbounded preceding and 1 preceding), 0) as first
        from unnest(names) with ordinality u (name, n)),
    header as (
        select convert_to('{' || string_agg(format('"%s":{"dtype":"U8","shape":[%s],"data_offsets":[%s,%s]}', name, bytes, first, first + bytes), ',' order by n) || '}', 'UTF8') as h from parts)
    select little(octet_length(h), 8) || h || (select string_agg(c, '' order by n) from unnest(contents) with ordinality u (c, n)) from header $$;
create function described(data bytea) returns jsonb language sql as $$
    select jsonb_build_array(jsonb_build_object('path', 'model.safetensors', 'size', octet_length(data), 'sha256', encode(sha256(data), 'hex'),
        'header', translate(encode(substr(data, 1, h), 'base64'), E'\n', ''),
        'tensors', (select jsonb_object_agg(key, encode(sha256(substr(data, h + 1 + (value #>> '{data_offsets,0}')::int,
                        (value #>> '{data_offsets,1}')::int - (value #>> '{data_offsets,0}')::int)), 'hex'))
                    from json_each(convert_from(substr(data, 9, h - 8), 'UTF8')::json))))
    from (select 8 + sum(get_byte(data, i) * 256 ^ i)::int as h from generate_series(0, 3) i) s $$;
-- Piece 0 of a content, against the parents as wholes; and the same with its references turned about
create function delta(content bytea, parents bytea[] default '{}') returns sdelta language sql as $$
    select as_delta(overlay(sdelta_send(sdelta_encode(content, parents, 'U8')) placing substr(sha256(content), 1, 8) from 41)) $$;
create function turned(d sdelta, ref int, parent int, first bigint default 0) returns sdelta language sql as $$
    select as_delta(overlay(overlay(sdelta_send(d) placing little(parent, 2) from 49 + 24 * ref) placing little(first, 8) from 57 + 24 * ref)) $$;
create function refusal(statement text) returns text language plpgsql as $$
declare state text; message text; detail text; answer text;
begin
    execute statement into answer;
    return 'answer: ' || coalesce(answer, 'null');
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail;
    return regexp_replace(concat_ws(' / ', state, message, nullif(detail, '')), 'object \d+', 'object N', 'g');
end $$;
create function is_file(version bigint, data bytea) returns boolean language sql as $$
    select (select string_agg(piece, '' order by n) from sparse_reconstruct(version) with ordinality as pieces (piece, n)) = data $$;
create function edges(of bigint) returns table (name text, ordinal smallint, parent text, made boolean, depth int) language sql as $$
    select t.name, p.ordinal, coalesce((select min(v.name || '.' || q.name) from sparse.tensor q join sparse.version v on v.id = q.version where q.object = p.parent), 'a factor'), p.made, p.depth
    from sparse.tensor t join sparse.object_parent p on p.object = t.object where t.version = of order by t.ordinal, p.ordinal $$;

-- What is written stays as it is written
set sparse.optimize_commits = off;

select sparse_import_bytes('base', model('{q,k,v}', array[noise('q'), noise('k'), noise('v')])) as base \gset

-- A fused tensor, one with a factor, and one with another of its version: all of it travels as references
select model('{fused,scaled,mixed,new}', array[noise('q') || noise('k') || noise('v'), noise('v') || noise('factor'), noise('q') || noise('new'), noise('new')]) as fused \gset
select sparse_begin('fused', described(:'fused'), '{base}', have => '{base}') as fused \gset id_
select sparse_write_deltas(:id_fused, 'fused', '{0}', array[delta(noise('q') || noise('k') || noise('v'), array[noise('q'), noise('k'), noise('v')])], null, '{base}', '{{1,0,0},{1,0,1},{1,0,2}}');
select sparse_write_deltas(:id_fused, 'scaled', '{0}', array[delta(noise('v') || noise('factor'), array[noise('v'), noise('factor')])], null, '{base}', '{{1,0,2},{0,0,1}}', array[delta(noise('factor'))]);
select sparse_write_deltas(:id_fused, 'mixed', '{0}', array[delta(noise('q') || noise('new'), array[noise('q'), noise('new')])], null, '{base}', '{{1,0,0},{-1,0,3}}');
select sparse_write_deltas(:id_fused, 'new', '{0}', array[delta(noise('new'))], parents => '{}');
select count(*) filter (where wanted) as wanted from sparse_layout(:id_fused);
select sparse_commit(:id_fused) = :id_fused as committed;
select is_file(:id_fused, :'fused'), (select count(*) from sparse_verify(:id_fused)) as problems;
select * from edges(:id_fused);
select name, predictor, depth, stored_bytes < 200 as small from sparse_tensors(:id_fused);
-- Its counters are those of its objects, the factor among them
select v.new_objects, v.stored_bytes = sum(o.stored_bytes) as stored from sparse.version v join sparse.object o on o.version = v.id where v.id = :id_fused group by v.id;
select count(*) as uploads, (select count(*) from sparse.staged) as staged, (select count(*) from sparse.object where sha256 is null) as unnamed from sparse.upload;

-- A factor that is there is not stored twice; it may come in pieces
select model('{a}', array[noise('k') || noise('factor')]) as again \gset
select sparse_begin('again', described(:'again'), '{base}') as again \gset id_
select sparse_write_deltas(:id_again, 'a', '{0}', array[delta(noise('k') || noise('factor'), array[noise('k'), noise('factor')])], null, '{base}', '{{1,0,1},{0,1,2}}',
    array[delta(noise('before')), delta(substr(noise('factor'), 1, 100)), delta(substr(noise('factor'), 101))]);
select sparse_commit(:id_again) = :id_again as committed, is_file(:id_again, :'again') as right;
select count(distinct parent) as factors from sparse.object_parent where made;

-- What is named is looked at
select model('{t,s}', array[noise('q') || noise('k'), noise('s')]) as t \gset
select sparse_begin('t', described(:'t'), '{base}') as t \gset id_
create function send(parents text, refs sdelta default delta(noise('q') || noise('k'), array[noise('q'), noise('k')]), have text default '{base}', factors sdelta[] default '{}', tensor text default 't', seq text default '{0}') returns text language sql as $$
    select refusal(format('select sparse_write_deltas((select max(id) from sparse.version where name = ''t''), %L, %L, array[%L::sdelta], null, %L, %L, %L)', tensor, seq, refs, have, parents, factors)) $$;
select send('{1,0}');
select send('{1,0,null}');
select send('{{1,0,0},{1,0,3}}');
select send('{{1,0,0},{1,1,0}}');
select send('{{1,0,0},{2,0,0}}');
select send('{{1,0,0},{-1,0,2}}');
select send('{{1,0,0},{-2,0,0}}');
select send('{{1,-1,0},{1,0,9223372036854775807}}');
select send((select array_agg(x) from (select unnest(array[1, 0, 0]) as x from generate_series(1, 17)) s)::text);
select send('{{1,0,0},{1,0,1}}', have => '{nothing}');
select send('{{1,0,0},{1,0,1}}', have => array['sha256:' || repeat('0', 64)]::text);
select send('{{1,0,0},{1,0,1}}', seq => '{0,1}');
select send('{{1,0,0},{1,0,1}}', seq => '{1}');
select send('{{1,0,0},{1,0,1}}', tensor => 'u');
select refusal(format('select sparse_write_deltas(%s, ''t'', ''{0}'', array[null::sdelta], null, ''{base}'', ''{}'')', :id_t));
-- and so are deltas: no reference but to what was named
select send('{{1,0,0}}');
select send('{{1,0,0},{1,0,1}}', turned(delta(noise('q') || noise('k'), array[noise('q'), noise('k')]), 1, 2));
select send('{{1,0,0},{1,0,1}}', turned(delta(noise('q') || noise('k'), array[noise('q'), noise('k')]), 1, 1, 1));
select send('{{1,0,0},{1,0,1}}', delta(noise('q') || noise('v'), array[noise('q'), noise('v')]));
select send('{{1,0,0},{1,0,1}}', as_delta(overlay(sdelta_send(sdelta_encode(noise('q') || noise('k'), array[noise('q'), noise('k')], 'I16')) placing substr(sha256(noise('q') || noise('k')), 1, 8) from 41)));
-- and factors
select send('{{1,0,0},{0,0,1}}', factors => array[delta(noise('k'), array[noise('k')])]);
select send('{{1,0,0},{0,0,2}}', factors => array[delta(noise('k'))]);
select send('{{1,0,0},{0,1,1}}', factors => array[delta(noise('k'))]);
select send('{{1,0,0},{0,0,0}}', factors => array[delta(noise('k'))]);
select send('{{1,0,0},{0,9223372036854775807,1}}', factors => array[delta(noise('k'))]);
select send('{{1,0,0},{0,0,9223372036854775807}}', factors => array[delta(noise('k'))]);
select send('{{1,0,0},{0,0,2}}', factors => array[delta(noise('k')), sdelta_encode(noise('k'), '{}', 'I8')]);
select send('{{1,0,0},{0,0,1}}', factors => array[as_delta(overlay(sdelta_send(delta(noise('k'))) placing '\xabcd' from 60))]);
-- Nothing of all that has left anything
select count(*) filter (where wanted) as wanted from sparse_layout(:id_t);
select count(*) as without_use from sparse.object o where not exists (select from sparse.tensor t where t.object = o.id) and not exists (select from sparse.file f where f.object = o.id) and not exists (select from sparse.object_parent p where p.parent = o.id);

-- What cannot predict is answered by false: a tensor itself, a factor that was never sent, what is too deep
select send('{{1,0,0},{-1,0,0}}');
select send('{{1,0,0},{0,0,1}}');
select depth from sparse_tensors('fused') where name = 'fused';
set sparse.max_chain_depth = 1;
select send('{{1,0,0},{2,0,0}}', have => '{base,fused}');
reset sparse.max_chain_depth;
-- a tensor that is predicted from another of the version, or that another is predicted from
select send('{{1,0,0},{-1,0,1}}', delta(noise('q') || noise('k'), array[noise('q'), noise('k')]));
select send('{{1,0,0}}', delta(noise('s')), tensor => 's');
select send('{{-1,0,0}}', delta(noise('s')), tensor => 's');
-- Other parents than before: what was written is wanted again
select send('{{1,0,0},{0,0,1}}', factors => array[delta(noise('k'))]);
select tensor from sparse_layout(:id_t) where wanted;
select count(*) from sparse.object_parent where made;
select send('{{1,0,0},{0,0,1}}');
select count(*) from sparse.object_parent where made;
select send('{{1,0,0}}', delta(noise('q') || noise('k')));
select count(*) from sparse.object_parent where made;
-- The same parents: what was written stays
select sparse_write_deltas(:id_t, 't', '{}', '{}', null, '{base}', '{{1,0,0}}');
select tensor from sparse_layout(:id_t) where wanted;
select sparse_write_deltas(:id_t, 't', '{}', '{}', null, '{base}', '{{1,0,0},{1,0,1}}');
select tensor from sparse_layout(:id_t) where wanted;
-- Content, and a delta of a client that knows nothing of parents, fit any
select sparse_write(:id_t, 't', 0, noise('q') || noise('k')), sparse_write_delta(:id_t, 's', 0, delta(noise('s')));
select count(*) filter (where wanted) as wanted from sparse_layout(:id_t);
-- By whoever it is that began it
set role regress_parents_bob;
select refusal(format('select sparse_write_deltas(%s, ''t'', ''{}'', ''{}'', null, ''{}'', ''{}'')', :id_t));
reset role;

-- Given up: nothing stays of it but its header, until it is collected
select count(*) as objects from sparse.object \gset before_
select model('{x,y,z}', array[noise('x') || noise('y'), noise('y'), noise('z') || noise('made')]) as x \gset
select sparse_begin('x', described(:'x'), '{base}') as x \gset id_
select sparse_write_deltas(:id_x, 'x', '{0}', array[delta(noise('x') || noise('y'), array[noise('x'), noise('y')])], null, '{base}', '{{0,0,1},{-1,0,1}}', array[delta(noise('x'))]);
select sparse_write_deltas(:id_x, 'z', '{0}', array[delta(noise('z') || noise('made'), array[noise('z'), noise('made')])], null, '{base}', '{{0,0,1},{0,1,1}}', array[delta(noise('z')), delta(noise('made'))]);
select sparse_abort(:id_x);
select count(*) - :before_objects as more_objects from sparse.object;

-- A sibling that somebody else stores meanwhile, deeper than it was to be: whatever is predicted from it is predicted from that
select sparse_begin('x', described(:'x'), '{base}') as x \gset id_
select sparse_write_deltas(:id_x, 'x', '{0}', array[delta(noise('x') || noise('y'), array[noise('x'), noise('y')])], null, '{base}', '{{0,0,1},{-1,0,1}}', array[delta(noise('x'))]);
select sparse_write_deltas(:id_x, 'y', '{0}', array[delta(noise('y'))], parents => '{}');
select sparse_write(:id_x, 'z', 0, noise('z') || noise('made'));
select sparse_import_bytes('near', model('{y}', array[noise('y', 200) || noise('other', 56)])) as near \gset
select sparse_import_bytes('other', model('{y}', array[noise('y')]), '{near}') as other \gset
select name, depth from sparse_tensors('other');
select sparse_commit(:id_x) = :id_x as committed;
select is_file(:id_x, :'x') as right, (select count(*) from sparse_verify(:id_x)) as problems;
select * from edges(:id_x);

-- Very many chunks for one: merges of merges
select model(array(select 'm' || i from generate_series(1, 4) i), array(select (select string_agg(noise((i * 16 + j)::text, 64), '' order by j) from generate_series(1, 16) j) from generate_series(1, 4) i)) as wide \gset
select sparse_import_bytes('parts', model(array(select 'p' || i from generate_series(1, 64) i), array(select noise((16 + i)::text, 64) from generate_series(1, 64) i))) as parts \gset
select sparse_begin('wide', described(:'wide'), '{parts}') as wide \gset id_
select bool_and(sparse_write_deltas(:id_wide, 'm' || i, '{0}',
    array[delta((select string_agg(noise((i * 16 + j)::text, 64), '' order by j) from generate_series(1, 16) j), array(select noise((i * 16 + j)::text, 64) from generate_series(1, 16) j))],
    null, '{parts}', (select array_agg(array[1, 0, i * 16 + j - 17] order by j) from generate_series(1, 16) j))) as written
from generate_series(1, 4) i;
select sparse_commit(:id_wide) = :id_wide as committed, is_file(:id_wide, :'wide') as right;
select model('{w}', array[noise('w')]) as wider \gset
select sparse_begin('wider', described(:'wider'), '{wide}') as wider \gset id_
select sparse_write_deltas(:id_wider, 'w', '{}', '{}', null, '{wide}', '{{1,0,0},{1,0,1},{1,0,2}}') as taken;
select sparse_write_deltas(:id_wider, 'w', '{}', '{}', null, '{wide}', '{{1,0,0},{1,0,1}}') as taken;

-- What a delta decodes to is found out by the commit
select sparse_begin('w', described(model('{w}', array[noise('w')]))) as w \gset id_
select sparse_write_deltas(:id_w, 'w', '{0}', array[delta(noise('w'), array[noise('w')])], null, '{base}', '{{1,0,0}}') as taken;
select refusal(format('select sparse_commit(%s)', :id_w));
select sparse_abort(:id_w);

-- A version that the caller cannot read is none, by its name, its id and its content; nor is one that was dropped
select encode(sha256(:'fused'), 'hex') as hidden \gset
set role regress_parents_bob;
select sparse_begin('t', described(model('{t,s}', array[noise('q') || noise('k'), noise('bob')])), '{base}') as bob \gset
select send('{{1,0,0},{1,0,1}}', have => '{fused}');
select send('{{1,0,0},{1,0,1}}', have => array[:id_fused]::text);
select send('{{1,0,0},{1,0,1}}', have => array['sha256:' || :'hidden']::text);
select send('{{1,0,0},{1,0,1}}');
select sparse_write(:bob, 's', 0, noise('bob'));
select sparse_commit(:bob) = :bob as committed;
reset role;
select sparse_drop('wide');
select refusal(format('select sparse_write_deltas(%s, ''w'', ''{}'', ''{}'', null, ''{wide}'', ''{{1,0,0}}'')', :id_wider));
-- Of a version that is ready nothing is wanted
select sparse_write_deltas(:bob, 't', '{0}', array[delta(noise('t'))], parents => '{}') as written;
-- A file without tensors has none that are named
select sparse_begin('plain', jsonb_build_array(jsonb_build_object('path', 'x', 'size', 256, 'sha256', encode(sha256(noise('x')), 'hex')))) as plain \gset
select refusal(format('select sparse_write_deltas(%s, null, ''{}'', ''{}'', null, ''{base}'', ''{{1,0,0}}'')', :plain));
select sparse_write_deltas(:plain, null, '{0}', array[as_delta(overlay(sdelta_send(sdelta_encode(noise('x'))) placing substr(sha256(noise('x')), 1, 8) from 41))]);
select sparse_commit(:plain) = :plain as committed;

select count(*) as problems from sparse.version v, sparse_verify(v.id) where v.state = 'ready';
drop owned by regress_parents_bob;
drop role regress_parents_bob;
