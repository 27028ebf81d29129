-- What a new version is made from and predicted from without being asked, and lineage that is corrected.
\set VERBOSITY terse
set client_min_messages = warning;
drop role if exists regress_sparse_owner, regress_sparse_ann, regress_sparse_bob;
create role regress_sparse_owner;
create role regress_sparse_ann;
create role regress_sparse_bob;
do $$ begin execute format('grant create on database %I to regress_sparse_owner', current_database()); end $$;
create extension sparse;
set role regress_sparse_owner;
select sparse_create_store();
reset role;

-- bf16 of either sign and several sizes, in one tensor
create function floats(seed int, count int) returns bytea language sql as $$
    select string_agg(set_byte(set_byte('\x0000', 0, h & 255), 1, 58 + (h >> 8 & 3) + (h >> 11 & 1) * 2 + (h >> 12 & 1) * 128), '' order by i)
    from generate_series(1, count) i, hashint4(seed * 100000 + i) h $$;
create function framed(header text, data bytea default '') returns bytea language sql as $$
    select string_agg(substr(n, i, 1), '' order by i desc) || convert_to(header, 'UTF8') || data
    from int8send(octet_length(convert_to(header, 'UTF8'))) n, generate_series(1, 8) i $$;
create function model(data bytea) returns bytea language sql as $$
    select framed(format('{"w":{"dtype":"BF16","shape":[%s,24],"data_offsets":[0,%s]}}', octet_length(data) / 48, octet_length(data)), data) $$;
-- of a seed, and so many of its elements are others
create function made(seed int, changed int default 0, by int default 99) returns bytea language sql as $$
    select model(floats(seed, 960 - changed) || case when changed > 0 then floats(seed + by, changed) else '' end) $$;
-- "role name@revision (source), ...; what is not lineage"
create function parents(version text) returns text language sql as $$
    select coalesce((select string_agg(format('%s %s@%s (%s)', p.role, v.name, v.revision, p.source), ', ' order by p.ordinal)
                     from sparse.parent p join sparse.version v on v.id = p.parent where p.child = c.id), '-')
        || coalesce((select format('; found %s@%s', v.name, v.revision) from sparse.found_parent f join sparse.version v on v.id = f.parent where f.version = c.id), '')
    from sparse_version_id($1) c (id) $$;
create function small(version text) returns boolean language sql as $$
    select stored_bytes < raw_bytes / 2 from sparse.version where id = sparse_version_id($1) $$;

reset client_min_messages;
-- A new revision is predicted from the one before, and that is said and kept
select sparse_import_bytes('m', made(1));
select sparse_import_bytes('m', made(1, 40));
select parents('m@1'), parents('m@2'), small('m@1'), small('m@2');
-- beside what is named; what is named is not named twice
select sparse_import_bytes('other', made(2));
select sparse_import_bytes('m', made(1, 50), '{other}');
select sparse_import_bytes('m', made(1, 60), '{m@3}');
select sparse_import_bytes('m', made(1, 70), '{m@4}', '{continued}');
select parents('m@3'), parents('m@4'), parents('m@5'), small('m@3');
-- known content is no revision, and has itself not as parent
select sparse_import_bytes('m', made(1, 70), '{m}') = sparse_version_id('m@5') as same;
select parents('m@5');
-- not one that was dropped, nor an approximation
select sparse_drop('m@5');
select sparse_import_bytes('m', made(1, 80));
select parents('m@6');
select sparse_undrop('m@5');
-- lineage crosses it
select version, role, distance from sparse_lineage('m@4') order by distance, version;

-- Where a name is new, and nothing is named, what its sketch finds predicts it, and is no ancestor
select sparse_import_bytes('n', made(1, 90));
select parents('n'), small('n');
select count(*) as ancestors from sparse_lineage('n');
select count(*) as descendants from sparse_descendants('m@5') where name = 'n';
select estimated_bytes between 0 and 1920 as estimated from sparse.found_parent;
-- it is one of the family, by which a repack knows it
select n.family = m.family as kin from sparse.version n, sparse.version m where n.id = sparse_version_id('n') and m.id = sparse_version_id('m@1');
-- nothing is said where nothing is found
select sparse_import_bytes('alone', made(77));
select parents('alone');

-- As far as it is wanted
set sparse.find_parents = 'previous';
select sparse_import_bytes('o', made(1, 100));
select sparse_import_bytes('o', made(1, 110));
select parents('o@1'), parents('o@2'), small('o@1'), small('o@2');
set sparse.find_parents = 'off';
select sparse_import_bytes('o', made(1, 120));
select parents('o@3'), small('o@3');
reset sparse.find_parents;
select sparse_import_bytes('o', made(1, 130), find_parents => false);
select sparse_import_bytes('p', made(1, 140), find_parents => false);
select parents('o@4'), parents('p');
select sparse_import_bytes('p', made(1, 150), '{other}', find_parents => true);
select parents('p@2');
set sparse.find_parents = 'some';

