-- What people do to datasets: shuffled, sampled, sorted, filtered, edited: rows come back exactly, and cost their map.
\set VERBOSITY terse
create extension sparse;
select from sparse_create_store();
select setseed(.25);
create table base as
select i as id, md5(i::text) as hash, 'a text of row ' || i || ': ' || repeat(md5((i / 7)::text), 1 + i % 3) as words,
       case when i % 11 > 0 then i * .25 end as score, array[i, -i, i % 5] as numbers
  from generate_series(1, 20000) i;
select sparse_commit_rows('base', 'select * from base order by id', key => array['id']) > 0 as committed;

-- Whether a version gives back the rows of a table in their order, and is sound.
create procedure derive(name text, query text, parent text)
language plpgsql as $$
declare
    stored bigint;
    wrong bigint;
    problems bigint;
    rows bigint;
begin
    execute 'drop table if exists derived';
    execute 'create table derived as select row_number() over () as n, d.* from (' || query || ') d';
    perform sparse_commit_rows(name, 'select id, hash, words, score, numbers from derived order by n', parent);
    select v.stored_bytes into stored from sparse.version v where v.name = derive.name order by v.id desc limit 1;
    select count(*) into rows from derived;
    select count(*) into wrong
      from (select row_number() over () as n, r.* from sparse_rows_as(null::base, name) r) r
      full join derived d using (n)
     where (r.id, r.hash, r.words, r.score, r.numbers) is distinct from (d.id, d.hash, d.words, d.score, d.numbers);
    select count(*) into problems from sparse_verify_rows(name);
    raise notice '%: % rows, % wrong, % problems, %', name, rows, wrong, problems,
        case when stored <= 2000 then 'at most 2 KB' when stored <= 8000 then 'at most 8 KB'
        when stored <= 60000 then 'at most 60 KB' else 'more' end;
end
$$;

call derive('shuffled', 'select * from base order by md5(id || ''s'')', 'base');
call derive('half', 'select * from base where hashtext(id::text) % 2 = 0 order by id', 'base');
call derive('filtered', 'select * from base where id between 5000 and 15000 order by id', 'base');
call derive('sorted', 'select * from base order by id % 100, id', 'base');
call derive('twice', 'select b.* from base b, generate_series(1, 2) i order by i, id', 'base');
call derive('edited', 'select id, hash, case when id % 2000 = 7 then upper(words) else words end as words, score, numbers from base order by id', 'base');

-- of derived ones again
call derive('shuffled and halved', 'select * from base where id % 2 = 0 order by md5(id || ''s'')', 'shuffled');
call derive('edited and shuffled', 'select id, hash, case when id % 2000 = 7 then upper(words) else words end as words, score, numbers from base order by md5(id || ''t'')', 'edited');
call derive('edited twice', 'select id, hash, case when id % 2000 in (7, 9) then upper(words) else words end as words, score, numbers from base order by id', 'edited');
call derive('half and back', 'select * from base order by id', 'half');

-- a range and a column, through a permutation
select r ->> 'id' = d.id::text as same
  from sparse_rows('shuffled', columns => array['id'], first => 7777, rows => 3) with ordinality r(r, n)
  join (select id, row_number() over (order by md5(id || 's')) - 7777 as n from base) d using (n) order by n;

-- a difference tells what was edited, and that nothing else was
select count(*), count(*) filter (where op = 'update') as updates from sparse_row_diff('edited', 'edited twice', by => array['id']);
select count(*) from sparse_row_diff('base', 'shuffled', by => array['id']);
select count(*), min(op) from sparse_row_diff('base', 'half and back');
select op, count(*) from sparse_row_diff('shuffled', 'half', by => array['id']) group by op;

-- nulls, long values, empty texts and rows that stand twice
create table odd as select i % 500 as id, case when i % 3 = 0 then null when i % 5 = 0 then '' else md5((i % 500)::text) end as hash,
       case when i in (77, 1777) then repeat('long', 100000) else repeat(md5((i % 500)::text), 4) end as words,
       (i % 7)::numeric as score, case when i % 9 > 0 then array[i % 500] end as numbers from generate_series(1, 4000) i;
alter table odd add n bigserial;
select sparse_commit_rows('odd', 'select id, hash, words, score, numbers from odd order by n') > 0 as committed;
call derive('odd shuffled', 'select id, hash, words, score, numbers from odd order by md5(n || ''o'')', 'odd');
call derive('odd edited', 'select id, hash, case n when 100 then repeat(''new'', 100000) when 200 then null else words end as words, score, numbers from odd order by md5(n || ''o'')', 'odd shuffled');

-- derivations of derivations, by chance
do $$
declare
    parent text := 'base';
    query text := 'select * from base';
begin
    for i in 1 .. 12 loop
        query := case (hashtext(i::text) & 3)
            when 0 then format('select * from (%s) a where id %% %s > 0', query, 10 + i)
            when 1 then format('select * from (%s) a', query)
            when 2 then format('select id, md5(hash) as hash, words, score, numbers from (%s) a where id %% 500 = %s union all select * from (%s) b where id %% 500 <> %s', query, i, query, i)
            else format('select id, hash, words, case when id %% 1000 = %s then -score else score end as score, numbers from (%s) a', i, query) end;
        call derive('chance ' || i, format('select * from (%s) q order by md5(id || %L), id', query, i / 3), parent);
        parent := 'chance ' || i;
    end loop;
end
$$;

-- they stand without their parents, and a map that is damaged is found
select sparse_drop('base'), sparse_drop('shuffled');
select count(*) >= 0 as collected from sparse_collect();
select count(*) from sparse_verify_rows('shuffled and halved');
create temporary table map as
select h.object[1] as object from sparse.column_chunk h join sparse.version v on v.id = h.version
 where v.name = 'edited twice' and h.ordinal = 0 and h.first_row = 1::bigint << 62;
update sparse.chunk set delta = set_byte(delta, length(delta) - 3, get_byte(delta, length(delta) - 3) # 1) where object = (select object from map);
select count(*) > 0 as found from sparse_verify_rows('edited twice');
\set VERBOSITY sqlstate
select sparse_rows('edited twice', rows => 1);
\set VERBOSITY terse

-- nor is a map taken that is not the split's, or not there
create function tried(what text, change text) returns text language plpgsql as $$
declare
    read text := 'read';
    problems bigint;
begin
    begin
        execute format('update sparse.column_chunk h set %s from sparse.version v where v.id = h.version and v.name = ''half'' and h.ordinal = 1 and h.first_row = 1::bigint << 62', change);
        begin
            perform hash from sparse_rows_as(null::base, 'half');
        exception when others then
            read := sqlstate;
        end;
        select count(*) into problems from sparse_verify_rows('half');
        raise exception using errcode = 'TAKEN', message = format('%s: %s, %s', what, read, case when problems > 0 then 'found' else 'not found' end);
    exception when sqlstate 'TAKEN' then
        return sqlerrm;
    end;
end
$$;
select tried('another''s map', 'object = (select o.object from sparse.column_chunk o join sparse.version w on w.id = o.version where w.name = ''filtered'' and o.ordinal = 0 and o.first_row = 1::bigint << 62)');
select tried('a chunk for a map', 'object = array[(select o.object[1] from sparse.column_chunk o join sparse.version w on w.id = o.version where w.name = ''base'' and o.ordinal = 0 and o.first_row = 0)]');
select tried('no such object', 'object = array[987654321]');
select tried('more stored rows', 'rows = array[20001]');
select tried('a negative number of them', 'rows = array[-20000]');
select tried('no map', 'first_row = h.first_row + 1');
