-- Where to run a version: the ten requests of docs/routing.md, refusals, privileges.
\set VERBOSITY terse
\set SHOW_CONTEXT never
set client_min_messages = notice;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = notice;
insert into sparse.family (place, name) values (0, 'llama'), (0, 'mix');
insert into sparse.version (name, revision, family, state, content_sha256, raw_bytes, stored_bytes, metadata)
select n, 1, f, 'ready', sha256(n::bytea), raw, stored, meta
from (values (1, 'base8', 1, 16e9::bigint, 11e9::bigint, '{"config": {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8}}'::jsonb),
             (2, 'tune8', 1, 16e9, 2e9, '{"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}'),
             (3, 'mix', 2, 93.4e9, 80e9, '{"config": {"num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2}}'),
             (4, 'plain', 2, 2e9, 1e9, '{}')) v(i, n, f, raw, stored, meta)
order by i;
insert into sparse.parent (child, ordinal, parent) values (2, 0, 1);
insert into sparse.tag (name, tag, version) values ('tune8', 'production', 2);
insert into sparse.quality values (1, 'chat', 0.6, 'ours'), (2, 'chat', 0.8, 'ours'), (3, 'chat', 0.9, 'ours');
insert into sparse.deployment (host, hardware, version) values ('gpu1', 'H100 SXM', 1);

create function route(request jsonb)
returns table (n bigint, v bigint, hw text, host text, cost numeric, p50 numeric, p99 numeric, load numeric, q double precision, mem bigint)
language sql as $$ select rank, version, hardware, host, cost_per_million, p50_ms, p99_ms, load_ms, quality, memory_bytes from sparse_route(request) $$;
-- 1 one version, one GPU, one request at a time
select * from route('{"versions": ["base8"], "hardware": ["A100 80GB"], "prompt_tokens": 1000, "output_tokens": 100, "batch": 1}');
-- 2 the same in batches of eight
select * from route('{"versions": ["base8"], "hardware": ["A100 80GB"], "prompt_tokens": 1000, "output_tokens": 100, "batch": 8}');
-- 3 the base is resident on gpu1: only the delta is loaded
select * from route('{"tag": "production", "hardware": ["H100 SXM"], "prompt_tokens": 1000, "output_tokens": 100, "batch": 1}');
-- 4 a quality floor
select * from route('{"versions": [1, 2], "hardware": ["L40S"], "task": "chat", "quality_floor": 0.7, "prompt_tokens": 1000, "output_tokens": 100, "batch": 1}');
-- 5 a latency budget
select * from route('{"versions": [1], "hardware": ["L4", "L40S"], "latency_ms": 10000, "prompt_tokens": 1000, "output_tokens": 100, "batch": 1}');
-- 6 memory: 16 GB and a long context
select * from route('{"versions": [1], "hardware": ["L4", "L40S"], "context": 128000, "prompt_tokens": 1000, "output_tokens": 100, "batch": 1}');
-- 7 experts
select * from route('{"versions": [3], "hardware": ["MI300X"], "prompt_tokens": 1000, "output_tokens": 100, "batch": 1}');
-- 8 experts in a batch
select * from route('{"versions": [3], "hardware": ["MI300X"], "prompt_tokens": 1000, "output_tokens": 100, "batch": 4}');
-- 9 no config, no score
select * from route('{"versions": [4], "hardware": ["T4"], "prompt_tokens": 1000, "output_tokens": 100, "batch": 1}');
select reason from sparse_route('{"versions": [4], "hardware": ["T4"], "prompt_tokens": 1000, "output_tokens": 100, "batch": 1}');
-- 10 the time to load counts
select * from route('{"versions": [2], "hardware": ["H100 SXM"], "include_load": true, "latency_ms": 7000, "prompt_tokens": 1000, "output_tokens": 100, "batch": 1}');

-- Nothing fits, and why
select * from route('{"versions": [3], "hardware": ["T4"]}');
select refusal from sparse_route_candidates('{"versions": [3], "hardware": ["T4"]}');
select refusal from sparse_route_candidates('{"versions": [4], "hardware": ["T4"], "quality_floor": 0.5}');
select count(*), min(rank), max(rank) from sparse_route('{"family": 1, "alternatives": 3}');
select count(*) > 0 from sparse_route('{"family": "tune8", "name": "base8"}');

-- What a prompt asks for
select * from sparse_classify('Translate to French: good morning');
select * from sparse_classify('Summarise this text.', 10, 4000);
select * from sparse_classify('Prove that x = 1 + 1 has one solution.');
select * from sparse_classify('hello');
select * from sparse_classify(null);
select rank, version, reason from sparse_route('{"versions": [1], "hardware": ["L40S"], "prompt": "hello"}');

