-- What row-level security hides is as if it were not there, whichever function is asked; no view tells its name or size.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
drop role if exists regress_sparse_reader, regress_sparse_analyst, regress_sparse_nobody;
create role regress_sparse_reader;
create role regress_sparse_analyst;
create role regress_sparse_nobody;
create function model(content bytea) returns bytea language sql as $$
    select substr(int8send(128), 8, 1) || '\x00000000000000'::bytea || convert_to(rpad(
        json_build_object('t', json_build_object('dtype', 'U8', 'shape', array[octet_length(content)], 'data_offsets', array[0, octet_length(content)]))::text, 128), 'UTF8')
        || content $$;
-- noise that zstd does not shrink, so that sizes are told from one another
create function noise(n int, seed text) returns bytea language sql as $$
    select string_agg(sha256(convert_to(seed || i, 'UTF8')), '' order by i) from generate_series(1, n) i $$;
create table rows as select i as id, md5(i::text) as h from generate_series(1, 300) i;

-- A family of which all but three are hidden: what they are is told of by "secret", or by numbers that nothing else has
select sparse_import_bytes('open/base', model(noise(100, 'base'))) as base;
alter table sparse.version alter column id restart 1002;
select sparse_import_bytes('secret/a', model(noise(3000, 'secret')), '{open/base}', metadata => '{"secret": 1}') as secret;
select sparse_import_bytes('open/child', model(noise(3000, 'secret') || noise(1, 'child')), '{secret/a}') as child;
select sparse_import_bytes('secret/grown', model(noise(500, 'grown')), '{open/child}') as grown;
select sparse_commit_rows('open/rows', 'select * from rows order by id', key => '{id}');
update rows set h = h || 'x' where id = 7;
select sparse_commit_rows('secret/rows', 'select * from rows order by id', 'open/rows', '{id}') as dataset;
select sparse_begin('secret/sent', '[{"path": "x", "size": 3, "sha256": "0000000000000000000000000000000000000000000000000000000000000000"}]') as sent;
select sparse_tag('secret/a', 'production'), sparse_tag('open/base', 'production');
select sparse_record_pull('secret/a', 5), sparse_record_pull('open/base', 7);
select sparse_rename('secret/grown', 'secret/renamed');

grant usage on schema sparse to regress_sparse_reader, regress_sparse_analyst;
grant create on schema public to regress_sparse_reader, regress_sparse_analyst, regress_sparse_nobody;
grant pg_read_server_files, pg_write_server_files to regress_sparse_reader;
grant execute on function pg_read_binary_file(text, bigint, bigint) to regress_sparse_reader;
grant select, insert, update on sparse.version, sparse.pull to regress_sparse_reader;
grant select on sparse.file, sparse.tensor, sparse.approximation, sparse.split, sparse.column, sparse.column_chunk, sparse.parent, sparse.tag, sparse.tag_history, sparse.quota,
    sparse.hardware, sparse.routing_constant, sparse.routing_rule, sparse.routing_task, sparse.quality, sparse.deployment to regress_sparse_reader;
do $$
declare
    view text;
begin
    for view in select relname from pg_class where relnamespace = 'sparse'::regnamespace and relkind = 'v' loop
        execute format('grant select on sparse.%I to %I', view,
                       case when view ~ '^(all_|storage|payload|growth)' then 'regress_sparse_analyst' else 'regress_sparse_reader' end);
    end loop;
end $$;
grant select on sparse.savings_history to regress_sparse_analyst;
alter table sparse.version enable row level security;
create policy visible on sparse.version to regress_sparse_reader using (name ~ '^(open|mine)/');

-- Every function of the extension with `reference` for each argument in turn that can name a version
create function outcome(call text) returns text language plpgsql as $$
declare
    n bigint;
begin
    execute call into n;
    return 'rows ' || n;
exception when others then
    return sqlstate || ' ' || sqlerrm;