-- An upload likewise: the revision before when it is begun, the sketch when it is committed
create function header_bytes(data bytea) returns int language sql as $$
    select 8 + sum(get_byte(data, i) * 256 ^ i)::int from generate_series(0, 3) i $$;
create function begun(name text, data bytea, parents text[] default '{}') returns bigint language sql as $$
    select sparse_begin(name, jsonb_build_array(jsonb_build_object('path', 'model.safetensors', 'size', octet_length(data), 'sha256', encode(sha256(data), 'hex'),
        'header', translate(encode(substr(data, 1, h), 'base64'), E'\n', ''), 'tensors', jsonb_build_object('w', encode(sha256(substr(data, h + 1)), 'hex')))), parents)
    from header_bytes(data) h $$;
create function sent(id bigint, data bytea) returns bigint language sql as $$
    select count(*) from (
        select sparse_write(id, l.tensor, l.seq, substr(data, l.file_offset::int + 1, l.bytes::int), l.file)
        from sparse_layout(id) l where l.wanted offset 0) x $$;
select begun('m', made(1, 200)) as id \gset
select sent(:id, made(1, 200)), sparse_commit(:id) = :id as committed;
select parents('m@7'), small('m@7');
select begun('up', made(1, 210)) as id \gset
select parents('up');
select sent(:id, made(1, 210)), sparse_commit(:id) = :id as committed;
select parents('up'), small('up');
select u.family = m.family as kin from sparse.version u, sparse.version m where u.id = sparse_version_id('up') and m.id = sparse_version_id('m@1');
select count(*) as problems from sparse_verify('up');
-- decided when it was begun
set sparse.find_parents = 'previous';
select begun('later', made(1, 220)) as id \gset
reset sparse.find_parents;
select sent(:id, made(1, 220)), sparse_commit(:id) = :id as committed;
select parents('later');
-- what was given up leaves nothing
select begun('m', made(1, 230)) as id \gset
select sparse_abort(:id);
select count(*) from sparse.parent where child = :id;
-- known content, and content that became known meanwhile, gets the parents that are named
select begun('alone', made(77), '{other}') = sparse_version_id('alone') as known;
select begun('raced', made(78), '{other}') as id \gset
select sent(:id, made(78));
select sparse_import_bytes('raced', made(78)) as first \gset
select sparse_commit(:id) = :first as same;
select parents('alone'), parents('raced');
-- left for the night, it is looked through then
set sparse.optimize_commits = off;
select begun('night', made(1, 240)) as id \gset
select sent(:id, made(1, 240)), sparse_commit(:id) = :id as committed;
reset sparse.optimize_commits;
select parents('night'), small('night'), (select count(*) from sparse.unoptimized where version = :id) as noted;
set client_min_messages = warning;
call sparse_optimize(:id);
reset client_min_messages;
select small('night');

-- Rows likewise; a model of that name is none of their revisions
select sparse_commit_rows('rows', 'select i, repeat(md5(i::text), 3) as t from generate_series(1, 300) i');
select sparse_commit_rows('rows', 'select i, repeat(md5(i::text), 3) as t from generate_series(1, 310) i');
select parents('rows@1'), parents('rows@2'), small('rows@2');
select sparse_commit_rows('m', 'select 1 as one');
select parents('m@8');
select sparse_import_bytes('rows', made(3));
select parents('rows@3');
select raw_bytes > 0 as estimated from sparse_estimate_rows('select 1 as one');

-- Corrections: added, taken away, and kept in a history
select sparse_add_parent('alone', 'm@1'), sparse_add_parent('alone', 'm@1'), sparse_add_parent('alone', 'm@1', 'merge');
-- in whatever order they were stored
select sparse_import_bytes('base-after', made(5)) as base \gset
select sparse_add_parent(sparse_version_id('alone'), :base);
select parents('alone');
select version, distance from sparse_lineage('alone') order by distance, version;
select count(*) from sparse_descendants('base-after');
select sparse_remove_parent('alone', 'm@1', 'merge'), sparse_remove_parent('alone', 'other');
select sparse_remove_parent('alone', 'other');
select sparse_remove_parent('alone', 'm@1', 'merge');
select sparse_add_parent('alone', 'm@2');
select parents('alone');
select sparse_add_parent('rows@2', 'other');
select parents('rows@2');
select c.name as child, p.name as parent, h.role, h.source, h.added, h.changed_by = current_user as by_me
from sparse.parent_history h join sparse.version c on c.id = h.child join sparse.version p on p.id = h.parent order by h.id;
-- no circles, of any length
select sparse_add_parent('m@1', 'm@1');
select sparse_add_parent('m@1', 'm@2');
select sparse_add_parent('m@1', 'm@6');
select sparse_add_parent('base-after', 'alone');
begin isolation level repeatable read;
select sparse_add_parent('base-after', 'alone');
rollback;
-- nor by naming one for content that is known
select sparse_import_bytes('m', made(1), '{m@4}') = sparse_version_id('m@1') as same;
select parents('m@1');
-- what is asked for must be there
select sparse_add_parent('m@1', 'nothing');
select sparse_add_parent('m@1', null);
select sparse_add_parent('m@1', 'other', '');
select begun('open', made(1, 250)) as id \gset
select sparse_add_parent(:id, 1), sparse_add_parent(1, :id);
select sparse_remove_parent(:id, 1);
select sparse_abort(:id);
-- of a tombstone an edge can be taken, none be given to it
select sparse_drop('alone');
select sparse_add_parent('alone@1', 'm@3');
select sparse_remove_parent('alone@1', 'm@2');