-- Together: what an engine batches, which is one model, and not two that are kin
select * from sparse_batch('[{"id": "a", "version": "base8"}, {"id": "b", "version": "base8", "arrives_ms": 10}, {"id": "c", "version": 3, "arrives_ms": 5},
    {"id": "d", "version": 2, "arrives_ms": 90}, {"id": "e", "version": 1, "arrives_ms": 95}, {"id": "f", "version": 1, "arrives_ms": 96}]', 2, 50);
select * from sparse_batch('[]');

-- What it saves
create table log (request jsonb);
insert into log values
    ('{"requested": "mix", "family": 1, "hardware": ["MI300X"], "prompt_tokens": 1000, "output_tokens": 100, "batch": 1}'),
    ('{"requested": 3, "versions": [3], "hardware": ["MI300X"], "prompt_tokens": 1000, "output_tokens": 100, "batch": 1}'),
    ('{"requested": 3, "versions": [1], "hardware": ["T4"], "prompt_tokens": 1000, "output_tokens": 100}');
select * from sparse_routing_savings('select request from public.log');

-- Weights come from the tensors where there are some
create function tensors(header text) returns bytea language sql as $$
    select set_byte('\x0000000000000000'::bytea, 0, length(header)) || header::bytea || '\x000102030405060708090a0b'::bytea $$;
select sparse_import_bytes('small', tensors('{"m.experts.0":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]}}'),
                           metadata => '{"config": {"num_experts": 4, "num_experts_per_tok": 1}}');
select * from sparse_weights(sparse_resolve('small'));

-- A constant is a row
update sparse.routing_constant set value = 1 where name = 'utilisation';
select cost from route('{"versions": ["base8"], "hardware": ["A100 80GB"], "prompt_tokens": 1000, "output_tokens": 100, "batch": 1}');
delete from sparse.routing_constant where name = 'largest_batch';
select from sparse_route('{"versions": [1]}');
insert into sparse.routing_constant values ('largest_batch', 256, 'requests', 'test');

-- What is no request
\set VERBOSITY default
select from sparse_route('{"versions": [1], "quality": 3}');
\set VERBOSITY terse
select from sparse_route('[]');
select from sparse_route(null);
select from sparse_route('{}');
select from sparse_route('{"versions": "base8"}');
select from sparse_route('{"versions": [[]]}');
select from sparse_route('{"versions": ["nobody"]}');
select from sparse_route('{"versions": [1], "latency_ms": "fast"}');
select from sparse_route('{"versions": [1], "batch": -1}');
select from sparse_route('{"versions": [1], "percentile": 95}');
select from sparse_batch('{}');
select from sparse_batch('[{"id": 1}]');
select from sparse_batch('[]', 0);
select from sparse_routing_savings('select ''{}''::jsonb');

-- Who may not see a version sees no score and no host of it, and is not routed to it
create role regress_sparse_router;
grant usage on schema sparse to regress_sparse_router;
grant select on sparse.version, sparse.file, sparse.tensor, sparse.parent, sparse.tag, sparse.hardware, sparse.quality, sparse.deployment,
    sparse.routing_constant, sparse.routing_rule, sparse.routing_task to regress_sparse_router;
alter table sparse.version enable row level security;
create policy not_the_base on sparse.version for select to regress_sparse_router using (id <> 1);
set role regress_sparse_router;
select version from sparse.quality order by 1;
select count(*) from sparse.deployment;
select version, host from sparse_route('{"family": 1, "hardware": ["H100 SXM"]}');
select from sparse_route('{"versions": ["base8"]}');
insert into sparse.quality values (2, 'code', 1, 'mine');
reset role;
drop owned by regress_sparse_router;
drop role regress_sparse_router;
-- What a merge needs: each of its parents, so that one of them on a host is no help; a tune of the merge has it
insert into sparse.version (name, revision, family, state, content_sha256, raw_bytes, stored_bytes)
select n, 1, 1, 'ready', sha256(n::bytea), 16e9, b from (values ('merge', 1e9), ('tune of merge', 2e9), ('guest', 1e9)) v (n, b);
insert into sparse.parent (child, ordinal, parent, role) select sparse_resolve('merge'), p - 1, p, 'merge' from generate_series(1, 2) p;
insert into sparse.parent (child, ordinal, parent, role) values (sparse_resolve('tune of merge'), 0, sparse_resolve('merge'), 'finetune');
create function load_of(name text, on_host text) returns table (load numeric, refused text) language sql as $$
    select round(load_ms::numeric, 1), refusal from sparse_route_candidates(jsonb_build_object('versions', jsonb_build_array(name), 'hardware', '["L4", "H100 SXM"]'::jsonb, 'batch', 1)) where host = on_host $$;
