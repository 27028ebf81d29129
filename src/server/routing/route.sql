/*
 * route.sql: which version on which hardware, by a roofline: prefill is bound by
 * arithmetic, decode by the bytes read. The formulas, their sources and ten
 * requests worked by hand stand in docs/routing.md.
 *
 * sparse_route_candidates() computes every pair of an allowed version and a place
 * to run it, and says why one is refused; sparse_route() ranks the rest.
 */

create function sparse_route_candidates_of(
    request jsonb,
    out version bigint,
    out hardware text,
    out host text,
    out cost_per_million double precision,
    out p50_ms double precision,
    out p99_ms double precision,
    out load_ms double precision,
    out quality double precision,
    out memory_bytes double precision,
    out reason text,
    out refusal text
)
returns setof record
language plpgsql
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
declare
    asked record;
    prompt_length double precision;
    output_length double precision;
    held double precision;
    batch double precision;
    wanted_task text;
begin
    perform @extschema@.sparse_routing_check(request, jsonb_build_object(
        'family', 'number or string', 'tag', 'string', 'name', 'string', 'versions', 'array',
        'task', 'string', 'prompt', 'string', 'prompt_tokens', 'number', 'output_tokens', 'number', 'context', 'number',
        'batch', 'number', 'quality_floor', 'number', 'latency_ms', 'number', 'percentile', 'number',
        'include_load', 'boolean', 'hardware', 'array', 'alternatives', 'number'));
    if exists (select from jsonb_array_elements(request -> 'hardware') e where jsonb_typeof(e) <> 'string') then
        raise exception '"hardware" of a routing request holds names only'
            using errcode = 'invalid_parameter_value';
    end if;
    if (request ->> 'percentile')::numeric not in (50, 99) then
        raise exception '"percentile" of a routing request is 50 or 99'
            using errcode = 'invalid_parameter_value';
    end if;

    select * into asked from @extschema@.sparse_classify_of(request ->> 'prompt', null::integer, null::integer);
    wanted_task := coalesce(request ->> 'task', asked.task);
    prompt_length := coalesce((request ->> 'prompt_tokens')::double precision,
                              case when request ? 'prompt' then asked.prompt_tokens end,
                              @extschema@.sparse_routing_constant_of('prompt_tokens'));
    output_length := coalesce((request ->> 'output_tokens')::double precision,
                              (select ceil(round((t.output_tokens + t.output_ratio * prompt_length)::numeric, 6))
                               from sparse.routing_task t where t.task = wanted_task),
                              @extschema@.sparse_routing_constant_of('output_tokens'));
    output_length := greatest(output_length, 1);
    held := greatest(coalesce((request ->> 'context')::double precision, 0), prompt_length + output_length);
    batch := greatest(coalesce((request ->> 'batch')::double precision, @extschema@.sparse_routing_constant_of('batch')), 1);

    return query
    with recursive c as (
        select @extschema@.sparse_routing_constant_of('compute_efficiency') as compute,
               @extschema@.sparse_routing_constant_of('bandwidth_efficiency') as bandwidth,
               @extschema@.sparse_routing_constant_of('fp32_fraction') as fp32,
               @extschema@.sparse_routing_constant_of('memory_fraction') as memory,
               @extschema@.sparse_routing_constant_of('kv_bytes') as kv_bytes,
               @extschema@.sparse_routing_constant_of('request_overhead_ms') / 1e3 as overhead,
               @extschema@.sparse_routing_constant_of('step_overhead_ms') / 1e3 as step,
               @extschema@.sparse_routing_constant_of('p99_factor') as p99,
               @extschema@.sparse_routing_constant_of('load_gb_s') * 1e9 as load,
               @extschema@.sparse_routing_constant_of('requests_per_load') as requests,
               @extschema@.sparse_routing_constant_of('utilisation') as used
    ), m as materialized (
        select r.id, r.raw_bytes, r.stored_bytes, w.*,
               q.score, q.source as score_source
        from @extschema@.sparse_routing_versions_of(request) a
        join sparse.version r on r.id = a
        cross join lateral @extschema@.sparse_weigh(r.id) w
        left join sparse.quality q on q.version = r.id and q.task = wanted_task
    ), up as (
        -- what must be loaded where an ancestor is resident: the deltas on the way to it, and adapters
        -- whole. A version of several models needs all of them: none of them is enough. (The revision before is
        -- one of them only where nothing else was named.)
        select m.id, m.id as ancestor, 0::double precision as bytes, 0 as depth
        from m
        union all
        select u.id, one.parent, u.bytes + v.stored_bytes + one.adapter_bytes, u.depth + 1
        from up u
        join sparse.version v on v.id = u.ancestor
        join lateral (select coalesce(min(p.parent) filter (where p.role not in ('adapter', 'revision')),
                                      min(p.parent) filter (where p.role = 'revision')) as parent,
                             coalesce(sum(a.raw_bytes) filter (where p.role = 'adapter'), 0)::double precision as adapter_bytes
                      from sparse.parent p
                      join sparse.version a on a.id = p.parent and a.kind = 'model'
                      where p.child = u.ancestor
                      having count(distinct p.parent) filter (where p.role not in ('adapter', 'revision')) <= 1
                          and count(*) filter (where p.role <> 'adapter') > 0) one on true
        where u.depth < 32 and exists (select from sparse.deployment)
    ), place as (
        select m.id, h.name as hardware, null::text as host, m.raw_bytes::double precision as load_bytes, 'loaded whole' as how, 0::double precision as taken
        from m, sparse.hardware h
        union all
        select m.id, d.hardware, d.host, least(m.raw_bytes, near.bytes),
               case when near.depth = 0 then 'resident'
                    when near.bytes < m.raw_bytes then 'version ' || near.ancestor || ' is resident, its deltas are loaded'
                    else 'loaded whole' end,
               -- what else lies in its memory, but for the ancestor that the version replaces
               coalesce((select sum(o.raw_bytes)
                         from sparse.deployment e
                         join sparse.version o on o.id = e.version
                         where e.host = d.host and e.version <> m.id
                           and (near.ancestor is null or near.bytes >= m.raw_bytes or e.version <> near.ancestor)), 0)::double precision
        from m
        cross join (select distinct e.host, e.hardware from sparse.deployment e) d
        left join lateral (select u.bytes, u.depth, u.ancestor
                           from up u
                           join sparse.deployment e on e.version = u.ancestor
                           where u.id = m.id and e.host = d.host
                           order by u.bytes, u.depth
                           limit 1) near on true
    ), fit as (
        select m.*, p.host, p.how, p.load_bytes / c.load as load_s, h.name as hardware, h.price_per_hour, c.overhead, c.step, c.p99, c.requests, c.used,
               m.weight_bytes + batch * held * coalesce(m.kv_elements, 0) * c.kv_bytes as needed, p.taken,
               h.memory_gb * 1e9 * c.memory as available,
               coalesce(m.kv_elements, 0) * c.kv_bytes as kv_token,
               h.bandwidth_gb_s * 1e9 * c.bandwidth as bytes_s,
               case when m.dtype like 'F8%' then coalesce(h.fp8_tflops, h.bf16_tflops)
                    when m.dtype in ('I8', 'U8') then coalesce(h.int8_tops, h.bf16_tflops)
                    when m.dtype in ('F32', 'F64') then h.bf16_tflops * c.fp32
                    else h.bf16_tflops end * 1e12 * c.compute as flops_s,
               m.parameters * (1 - m.expert_fraction * (1 - m.experts_used / m.experts)) as active,
               -- (power() refuses what is too small for it)
               case when m.experts_used < m.experts then exp(greatest(batch * ln(1 - m.experts_used / m.experts), -700)) else 0 end as missed
        from place p
        join m on m.id = p.id
        join sparse.hardware h on h.name = p.hardware
        cross join c
        where not request ? 'hardware' or request -> 'hardware' ? h.name
    ), roof as (
        select f.*,
               greatest(batch * (2 * f.active * prompt_length + 2 * coalesce(f.attention, 0) * prompt_length * prompt_length) / f.flops_s,
                        f.weight_bytes / f.bytes_s) as prefill,
               -- a batch reads the experts that any of its requests uses
               greatest((f.weight_bytes * (1 - f.expert_fraction * f.missed)
                         + batch * f.kv_token * (prompt_length + output_length / 2)) / f.bytes_s,
                        batch * 2 * f.active / f.flops_s) + f.step as decode
        from fit f
    ), timed as (
        select r.*, r.prefill + output_length * r.decode as busy,
               r.overhead + r.prefill + output_length * r.decode
                   + case when (request ->> 'include_load')::boolean then r.load_s else 0 end as p50
        from roof r
    )
    select t.id, t.hardware, t.host,
           t.price_per_hour / 3600 * (t.busy + batch * t.load_s / t.requests) / t.used / (batch * (prompt_length + output_length)) * 1e6,
           t.p50 * 1e3,
           (t.p50 * t.p99) * 1e3,
           t.load_s * 1e3,
           t.score,
           t.needed,
           format('%s, %s tokens in, %s out, batch of %s; prefill %s ms, decode %s ms a token; %s; quality %s%s',
                  wanted_task, prompt_length, output_length, batch,
                  round((t.prefill * 1e3)::numeric, 1), round((t.decode * 1e3)::numeric, 2), t.how,
                  coalesce(t.score || ' (' || t.score_source || ')', 'not known'),
                  case when cardinality(t.assumed) > 0 then '; assumed: ' || array_to_string(t.assumed, ', ') else '' end),
           case when t.needed + t.taken > t.available
                then format('needs %s GB of memory, %s may be filled', round((t.needed / 1e9)::numeric, 2), round((greatest(t.available - t.taken, 0) / 1e9)::numeric, 2))
                when request ? 'quality_floor' and t.score is null
                then 'no score for ' || wanted_task
                when t.score < (request ->> 'quality_floor')::double precision
                then format('score %s is below the floor', t.score)
                when (t.p50 * case when (request ->> 'percentile')::numeric = 50 then 1 else t.p99 end) * 1e3
                     > (request ->> 'latency_ms')::double precision
                then 'slower than the latency budget' end
    from timed t;