-- Other forms of the same weights are found by what they have in common
create function reals(x float8[]) returns bytea language sql as $$
    select string_agg((select string_agg(substr(float4send(v::float4), k, 1), ''::bytea order by k desc) from generate_series(1, 4) k), ''::bytea order by o) from unnest(x) with ordinality u (v, o) $$;
-- {name, dtype, shape, ...}
create function tensors(what text[], variadic data bytea[]) returns bytea language sql as $$
    select framed('{' || string_agg(format('"%s":{"dtype":"%s","shape":%s,"data_offsets":[%s,%s]}', what[3 * i - 2], what[3 * i - 1], what[3 * i], first, first + octet_length(data[i])), ',' order by i) || '}',
                  string_agg(data[i], ''::bytea order by i))
    from generate_subscripts(data, 1) i, lateral (select coalesce(sum(octet_length(d)), 0)::int as first from unnest(data[:i - 1]) d) f $$;
create table number as select i, hashint4(i) % 127 as n from generate_series(1, 128 * 80) i;
create function norm(seed int) returns bytea language sql as $$ select reals(array_agg(1 + (hashint4(seed * 1000 + i) % 1000) / 3000.0 order by i)) from generate_series(1, 80) i $$;
create function bytes_of(factor int default 1) returns bytea language sql as $$ select string_agg(set_byte('\x00', 0, (n * factor) & 255), ''::bytea order by i) from number $$;
create function scales(count int) returns bytea language sql as $$ select reals(array_agg(0.037 order by i)) from generate_series(1, count) i $$;
create function found(data bytea) returns text language plpgsql as $$
declare
    id bigint := sparse_import_bytes('form', data, find_parents => false);
    answer text;
begin
    select name into answer from sparse_find_parent(id) limit 1;
    perform sparse_drop(id);
    return answer;
end $$;
set client_min_messages = warning;
select sparse_import_bytes('float', tensors('{a.norm.weight,F32,[80],b.norm.weight,F32,[80],mlp.weight,F32,"[128,80]"}', norm(1), norm(2),
    (select reals(array_agg(n * 0.037 order by i)) from number)), find_parents => false) > 0 as imported;
select sparse_import_bytes('unkin', tensors('{a.norm.weight,F32,[80],b.norm.weight,F32,[80],mlp.weight,F32,"[128,80]"}', norm(3), norm(4),
    (select reals(array_agg(n * 0.041 + i % 17 order by i)) from number)), find_parents => false) > 0 as imported;
-- scales of one column, of groups; weights that are packed; experts that are fused; fewer neurons
select found(tensors('{a.norm.weight,F32,[80],b.norm.weight,F32,[80],mlp.weight,I8,"[128,80]",mlp.weight_scale,F32,"[128,1]"}', norm(1), norm(2), bytes_of(), scales(128))) as one_column,
       found(tensors('{a.norm.weight,F32,[80],b.norm.weight,F32,[80],mlp.weight,I8,"[128,80]",mlp.weight_scale,F32,"[128,2]"}', norm(1), norm(2), bytes_of(), scales(256))) as groups,
       found(tensors('{a.norm.weight,F32,[80],b.norm.weight,F32,[80],mlp.qweight,I32,"[16,128]",mlp.scales,F32,"[2,128]"}', norm(1), norm(2), substr(bytes_of(3), 1, 8192), scales(256))) as packed,
       found(tensors('{a.norm.weight,F32,[80],b.norm.weight,F32,[80],experts.weight,F32,"[2,64,80]"}', norm(1), norm(2), (select reals(array_agg(n * 0.037 order by i)) from number))) as fused,
       found(tensors('{a.norm.weight,F32,[80],b.norm.weight,F32,[80],mlp.weight,F32,"[80,100]"}', norm(1), norm(2), (select reals(array_agg(n * 0.037 order by i)) from number where i <= 8000))) as narrower;
