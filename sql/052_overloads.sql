-- Whoever may create in the extension's schema can make functions of its names there, which fit a call better than
-- ours. No call of ours is taken by one, for some are made as the store's owner: each gives all arguments, of the exact types.
\set VERBOSITY terse
set client_min_messages = warning;
drop role if exists regress_sparse_owner, regress_sparse_mallory;
create role regress_sparse_owner;
create role regress_sparse_mallory;
do $$ begin execute format('grant create on database %I to regress_sparse_owner', current_database()); end $$;
create schema shared;
grant create, usage on schema shared to public;
create extension sparse schema shared;

-- beside each function of the extension: one for each other type of an argument, and for each default that can be left out
set role regress_sparse_mallory;
create function shared.made_beside(name text, arguments text[], returned text) returns boolean language plpgsql as $make$
begin
    execute format($f$create function shared.%I(%s) returns %s language plpgsql as
        $b$ begin raise exception 'taken by %1$s(%2$s), as %%', current_user; end $b$ $f$,
        name, array_to_string(arguments, ', '), returned);
    return true;
-- there is one of these arguments, or its result cannot be of plpgsql
exception when duplicate_function or feature_not_supported or invalid_function_definition then
    return false;
end
$make$;
select count(*) > 700 as many
from (select p.proname::text as name, format_type(p.prorettype, null) as result, p.proretset, p.pronargdefaults as defaults,
             array(select format_type(a, null) from unnest(p.proargtypes) with ordinality u (a, i) order by i) as arguments
      from pg_proc p
      join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
      join pg_extension e on e.oid = d.refobjid and e.extname = 'sparse'
      where p.prokind in ('f', 'a') and p.prorettype not in ('trigger'::regtype, 'internal'::regtype)) f
cross join lateral (
    select f.arguments[: cardinality(f.arguments) - k] as arguments from generate_series(1, f.defaults) k
    union all
    select f.arguments[: i - 1] || other || f.arguments[i + 1 :]
    from generate_subscripts(f.arguments, 1) i
    join (values ('bigint', 'integer'), ('integer', 'smallint'), ('integer', 'bigint'), ('smallint', 'integer'),
                 ('numeric', 'integer'), ('numeric', 'bigint'), ('numeric', 'double precision'),
                 ('double precision', 'numeric'), ('double precision', 'integer'), ('double precision', 'bigint'),
                 ('jsonb', 'text'), ('jsonb', 'json'), ('text', 'character varying'), ('text', 'name'), ('text', '"char"'),
                 ('interval', 'text'), ('bytea', 'text'), ('date', 'text'), ('date', 'timestamp with time zone'),
                 ('boolean', 'text'), ('text[]', 'character varying[]'), ('text[]', 'name[]'), ('text[]', 'text'),
                 ('bigint[]', 'integer[]'), ('bigint[]', 'text')) t (declared, other) on t.declared = f.arguments[i]) o
where shared.made_beside(f.name, o.arguments, case when f.proretset then 'setof ' else '' end || f.result);
reset role;

-- (What a user calls himself is his to qualify: all arguments are given here, of their types.)
set role regress_sparse_owner;
select shared.sparse_create_store();
reset role;
set search_path = shared, public;
select sparse_import_file('base'::text, current_setting('sparse_test.data') || '/mini-base.safetensors', '{}'::text[], null::text[],
                          '{"config": {"num_hidden_layers": 2, "hidden_size": 64}, "quality": 1}'::jsonb, false);
select sparse_import_file('child'::text, current_setting('sparse_test.data') || '/mini-finetune.safetensors', array['base'::text], null::text[],
                          '{}'::jsonb, false);
select sparse_import_file('other'::text, current_setting('sparse_test.data') || '/mini-chain-1.safetensors', array['child'::text], null::text[],
                          '{}'::jsonb, false);
select stored_bytes > 0 as stored from sparse_estimate_file(current_setting('sparse_test.data') || '/mini-finetune.safetensors', array['base'::text], 100000::bigint);
select stored_bytes > 0 as stored from sparse_estimate('child'::text, 'base'::text, 100000::bigint);
select stored_bytes > 0 as stored from sparse_try_import(current_setting('sparse_test.data') || '/mini-chain-2.safetensors', array['base'::text]);
-- what is coded anew is counted by a trigger, as the store's owner
call sparse_materialize('other'::text) \gset
call sparse_repack('all'::text, 1, interval '10 min') \gset
select :bytes_after < :bytes_before as coded_anew;
call sparse_nightly(interval '10 min', 8, interval '1 day') \gset
select count(*) from sparse.savings_history where scope = 'family';
select length(sparse_report('html'::text, true)) > 0 as html, length(sparse_report('markdown'::text, false)) > 0 as markdown,
       length(sparse_report('text'::text, false)) > 0 as text;
select count(*) from sparse.savings;
select count(*) > 0 as any from sparse.savings_by_predictor;
select count(*) > 0 as any from sparse_route('{"name": "child", "prompt": "write a loop in C"}'::jsonb);
select count(*) from sparse_batch('[{"id": 1, "version": "child", "arrives_ms": 1}]'::jsonb, 3, 5::double precision);
select count(*) from sparse_route_candidates('{"versions": ["child"], "family": "base", "prompt": "hello"}'::jsonb);
select weight_bytes > 0 as weighed from sparse_weights(2::bigint);
select task from sparse_classify('hello'::text, 3, 4);
select sparse_update_store();
select count(*) from sparse_verify('other'::text);

reset search_path;
drop schema sparse cascade;
drop owned by regress_sparse_mallory;
drop extension sparse;
drop schema shared;
drop owned by regress_sparse_owner;
drop role regress_sparse_owner, regress_sparse_mallory;