select * from load_of('merge', 'gpu1');
insert into sparse.deployment (host, hardware, version) values ('gpu2', 'H100 SXM', sparse_resolve('merge'));
select * from load_of('tune of merge', 'gpu2');
-- What lies there already stays, but for the ancestor that is replaced
insert into sparse.deployment (host, hardware, version) values ('small', 'L4', 1);
select * from load_of('tune8', 'small');
select * from load_of('guest', 'small');
-- An adapter is loaded beside its base's delta
insert into sparse.parent (child, ordinal, parent, role) values (sparse_resolve('guest'), 0, 1, 'finetune'), (sparse_resolve('guest'), 1, sparse_resolve('small'), 'adapter');
select * from load_of('guest', 'gpu1');
-- A requested version that is gone makes its row unroutable, not the report
select requests, compared, unroutable from sparse_routing_savings($$ select jsonb_build_object('requested', r, 'versions', '[1]'::jsonb, 'prompt_tokens', 10, 'output_tokens', 10) from unnest(array['base8', 'gone']) r $$);

-- What no constant, no configuration and no request may be
insert into sparse.routing_constant values ('utilisation2', 0, '', '');
insert into sparse.hardware (name, kind, memory_bytes, bandwidth_gb_s, bf16_tflops, price_per_hour, source) values ('nan', 'gpu', 'nan', 1, 1, 1, '');
select sparse_config_number('{"n": 1e400}', 'n') as infinite, sparse_config_number('{"n": -3}', 'n') as negative, sparse_config_number('{"n": 32}', 'n') as fine;
select * from sparse_route('{"family": 1.5}');
insert into sparse.quality values (4, 'chat', 'nan', '');
insert into sparse.routing_task (task, output_tokens) values ('endless', 'nan');
insert into sparse.routing_rule (task, pattern, weight, reason) values ('chat', '', 'infinity', '');
select sparse_classify('hello', -5);
select sparse_classify('hello', null, -1);
select from sparse_batch('[]', 8, 'nan');
select from sparse_route('{"versions": [1], "hardware": [7]}');
-- Whole numbers may be written as JSON likes
select count(*) from sparse_route('{"family": 1.0, "hardware": ["L40S"], "versions": [1], "alternatives": 1.5}');
-- A batch so large that no expert is missed (the share is too small for a number): arithmetic alone takes 1e6 x 2 x 12.877e9 / (1307.4e12 x 0.5) = 39.4 s
select hardware, refusal from sparse_route_candidates('{"versions": [3], "hardware": ["MI300X"], "prompt_tokens": 0, "output_tokens": 1, "batch": 1000000}');
select round(((p50_ms - 20 - 39.0) / 1e3)::numeric) from sparse_route_candidates('{"versions": [3], "hardware": ["MI300X"], "prompt_tokens": 0, "output_tokens": 1, "batch": 1000000}');
-- A full model is loaded by itself, whatever it was made of; what is requested and gone, or allowed and gone, is unroutable
insert into sparse.version (name, revision, family, state, kind, content_sha256, raw_bytes, stored_bytes)
select n, 1, 1, 'ready', k, sha256(n::bytea), 1, 1 from (values ('rows', 'dataset'), ('an adapter', 'model'), ('of both', 'model')) v (n, k);
insert into sparse.parent (child, ordinal, parent, role)
select sparse_resolve('of both'), o, sparse_resolve(p), r from (values (0, 'rows', 'derived'), (1, 'an adapter', 'adapter'), (2, 'tune8', 'finetune')) v (o, p, r);
select sparse_routing_base(sparse_resolve('of both')) as base;
select requests, compared, unroutable from sparse_routing_savings($$ select '{"requested": "base8", "versions": ["gone"], "prompt_tokens": 10, "output_tokens": 10}'::jsonb $$);
-- A large batch
select size, jsonb_array_length(members), versions, members -> 0, members -> 19999
from sparse_batch((select jsonb_agg(jsonb_build_object('id', i, 'version', 2)) from generate_series(1, 20000) i), 20000);
select proname from pg_proc where proname in ('sparse_batch', 'sparse_route', 'sparse_route_candidates', 'sparse_routing_versions') and proparallel <> 'u';