-- norms that were never trained are alike in all models: they find nothing
create function ones() returns bytea language sql as $$ select reals(array_agg(1 order by i)) from generate_series(1, 80) i $$;
select sparse_import_bytes('fresh', tensors('{a.norm.weight,F32,[80],b.norm.weight,F32,[80],mlp.weight,F32,"[128,80]"}', ones(), ones(),
    (select reals(array_agg(n * 0.05 order by i)) from number)), find_parents => false) > 0 as imported;
select found(tensors('{a.norm.weight,F32,[80],b.norm.weight,F32,[80],mlp.qweight,I32,"[16,128]"}', ones(), ones(), substr(bytes_of(5), 1, 8192))) is null as none;

-- Rights: policies of sparse.version decide all of it
set role regress_sparse_owner;
grant usage on schema sparse to regress_sparse_ann, regress_sparse_bob;
grant select, insert on sparse.version to regress_sparse_ann, regress_sparse_bob;
grant update on sparse.version to regress_sparse_ann;
grant select on sparse.parent, sparse.found_parent, sparse.parent_history to regress_sparse_ann, regress_sparse_bob;
alter table sparse.version enable row level security;
create policy visible on sparse.version for select using (metadata @> '{"public": true}' or created_by = current_user);
create policy add on sparse.version for insert with check (true);
create policy change on sparse.version for update using (created_by = current_user);
reset client_min_messages;
-- a previous revision that he cannot see is not used, and he is told nothing of it
set role regress_sparse_ann;
select sparse_import_bytes('shared', made(31)) as secret \gset
set role regress_sparse_bob;
select sparse_import_bytes('shared', made(31, 30));
select parents('shared@2'), small('shared@2');
-- the newest that he can see is
set role regress_sparse_ann;
select sparse_import_bytes('shared', made(31, 40), metadata => '{"public": true}');
select sparse_import_bytes('shared', made(31, 50));
set role regress_sparse_bob;
select sparse_import_bytes('shared', made(31, 60), metadata => '{"public": true}');
select parents('shared@5');
-- nor does he find by a sketch what he cannot see
set role regress_sparse_ann;
select sparse_import_bytes('ann/secret', made(41));
set role regress_sparse_bob;
select sparse_import_bytes('bob/like', made(41, 30)), begun('bob/up', made(41, 50)) as id \gset
select sent(:id, made(41, 50)), sparse_commit(:id) = :id as committed;
select parents('bob/like'), parents('bob/up');
-- who may update a version may correct its parents, if he sees them
set role regress_sparse_ann;
select sparse_import_bytes('ann/mine', made(51), metadata => '{"public": true}'), sparse_import_bytes('ann/other', made(52), metadata => '{"public": true}');
select sparse_add_parent('ann/mine', 'ann/other'), sparse_add_parent('ann/mine', 'ann/secret');
select sparse_add_parent('shared@5', 'ann/mine');
select sparse_remove_parent('shared@5', 'shared@3');
set role regress_sparse_bob;
-- (without the privilege to update versions)
select sparse_add_parent('shared@5', 'ann/mine');
select sparse_remove_parent('shared@5', 'shared@3');
select sparse_add_parent('shared@5', 'ann/secret');
-- naming a parent of content that is known is no way around: it is stored, he is warned
select sparse_import_bytes('ann/mine', made(51), '{bob/like}') = sparse_version_id('ann/mine') as same;
select parents('ann/mine');
-- the rows show no edge of which one end is hidden
select count(*) as history, count(*) filter (where parent = (select id from sparse.version where name = 'ann/secret')) as hidden from sparse.parent_history;
insert into sparse.parent_history (child, parent, role, source, added) values (1, 2, 'x', 'added', true);
delete from sparse.found_parent;
reset role;
-- What nobody says by whom is as before
select changed_by, added, count(*) from sparse.parent_history group by 1, 2 order by 1, 2;
set client_min_messages = warning;
-- A store of before gets what it lacks
create table before as select child, parent, role, source from sparse.parent;
drop table sparse.parent_history, sparse.found_parent;
alter table sparse.parent drop constraint parent_check;
alter table sparse.parent drop column source;
alter table sparse.upload drop column find_parent;
alter table sparse.sketch drop column width;
delete from sparse.parent where parent > child;
alter table sparse.parent add check (parent < child);
set role regress_sparse_owner;
select sparse_update_store();
select sparse_update_store();
reset role;
select distinct source from sparse.parent;
select sparse_add_parent('m@6', 'unkin');
select to_regclass('sparse.found_parent') is not null as there, pg_get_userbyid(relowner) from pg_class where oid = 'sparse.found_parent'::regclass;
drop schema sparse cascade;
drop owned by regress_sparse_ann, regress_sparse_bob, regress_sparse_owner;
drop role regress_sparse_ann;
drop role regress_sparse_bob;
drop role regress_sparse_owner;
