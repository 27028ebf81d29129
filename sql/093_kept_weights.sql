-- What versions weigh is kept, and a route is the same with it and without; scores as certain as they are; what is batched.
\set VERBOSITY terse
\set SHOW_CONTEXT never
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = notice;
create function framed(header text, bytes integer, fill text) returns bytea language sql as $$
    select substr(int8send(octet_length(header)), 8, 1) || '\x00000000000000'::bytea || convert_to(header, 'UTF8') || convert_to(repeat(fill, bytes), 'UTF8') $$;
create function imported(name text, fill text, parents text[] default '{}', adapter boolean default false) returns bigint language sql as $$
    select sparse_import_bytes(name, framed(rpad(format('{"model.layers.0.%s.weight": {"dtype": "BF16", "shape": [8], "data_offsets": [0, 16]}}', case when adapter then 'lora_A' else 'q' end), 120), 16, fill), parents,
        metadata => '{"config": {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4}}') $$;
select imported('base', 'a') as base \gset
select imported('tuned', 'b', '{base}') as tuned \gset
select imported('adapter', 'c', '{base}', true) as adapter \gset
select imported('other', 'd', '{base}', true) as other \gset

-- A version is weighed when it becomes ready
select version = any (array[:base, :tuned, :adapter, :other]) as of_an_import, class, weight_bytes, layers from sparse.weight order by version;
create temp table before as select * from sparse_route_candidates('{"name": "adapter", "prompt_tokens": 100, "output_tokens": 10}')
    union all select * from sparse_route_candidates('{"name": "tuned", "prompt_tokens": 100, "output_tokens": 10}');
create temp table weights_before as select v.id, w.* from sparse.version v, sparse_weights(v.id) w;
-- the tables by which configs are read change: it is forgotten, and nothing else changes
update sparse.config_key set source = source where quantity = 'layers';
select count(*) from sparse.weight;
select count(*) as different from (select v.id, w.* from sparse.version v, sparse_weights(v.id) w except select * from weights_before) d;
create temp table without as select * from sparse_route_candidates('{"name": "adapter", "prompt_tokens": 100, "output_tokens": 10}')
    union all select * from sparse_route_candidates('{"name": "tuned", "prompt_tokens": 100, "output_tokens": 10}');
select (select count(*) > 20 from before) as many, count(*) as different from ((table before except table without) union all (table without except table before)) d;
select sparse_keep_weights(), sparse_keep_weights() as again;
select count(*) as different from (select v.id, w.* from sparse.version v, sparse_weights(v.id) w except select * from weights_before) d;
-- so does a change of metadata by the store's owner, and a store that lacks the table gets it again
update sparse.version set metadata = '{}' where id = :tuned;
select layers is null as forgotten, (sparse_weights(:tuned)).layers is null as everywhere from sparse.weight where version = :tuned;
drop table sparse.weight;
select sparse_update_store();
select count(*) from sparse.weight;

-- The cheapest are the first of all candidates, as they were ranked
select count(*) as ranked, bool_and(a.version = r.version and a.hardware = r.hardware and a.batch = r.batch) as as_candidates
from sparse_route('{"family": "base", "prompt_tokens": 100, "output_tokens": 10, "alternatives": 400}') r
join (select row_number() over (order by cost_per_million, p50_ms, version, hardware, host nulls last) as rank, *
      from sparse_route_candidates('{"family": "base", "prompt_tokens": 100, "output_tokens": 10}') where refusal is null) a using (rank);
select count(*) from sparse_route('{"family": "base", "prompt_tokens": 100, "output_tokens": 10, "alternatives": 2}');

-- Who may not read tensors learns nothing of them; who may not see a version nothing of its weight
create role regress_kept_reader;
create function seen() returns text language plpgsql as $$
begin
    return (select string_agg(class, ' ' order by version) from sparse.weight);
exception when insufficient_privilege then
    return sqlerrm;
end $$;
grant usage on schema sparse to regress_kept_reader;
set role regress_kept_reader;
select seen();
reset role;
grant select on sparse.version to regress_kept_reader;
set role regress_kept_reader;
select coalesce(seen(), 'nothing');
reset role;
grant select on sparse.file, sparse.tensor to regress_kept_reader;
alter table sparse.version enable row level security;
create policy of_some on sparse.version to regress_kept_reader using (name in ('base', 'adapter'));
set role regress_kept_reader;
select seen();
delete from sparse.weight;
select sparse_keep_weights();
reset role;
drop policy of_some on sparse.version;
alter table sparse.version disable row level security;
drop owned by regress_kept_reader;
drop role regress_kept_reader;

-- Its triggers are fired by their own tables alone
create table own (id bigint, state text, metadata jsonb);
create trigger t after update on own for each row execute function sparse_version_weighed();
insert into own values (1, 'ready', '{}');
update own set id = 2;
create trigger s after insert on own execute function sparse_weights_outdated();
insert into own values (1, 'ready', '{}');
select count(*) from sparse.weight;

-- A floor is met by the least that a score may be worth
select round(sparse_quality_bound(0.8, 100, null, 1.645)::numeric, 4) as wilson, sparse_quality_bound(0.8, null, 0.1, 2) as error, sparse_quality_bound(0.8, null, null, 2) as bare,
    sparse_quality_bound(1250, 50, null, 2) as of_another_scale, round(sparse_quality_bound(1, 10, null, 1.645)::numeric, 4) as all_right, round(sparse_quality_bound(0, 10, null, 1.645)::numeric, 4) as all_wrong;
insert into sparse.quality (version, task, score, source, samples, measured_on) values (:base, 'chat', 0.8, 'ours', 100, '2026-05-12'), (:tuned, 'chat', 0.8, 'ours', 10000, '2026-05-12');
select distinct version = :base as is_base, refusal from sparse_route_candidates(format('{"versions": [%s, %s], "hardware": ["L4"], "task": "chat", "quality_floor": 0.75, "prompt_tokens": 100, "output_tokens": 10}', :base, :tuned)::jsonb) order by 1;
insert into sparse.quality (version, task, score, source, samples) values (:base, 'code', 0.8, 'ours', 0);
insert into sparse.quality (version, task, score, source, standard_error) values (:base, 'code', 0.8, 'ours', -1);

-- Batched is what an engine batches: a base and its adapters, but not two full models
select array(select name from sparse.version where id = any (b.versions) order by 1) as versions, size
from sparse_batch('[{"version": "base"}, {"version": "tuned"}, {"version": "adapter"}, {"version": "other"}, {"version": "tuned"}]') b order by 1;
-- A word is no score
select from sparse_route('{"versions": [1], "quality_floor": "high"}');
