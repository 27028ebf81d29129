/*
 * route.sql: which version on which hardware, by a roofline: prefill is bound by
 * arithmetic, decode by the bytes read. The formulas, their sources and ten
 * requests worked by hand stand in docs/routing.md.
 *
 * sparse_route_candidates() computes every pair of an allowed version and a place
 * to run it, in the batch that serves it cheapest within the request's bounds, and says why one is
 * refused; sparse_route() ranks the rest.
 */

-- Of the pairs that are not refused those that may be among so many cheapest; all pairs where `most` is null.
create function sparse_route_cheapest_of(
    request jsonb,
    most bigint,
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
    out refusal text,
    out batch integer,
    out ttft_ms double precision,
    out token_ms double precision
)
returns setof record
language plpgsql
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
-- it takes longer to plan than to run, and each request has the same plan
set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
declare
    asked record;
    c record;
    prompt_length double precision;
    output_length double precision;
    held double precision;
    batches double precision[];
    kept_bytes double precision;
    wanted_task text;
    -- what every row is compared with, taken out of the request once
    floor_score double precision;
    latency double precision;
    first_latency double precision;
    token_latency double precision;
    arriving double precision;
    load_counts double precision;
    tail double precision;
    z double precision;
begin
    perform @extschema@.sparse_routing_check(request, jsonb_build_object(
        'family', 'number or string', 'tag', 'string', 'name', 'string', 'versions', 'array',
        'task', 'string', 'prompt', 'string', 'prompt_tokens', 'number', 'output_tokens', 'number', 'context', 'number',
        'batch', 'number', 'rate', 'number', 'quality_floor', 'number', 'latency_ms', 'number', 'ttft_ms', 'number', 'token_ms', 'number',
        'percentile', 'number', 'kv_dtype', 'string', 'include_load', 'boolean', 'hardware', 'array', 'alternatives', 'number'));
    if exists (select from jsonb_array_elements(request -> 'hardware') e where jsonb_typeof(e) <> 'string') then
        raise exception '"hardware" of a routing request holds names only'
            using errcode = 'invalid_parameter_value';
    end if;
    if (request ->> 'percentile')::numeric not in (50, 99) then
        raise exception '"percentile" of a routing request is 50 or 99'
            using errcode = 'invalid_parameter_value';
    end if;
    if request ->> 'kv_dtype' not in ('bf16', 'fp16', 'fp8', 'int8') then
        raise exception '"kv_dtype" of a routing request is bf16, fp16, fp8 or int8'
            using errcode = 'invalid_parameter_value';
    end if;

    floor_score := request ->> 'quality_floor';
    latency := (request ->> 'latency_ms')::double precision / 1e3;
    first_latency := (request ->> 'ttft_ms')::double precision / 1e3;
    token_latency := (request ->> 'token_ms')::double precision / 1e3;
    arriving := request ->> 'rate';
    load_counts := case when (request ->> 'include_load')::boolean then 1 else 0 end;
    c := @extschema@.sparse_routing_constants_of();
    z := @extschema@.sparse_routing_constant_of('quality_z');
    tail := case when (request ->> 'percentile')::numeric = 50 then 1 else c.p99 end;
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
    batches := case when request ? 'batch' then array[greatest((request ->> 'batch')::double precision, 1)]
                    else array(select 2 ^ i from generate_series(0, floor(log(2, @extschema@.sparse_routing_constant_of('largest_batch')::numeric))::integer) i) end;
    kept_bytes := case when request ->> 'kv_dtype' in ('fp8', 'int8') then 1
                       when request ? 'kv_dtype' then 2
                       else @extschema@.sparse_routing_constant_of('kv_bytes') end;

    return query
    with recursive m as materialized (
        select r.id, w.*, r.raw_bytes::double precision as own_bytes,
               r.raw_bytes + coalesce((select b.raw_bytes from sparse.version b where b.id = w.base), 0)::double precision as raw_bytes,
               case when w.class in ('encoder', 'embedding') then 0 else output_length end as answer,
               -- of a prompt, what a layer with a window computes; of those kept, what it keeps
               least(prompt_length, w.sliding_window) as window_prompt,
               least(held, w.sliding_window) as window_held,
               least(prompt_length + output_length / 2, w.sliding_window) as window_read,
               q.score, q.source as score_source, @extschema@.sparse_quality_bound(q.score, q.samples, q.standard_error, z) as bound
        from @extschema@.sparse_routing_weights_of(request) w
        join sparse.version r on r.id = w.version
        left join sparse.quality q on q.version = r.id and q.task = wanted_task
    ), up as (
        -- what must be loaded where an ancestor is resident: the deltas on the way to it, and adapters
        -- whole. A version of several models needs all of them: none of them is enough. (The revision before is
        -- one of them only where nothing else was named.)
        select m.id, m.id as ancestor, 0::double precision as bytes, 0 as depth
        from m
        union all
        select u.id, one.parent, u.bytes + one.bytes, u.depth + 1
        from up u
        join sparse.version v on v.id = u.ancestor
        left join m on m.id = u.ancestor and m.class = 'adapter'
        join lateral (select m.base as parent, v.raw_bytes::double precision as bytes
                      where m.base is not null
                      union all
                      select coalesce(min(p.parent) filter (where p.role not in ('adapter', 'revision')),
                                      min(p.parent) filter (where p.role = 'revision')),
                             v.stored_bytes + coalesce(sum(a.raw_bytes) filter (where p.role = 'adapter'), 0)::double precision
                      from sparse.parent p
                      join sparse.version a on a.id = p.parent and a.kind = 'model'
                      where p.child = u.ancestor and m.id is null
                      having count(distinct p.parent) filter (where p.role not in ('adapter', 'revision')) <= 1
                          and count(*) filter (where p.role <> 'adapter') > 0) one on true
        where u.depth < 32 and exists (select from sparse.deployment)
    ), place as (
        select m.id, null::text as hardware, null::text as host, m.raw_bytes as load_bytes, 'loaded whole' as how, 0::double precision as taken
        from m
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
    ), alike as materialized (
        -- fine-tunes of one base cost the same: each kind of them is computed once
        select row_number() over () as shape, array_agg(m.id order by m.id) as members, array_agg(p.how order by m.id) as hows,
               array_agg(m.score order by m.id) as scores, array_agg(m.bound order by m.id) as bounds, array_agg(m.score_source order by m.id) as sources,
               p.hardware as place, p.host, p.load_bytes, p.taken, p.how = 'resident' as resident,
               case when m.score is null then 'none' when m.bound < floor_score then 'below' end as short_of,
               m.weight_bytes, m.parameters, m.expert_fraction, m.experts, m.experts_used, m.dtype, m.kv_elements, m.attention, m.assumed, m.class,
               m.quantisation, m.computes, m.read_bytes, m.positions, m.sliding_window, m.window_elements, m.window_attention, m.state_elements,
               m.layers, m.hidden, m.raw_bytes, m.answer, m.window_prompt, m.window_held, m.window_read, m.base is not null as based
        from place p
        join m on m.id = p.id
        where most is null or floor_score is null or m.bound >= floor_score
        group by p.hardware, p.host, p.load_bytes, p.taken, p.how = 'resident', 12,
                 m.weight_bytes, m.parameters, m.expert_fraction, m.experts, m.experts_used, m.dtype, m.kv_elements, m.attention, m.assumed, m.class,
                 m.quantisation, m.computes, m.read_bytes, m.positions, m.sliding_window, m.window_elements, m.window_attention, m.state_elements,
                 m.layers, m.hidden, m.raw_bytes, m.answer, m.window_prompt, m.window_held, m.window_read, m.base is not null
    ), fit as materialized (
        -- (without the members: they would be copied with each row)
        select m.shape, m.place, m.host, m.load_bytes, m.taken, m.resident, m.short_of, m.weight_bytes, m.parameters, m.expert_fraction, m.experts, m.experts_used,
               m.dtype, m.kv_elements, m.attention, m.assumed, m.class, m.quantisation, m.computes, m.read_bytes, m.positions, m.sliding_window, m.window_elements,
               m.window_attention, m.state_elements, m.layers, m.hidden, m.raw_bytes, m.answer, m.window_prompt, m.window_held, m.window_read, m.based,
               h.name as hardware, h.price_per_hour, h.bf16, h.devices,
               -- what comes from the disk is decoded as it comes
               case when m.resident then 0
                    else greatest(m.load_bytes / c.load, m.raw_bytes / c.decoded) end as load_s,
               m.weight_bytes + n.batch * kept_bytes * (coalesce(m.kv_elements, 0) * held + coalesce(m.window_elements * m.window_held, 0)
                                                        + coalesce(m.state_elements, 0)) as needed,
               h.memory_bytes * h.devices * c.memory as available,
               n.batch * kept_bytes * (coalesce(m.kv_elements, 0) * (prompt_length + output_length / 2)
                                       + coalesce(m.window_elements * m.window_read, 0) + coalesce(m.state_elements, 0)) as kept_read,
               h.bandwidth_gb_s * 1e9 * c.bandwidth * h.devices as bytes_s,
               case when m.quantisation in ('mxfp4', 'NVFP4', 'MXFP4') then coalesce(h.fp4_tflops, h.bf16_tflops)
                    when m.computes like 'F8%' then coalesce(h.fp8_tflops, h.bf16_tflops)
                    when m.computes in ('I8', 'U8') then coalesce(h.int8_tops, h.bf16_tflops)
                    when m.computes in ('F32', 'F64') then h.bf16_tflops * c.fp32
                    else h.bf16_tflops end * 1e12 * c.compute * h.devices as flops_s,
               m.parameters * (1 - m.expert_fraction * (1 - m.experts_used / m.experts)) as active,
               -- (power() refuses what is too small for it)
               case when m.experts_used < m.experts then exp(greatest(n.batch * ln(1 - m.experts_used / m.experts), -700)) else 0 end as missed,
               n.batch,
               -- two sums over all devices in each layer: to begin one, and a token of one request
               case when h.devices > 1 then 2 * m.layers * c.link else 0 end as link_begin,
               case when h.devices > 1 then 2 * m.layers * m.hidden * 2 * 2 * (h.devices - 1) / h.devices / (h.link_gb_s * 1e9) else 0 end as link_token
        from alike m
        join sparse.hardware h on h.name = coalesce(m.place, h.name)
        cross join unnest(batches) n (batch)
        where not request ? 'hardware' or request -> 'hardware' ? h.name
    ), roof as materialized (
        select f.*,
               greatest(f.batch * (2 * f.active * prompt_length + 2 * coalesce(f.attention, 0) * prompt_length * prompt_length
                                   + 2 * coalesce(f.window_attention * f.window_prompt * (2 * prompt_length - f.window_prompt), 0)) / f.flops_s,
                        f.read_bytes / f.bytes_s)
                   + f.link_begin + f.batch * prompt_length * f.link_token as prefill,
               -- a batch reads the experts that any of its requests uses
               case when f.answer > 0
                    then greatest((f.read_bytes - f.weight_bytes * f.expert_fraction * f.missed + f.kept_read) / f.bytes_s,
                                  f.batch * 2 * f.active / f.flops_s) + c.step + f.link_begin + f.batch * f.link_token
                    else 0 end as decode
        from fit f
    ), timed as materialized (
        select r.*, r.prefill + r.answer * r.decode as busy,
               c.overhead + r.prefill + r.answer * r.decode + load_counts * r.load_s as p50,
               c.overhead + r.prefill + load_counts * r.load_s as first
        from roof r
    ), priced as materialized (
        select t.*,
               t.price_per_hour / 3600 * (t.busy + t.batch * t.load_s / c.requests) / c.used / (t.batch * (prompt_length + t.answer)) * 1e6 as cost,
               case when t.class = 'adapter' and not t.based
                    then 'an adapter, and its base is not here, or not to be seen'
                    when t.answer > 0 and t.class is distinct from 'encoder-decoder' and held > t.positions
                    then format('it was made for %s tokens, and is to hold %s', t.positions, held)
                    when t.class in ('encoder', 'embedding') and prompt_length > t.positions
                    then format('it was made for %s tokens, and is to read %s', t.positions, prompt_length)
                    when t.devices > 1 and (t.layers is null or t.hidden is null)
                    then 'there is no config by which it could be split over devices'
                    when not t.bf16 and t.dtype = 'BF16' and not t.assumed && array['all bytes of its files are weights in BF16']
                    then 'computes no bf16'
                    when t.needed + t.taken > t.available
                    then format('needs %s GB of memory, %s may be filled', round((t.needed / 1e9)::numeric, 2), round((greatest(t.available - t.taken, 0) / 1e9)::numeric, 2))
                    when floor_score is not null and t.short_of = 'none'
                    then 'no score for ' || wanted_task
                    when t.short_of = 'below'
                    then 'below the floor'
                    when t.p50 * tail > latency
                    then 'slower than the latency budget'
                    when t.first * tail > first_latency
                    then 'its first token is slower than the budget'
                    when t.decode * tail > token_latency
                    then 'its tokens are slower than the budget'
                    when arriving is not null and t.batch > greatest(arriving * t.busy, 1)
                    then format('fewer than %s requests come while it serves one', t.batch) end as refused
        from timed t
    ), best as materialized (
        -- the batch: of those that fit the cheapest, or else the smallest
        select distinct on (p.shape, p.hardware) p.*
        from priced p
        order by p.shape, p.hardware, p.refused is not null, case when p.refused is null then p.cost end, p.batch
    ), chosen as (
        -- each stands for one version at least
        select b.*, rank() over (order by b.cost, b.p50) as place_in_order
        from best b
        where most is null or b.refused is null
    )
    select v.id, t.hardware, t.host,
           t.cost,
           t.p50 * 1e3,
           (t.p50 * c.p99) * 1e3,
           t.load_s * 1e3,
           v.score,
           t.needed,
           format('%s, %s tokens in, %s out, batch of %s; prefill %s ms, decode %s ms a token; %s; quality %s%s',
                  wanted_task, prompt_length, t.answer, t.batch,
                  round((t.prefill * 1e3)::numeric, 1), round((t.decode * 1e3)::numeric, 2), v.how,
                  coalesce(v.score || ' (' || v.source || ')', 'not known'),
                  case when cardinality(t.assumed) > 0 then '; assumed: ' || array_to_string(t.assumed, ', ') else '' end),
           case when t.refused = 'below the floor'
                then format('score %s%s is below the floor', v.score, case when v.bound < v.score then ' (at least ' || round(v.bound::numeric, 4) || ')' end)
                else t.refused end,
           t.batch::integer,
           t.first * 1e3,
           t.decode * 1e3
    from chosen t
    join alike a on a.shape = t.shape
    cross join unnest(a.members, a.hows, a.scores, a.bounds, a.sources) v (id, how, score, bound, source)
    where most is null or t.place_in_order <= most;