end $$;
create function calls(reference text) returns table (function text, argument int, call text) language plpgsql as $$
declare
    references_are constant text[] := '{version,versions,a,b,ours,theirs,base,parent,parents,have,child,family,old,name,prefix}';
    f record;
    given text[];
    value text;
    type text;
begin
    for f in select p.oid, p.proname, p.prokind, p.proargnames[:p.pronargs] as names, p.proargtypes::oid[] as types, p.pronargs - p.pronargdefaults as needed
             from pg_proc p join pg_depend d on d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
             join pg_extension e on e.oid = d.refobjid and e.extname = 'sparse'
             where p.pronargs > 0 and p.prorettype <> 'trigger'::regtype and p.proname !~ '^(sdelta|sparse_report_|sparse_collect|sparse_nightly|sparse_create|sparse_routing_constant)' loop
        for i in 1..cardinality(f.names) loop
            continue when f.names[i] <> all (references_are);
            given := '{}';
            for j in 1..cardinality(f.names) loop
                type := format_type(f.types[j - 1], null);
                continue when j <> i and j > f.needed;
                value := case when j = i then case when type like '%[]' then quote_literal('{' || reference || '}') else quote_literal(reference) end
                              when f.names[j] = 'name' then quote_literal('mine/' || i)
                              when f.names[j] = any (references_are) then case type when 'bigint' then '1' when 'bigint[]' then '''{1}''' when 'text[]' then '''{open/base}''' else '''open/rows''' end
                              when type = 'bigint' or type = 'integer' then '0'
                              when type = 'anyelement' then 'null::public.rows'
                              when type = 'bytea' then '''\x00'''
                              when f.names[j] = 'key' then '''7'''
                              when f.names[j] = 'query' then '''select * from rows'''
                              when f.names[j] = 'queries' then '''{"a": "select * from rows"}'''
                              when f.names[j] = 'files' then '''[]'''
                              when f.names[j] = 'method' then '''int8'''
                              when f.names[j] = 'tensor' then '''t'''
                              when f.names[j] = 'tag' then '''production'''
                              when f.names[j] = 'new' then '''mine/new'''
                              when f.names[j] = 'path' and f.proname ~ 'export' then '''/nonexistent/x'''
                              when f.names[j] = 'path' then '''model.safetensors'''
                              when f.names[j] = 'target_table' then '''into_it'''
                              else 'null' end;
                if type <> 'anyelement' and f.proname <> 'sparse_row' then value := value || '::' || type; end if;
                given := given || case when f.proname = 'sparse_row' then value else format('%I => %s', f.names[j], value) end;
            end loop;
            -- an id where it is one
            continue when reference !~ '^[0-9]+$' and format_type(f.types[i - 1], null) ~ 'bigint';
            function := f.oid::regprocedure;
            argument := i;
            call := format(case f.prokind when 'p' then 'call %I(%s)' else 'select count(*) from %I(%s)' end, f.proname, array_to_string(given, ', '));
            return next;
        end loop;
    end loop;
end $$;
-- where what is hidden and what is not there are told apart
create function told_apart(hidden text, nothing text) returns table (function text, argument int, of_hidden text, of_nothing text) language sql as $$
    select * from (select function, argument, replace(outcome(a.call), '"' || hidden || '"', '*') as of_hidden, replace(outcome(b.call), '"' || nothing || '"', '*') as of_nothing
                   from calls(hidden) a join calls(nothing) b using (function, argument)) o
    where of_hidden <> of_nothing order by 1, 2 $$;
select count(*) > 80 as enough from calls('1002');
\set tell_apart 'begin; select * from told_apart(''1002'', ''8888''); select * from told_apart(''secret/a'', ''nothing/a''); select * from told_apart(''secret/a@1'', ''nothing/a@1''); select * from told_apart(''secret/a@production'', ''nothing/a@production''); select * from told_apart(''secret/rows'', ''nothing/rows''); select * from told_apart(''secret/sent'', ''nothing/sent''); rollback;'

