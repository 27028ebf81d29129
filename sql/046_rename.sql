-- Names that move with all revisions and tags; versions that come back from being dropped.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
create function model(content text) returns bytea language sql as $$
    select substr(int8send(128), 8, 1) || '\x00000000000000'::bytea || convert_to(rpad(
        json_build_object('t', json_build_object('dtype', 'U8', 'shape', array[octet_length(content)], 'data_offsets', array[0, octet_length(content)]))::text, 128), 'UTF8')
        || convert_to(content, 'UTF8') $$;
create function content(version text) returns text language sql as $$ select convert_from(sparse_tensor(version, 't'), 'UTF8') $$;
select sparse_import_bytes('org/old', model('one')), sparse_import_bytes('org/old', model('two')), sparse_import_bytes('org/old', model('three')), sparse_import_bytes('org/other', model('other'), '{org/old@1}');
select sparse_drop('org/old@2'), sparse_tag('org/old@1', 'production');

-- All revisions move, tombstones and tags included; ids, numbers and lineage stay
select sparse_rename('org/old', 'new/name');
select id, name, revision, state from sparse.version order by id;
select content('new/name'), content('new/name@1'), content('new/name@production'), content('1');
select name, distance from sparse_lineage('org/other');
select content('org/old');
select content('org/old@production');
-- the old name is free again and starts anew
select sparse_import_bytes('org/old', model('again')) as id, (select count(*) from sparse.tag where name = 'org/old') as tags;
select revision from sparse.version where name = 'org/old';
-- the new one goes on
select sparse_import_bytes('new/name', model('four')) as id;
select max(revision) from sparse.version where name = 'new/name';
-- History keeps the names of its time, and ids lead from it to today's
select h.name, v.name as today, h.tag from sparse.tag_history h join sparse.version v on v.id = h.to_version;

-- What cannot be
select sparse_rename('org/old', 'new/name');
select sparse_rename('org/old', 'org/old');
select sparse_rename('no such', 'new');
select sparse_rename('org/old', '');
select sparse_rename('org/old', '77');
select sparse_rename('org/old', 'a@b');
select sparse_rename('org/old@1', 'x');
select name, count(*) from sparse.version group by 1 order by 1;
-- in one statement with what made it
select sparse_rename('quick', 'quicker') from sparse_import_bytes('quick', model('quick')) i where i > 0;

-- A dropped version comes back, with its tags, until it is collected
select sparse_drop('new/name@production');
select content('new/name@production');
select sparse_undrop('new/name@production');
select content('new/name@production'), dropped_at is null as undated from sparse.version where id = 1;
select sparse_undrop('new/name@1'), sparse_undrop(1);
select count(*) as problems from sparse_verify(1);
select sparse_drop(3), sparse_collect() is not null as collected;
select sparse_undrop(3);
select sparse_undrop('new/name@2');
insert into sparse.version (id, name, revision, family, state, dropped_at) values (99, 'never', 1, 1, 'dropped', now());
select sparse_undrop(99);
select sparse_undrop('no such');
select content('new/name@production');