end
$function$;
comment on function sparse_route_cheapest_of(jsonb, bigint) is
'What sparse_route_cheapest() finds, as whoever calls it.';

create function sparse_route_cheapest(
    request jsonb,
    most bigint,
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
    out refusal text,
    out batch integer,
    out ttft_ms double precision,
    out token_ms double precision
)
returns setof record
language c
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_reader';
comment on function sparse_route_cheapest(jsonb, bigint) is
'Those of sparse_route_candidates() that are not refused and may be among so many cheapest, with all that cost the same.';

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
    out refusal text,
    out batch integer,
    out ttft_ms double precision,
    out token_ms double precision
)
returns setof record
language plpgsql
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    return query select k.* from @extschema@.sparse_route_cheapest_of(request, null::bigint) k;
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
    out refusal text,
    out batch integer,
    out ttft_ms double precision,
    out token_ms double precision
)
returns setof record
language c
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_reader';
comment on function sparse_route_candidates(jsonb) is
'Every allowed version on every hardware and host, in the batch that serves it cheapest within the bounds, with what it would cost and take, and why it is refused (null: it is not).';

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
    out reason text,
    out batch integer,
    out ttft_ms numeric,
    out token_ms numeric
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
               round(c.load_ms::numeric, 1), c.quality, c.memory_bytes::bigint, c.reason,
               c.batch, round(c.ttft_ms::numeric, 1), round(c.token_ms::numeric, 2)
        from @extschema@.sparse_route_cheapest(request, coalesce(floor((request ->> 'alternatives')::numeric)::bigint, 9) + 1) c
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
