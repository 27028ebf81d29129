/*
 * classify.sql: what a prompt asks for, by rules that stand in a table. Nothing is
 * learnt and nothing hidden: every rule that matched is among the reasons.
 */

create function sparse_routing_constant_of(name text)
returns double precision
language plpgsql
stable strict
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
declare
    found_value double precision;
begin
    select c.value into found_value from sparse.routing_constant c where c.name = $1;
    if not found then
        raise exception 'routing constant "%" is missing', $1
            using errcode = 'no_data_found',
                  hint = 'Insert a row of that name into sparse.routing_constant.';
    end if;
    return found_value;
end
$function$;
comment on function sparse_routing_constant_of(text) is
'What sparse_routing_constant() finds, as whoever calls it.';

create function sparse_routing_constants_of(
    out compute double precision,
    out bandwidth double precision,
    out fp32 double precision,
    out memory double precision,
    out overhead double precision,
    out step double precision,
    out p99 double precision,
    out load double precision,
    out link double precision,
    out requests double precision,
    out used double precision,
    out decoded double precision
)
language plpgsql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
begin
    select max(k.value) filter (where k.name = 'compute_efficiency'),
           max(k.value) filter (where k.name = 'bandwidth_efficiency'),
           max(k.value) filter (where k.name = 'fp32_fraction'),
           max(k.value) filter (where k.name = 'memory_fraction'),
           max(k.value) filter (where k.name = 'request_overhead_ms') / 1e3,
           max(k.value) filter (where k.name = 'step_overhead_ms') / 1e3,
           max(k.value) filter (where k.name = 'p99_factor'),
           max(k.value) filter (where k.name = 'load_gb_s') * 1e9,
           max(k.value) filter (where k.name = 'link_us') / 1e6,
           max(k.value) filter (where k.name = 'requests_per_load'),
           max(k.value) filter (where k.name = 'utilisation'),
           max(k.value) filter (where k.name = 'decode_gb_s') * 1e9 * max(k.value) filter (where k.name = 'decode_cores')
    into compute, bandwidth, fp32, memory, overhead, step, p99, load, link, requests, used, decoded
    from sparse.routing_constant k;
    if num_nulls(compute, bandwidth, fp32, memory, overhead, step, p99, load, link, requests, used, decoded) > 0 then
        perform @extschema@.sparse_routing_constant_of(n)
        from unnest(array['compute_efficiency', 'bandwidth_efficiency', 'fp32_fraction', 'memory_fraction', 'request_overhead_ms', 'step_overhead_ms', 'p99_factor', 'load_gb_s', 'link_us', 'requests_per_load', 'utilisation', 'decode_gb_s', 'decode_cores']) n;
    end if;
end
$function$;
comment on function sparse_routing_constants_of() is
'The constants of a route in SI units, as whoever calls it; one that is missing is an error.';

create function sparse_routing_constant(name text)
returns double precision
language c
stable strict
parallel safe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_reader';
comment on function sparse_routing_constant(text) is
'The value of a row of sparse.routing_constant.';

create function sparse_classify_of(
    prompt text,
    max_tokens integer,
    context integer,
    out task text,
    out prompt_tokens bigint,
    out output_tokens bigint,
    out difficulty double precision,
    out reasons text[]
)
language plpgsql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
begin
    if max_tokens < 0 or context < 0 then
        raise exception 'tokens are 0 or more'
            using errcode = 'invalid_parameter_value';
    end if;
    with hit as (
        select r.id, r.task, r.weight, r.difficulty, r.reason
        from sparse.routing_rule r
        where prompt ~* r.pattern
    ), best as (
        select h.task, sum(h.weight) as weight, sum(h.difficulty) as difficulty, array_agg(h.reason order by h.id) as reasons
        from hit h
        group by h.task
        order by sum(h.weight) desc, h.task
        limit 1
    ), length as (
        select ceil(length(coalesce(prompt, '')) / @extschema@.sparse_routing_constant_of('chars_per_token'))::bigint
               + coalesce(context, 0) as tokens
    ), answer as (
        select coalesce((select b.task from best b), 'chat') as task,
               l.tokens,
               coalesce((select ceil(round((t.output_tokens + t.output_ratio * l.tokens)::numeric, 6))
                         from sparse.routing_task t
                         where t.task = coalesce((select b.task from best b), 'chat')),
                        @extschema@.sparse_routing_constant_of('output_tokens'))::bigint as output
        from length l
    )
    select a.task,
           a.tokens,
           least(a.output, max_tokens)::bigint,
           least(1, greatest(0, round((coalesce((select b.difficulty from best b), 0)
               + 0.5 * least(1, a.tokens / @extschema@.sparse_routing_constant_of('difficult_tokens')))::numeric, 3)))::double precision,
           coalesce((select b.reasons from best b), array['no rule matched'])
               || case when max_tokens < a.output then array[format('max_tokens cuts %s expected tokens', a.output)] else '{}' end
    into task, prompt_tokens, output_tokens, difficulty, reasons
    from answer a;
end
$function$;
comment on function sparse_classify_of(text, integer, integer) is
'What sparse_classify() finds, as whoever calls it.';

create function sparse_classify(
    prompt text,
    max_tokens integer default null,
    context integer default null,
    out task text,
    out prompt_tokens bigint,
    out output_tokens bigint,
    out difficulty double precision,
    out reasons text[]
)
language c
stable
parallel safe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_reader';
comment on function sparse_classify(text, integer, integer) is
'What a prompt asks for, by sparse.routing_rule: task, tokens in and out, difficulty from 0 to 1, and why. context: tokens that come with the prompt.';