set role regress_sparse_reader;
:tell_apart
-- (and who is asked of what he sees does tell)
begin;
select count(*) > 20 as answers from calls('open/base') where outcome(call) ~ '^rows';
rollback;

-- Nothing that can be read or drawn has the name, the metadata, or the size of what is hidden
create table told (by text, what text);
do $$
declare
    relation text;
    reference text;
    format text;
begin
    for relation in select relname from pg_class where relnamespace = 'sparse'::regnamespace and relkind in ('r', 'v', 'p') and has_table_privilege(oid, 'select') loop
        execute format('insert into told select %1$L, t::text from sparse.%1$I t', relation);
    end loop;
    foreach reference in array array['open/base', 'open/child', 'open/rows'] loop
        foreach format in array array['tree', 'dot', 'mermaid', 'svg'] loop
            insert into told values ('sparse_graph', sparse_graph(reference, format));
        end loop;
        insert into told select 'sparse_lineage', x::text from sparse_lineage(reference) x;
        insert into told select 'sparse_descendants', x::text from sparse_descendants(reference) x;
        insert into told select 'sparse_family', x::text from sparse_family(reference) x;
        insert into told select 'sparse_drop_preview', x::text from sparse_drop_preview(reference) x;
        insert into told select 'sparse_path', x::text from sparse_path('open/base', reference) x;
        insert into told select 'sparse_common_ancestor', x::text from sparse_common_ancestor('open/child', reference) x;
        insert into told select 'sparse_estimate', x::text from sparse_estimate(reference, null) x where reference <> 'open/rows';
    end loop;
    insert into told select 'sparse_versions', x::text from sparse_versions() x;
    insert into told select 'sparse_compare', x::text from sparse_compare('open/base', 'open/child') x;
    insert into told select 'sparse_find_parent', x::text from sparse_find_parent('open/child') x;
    insert into told values ('sparse_report', sparse_report()), ('sparse_report', sparse_report('html'));
end $$;
select count(distinct by) > 20 as enough from told;
select by from told where what ~ 'secret';
reset role;
select distinct t.by, n.what, n.size
from sparse.version v,
     lateral (values ('raw_bytes', v.raw_bytes), ('stored_bytes', v.stored_bytes), ('new_bytes', v.new_bytes)) n (what, size), told t
where v.name ~ 'secret' and n.size > 100 and t.by not in ('hardware', 'routing_constant')
  -- the files of the child and of the hidden one are nearly the same: what the child has is his
  and t.what ~ ('\m' || n.size || '\M') and not exists (select from sparse.version o where o.name ~ 'open' and n.size in (o.raw_bytes, o.stored_bytes, o.new_bytes))
order by 1;
-- ... nor the objects that the child is predicted from
select stored_bytes > 90000 as large from sparse.version where name = 'secret/a';
set role regress_sparse_reader;
select objects, stored_bytes < 10000 as small, kept_objects, kept_stored_bytes from sparse_drop_preview('open/child');

-- Who may read no version is told of none; who may read all figures reads nothing else
set role regress_sparse_nobody;
:tell_apart
set role regress_sparse_analyst;
:tell_apart
begin;
select function, outcome(call) as other_than_denied from calls('open/base') where outcome(call) !~ '^42501' order by 1;
rollback;
select count(*) as readable from pg_class where relnamespace = 'sparse'::regnamespace and relkind in ('r', 'p') and has_table_privilege(oid, 'select');

-- A name of which the hidden versions are exact, or approximations, is refused by the policy
set role regress_sparse_reader;
select sparse_approximate('open/base', 'int8', name => 'secret/a');
reset role;
drop table told;
drop owned by regress_sparse_reader, regress_sparse_analyst, regress_sparse_nobody;
drop role regress_sparse_reader, regress_sparse_analyst, regress_sparse_nobody;