end
$function$;
comment on function sparse_route_candidates_of(jsonb) is
'What sparse_route_candidates() finds, as whoever calls it.';

create function sparse_route_candidates(
    request jsonb,
    out version bigint,
    out hardware text,
    out host text,
    out cost_per_million double precision,
    out p50_ms double precision,
    out p99_ms double precision,
    out load_ms double precision,
    out quality double precision,
    out memory_bytes double precision,
    out reason text,
    out refusal text
)
returns setof record
language c
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_reader';
comment on function sparse_route_candidates(jsonb) is
'Every allowed version on every hardware and host, with what it would cost and take, and why it is refused (null: it is not).';

create function sparse_route(
    request jsonb,
    out rank bigint,
    out version bigint,
    out hardware text,
    out host text,
    out cost_per_million numeric,
    out p50_ms numeric,
    out p99_ms numeric,
    out load_ms numeric,
    out quality double precision,
    out memory_bytes bigint,
    out reason text
)
returns setof record
language plpgsql
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
begin
    return query
        select row_number() over cheapest, c.version, c.hardware, c.host,
               round(c.cost_per_million::numeric, 4), round(c.p50_ms::numeric, 1), round(c.p99_ms::numeric, 1),
               round(c.load_ms::numeric, 1), c.quality, c.memory_bytes::bigint, c.reason
        from @extschema@.sparse_route_candidates(request) c
        where c.refusal is null
        window cheapest as (order by c.cost_per_million, c.p50_ms, c.version, c.hardware, c.host nulls last)
        order by 1
        limit coalesce(floor((request ->> 'alternatives')::numeric)::bigint, 9) + 1;
    if not found then
        raise notice 'nothing fits the request'
            using hint = 'sparse_route_candidates() of it says why each was refused.';
    end if;
end
$function$;
comment on function sparse_route(jsonb) is
'Where to run a request: the cheapest version and hardware that fit it, then the alternatives.';
