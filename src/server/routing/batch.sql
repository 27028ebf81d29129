/*
 * batch.sql: requests that can be served together, and what routing would have saved.
 */

create function sparse_routing_base_of(version bigint)
returns bigint
language plpgsql
stable strict
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
begin
    if exists (select from sparse.version r where r.id = $1 and r.kind = 'dataset') then
        raise exception 'version % is a dataset', $1
            using errcode = 'wrong_object_type', hint = 'Only models serve requests.';
    end if;
    return (select coalesce(w.base, v.id)
            from sparse.version v
            cross join lateral @extschema@.sparse_weigh(v.id) w
            where v.id = $1);
end
$function$;
comment on function sparse_routing_base_of(bigint) is
'What sparse_routing_base() finds, as whoever calls it.';

create function sparse_routing_base(version bigint)
returns bigint
language c
stable strict
parallel safe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_reader';
comment on function sparse_routing_base(bigint) is
'What an engine loads to serve a version: the base of an adapter, any other version itself. Those that share it can be batched.';

create function sparse_batch(
    requests jsonb,
    most integer default null,
    wait_ms double precision default null,
    out batch integer,
    out base bigint,
    out versions bigint[],
    out members jsonb,
    out size integer,
    out starts_ms double precision
)
returns setof record
language plpgsql
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
declare
    item record;
    first_ms double precision;
    ids jsonb[];
    wanted bigint[];
begin
    most := coalesce(most, @extschema@.sparse_routing_constant('batch')::integer);
    wait_ms := coalesce(wait_ms, @extschema@.sparse_routing_constant('wait_ms'));
    if most < 1 or wait_ms < 0 or wait_ms = 'nan' then
        raise exception 'a batch holds at least one request and waits no negative time'
            using errcode = 'invalid_parameter_value';
    end if;
    if requests is null or jsonb_typeof(requests) <> 'array' then
        raise exception 'requests to batch are a JSON array of objects'
            using errcode = 'invalid_parameter_value';
    end if;
    perform @extschema@.sparse_routing_check(r, '{"id": "number or string", "version": "number or string", "arrives_ms": "number"}'::jsonb)
    from jsonb_array_elements(requests) r;
    if exists (select from jsonb_array_elements(requests) r where not r ? 'version') then
        raise exception 'a request to batch names its "version"'
            using errcode = 'invalid_parameter_value';
    end if;

    batch := 0;
    for item in
        with asked as materialized (
            select e.ordinality as n, e.value, coalesce((e.value ->> 'arrives_ms')::double precision, 0) as arrives,
                   @extschema@.sparse_resolve(e.value ->> 'version') as version
            from jsonb_array_elements(requests) with ordinality e
        ), bases as materialized (
            select a.version, @extschema@.sparse_routing_base(a.version) as base
            from (select distinct version from asked) a
        )
        select r.n, coalesce(r.value -> 'id', to_jsonb(r.n)) as id, r.arrives, r.version, b.base
        from asked r
        join bases b using (version)
        order by 5, r.arrives, r.n
    loop
        if base is distinct from item.base or size >= most or item.arrives - first_ms > wait_ms then
            if batch > 0 then
                members := to_jsonb(ids);
                versions := array(select w.id from unnest(wanted) with ordinality w (id, n) group by w.id order by min(w.n));
                return next;
            end if;
            batch := batch + 1;
            base := item.base;
            ids := '{}';
            wanted := '{}';
            size := 0;
            first_ms := item.arrives;
        end if;
        -- (arrays grow in place; what is returned is made of them once)
        ids := ids || item.id;
        wanted := wanted || item.version;
        size := size + 1;
        -- a full batch goes at once, another when its first request has waited long enough
        starts_ms := case when size >= most then item.arrives else first_ms + wait_ms end;
    end loop;
    if batch > 0 then
        members := to_jsonb(ids);
        versions := array(select w.id from unnest(wanted) with ordinality w (id, n) group by w.id order by min(w.n));
        return next;
    end if;
end
$function$;
comment on function sparse_batch(jsonb, integer, double precision) is
'Groups requests for one version, or for a base and adapters over it, at most so many, none waiting longer than given.';

create function sparse_routing_savings(
    query text,
    out requests bigint,
    out compared bigint,
    out unroutable bigint,
    out requested_cost numeric,
    out routed_cost numeric,
    out saved numeric,
    out saved_fraction numeric
)
language plpgsql
stable strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    logged jsonb;
    plain jsonb;
    fixed double precision;
    routed double precision;
    fixed_sum double precision := 0;
    routed_sum double precision := 0;
begin
    requests := 0;
    compared := 0;
    for logged in execute query loop
        requests := requests + 1;
        if jsonb_typeof(logged -> 'requested') is distinct from 'string' and jsonb_typeof(logged -> 'requested') is distinct from 'number' then
            raise exception 'a logged request names the version that was asked for as "requested"'
                using errcode = 'invalid_parameter_value',
                      detail = format('Row %s of the query does not.', requests);
        end if;
        if not logged ?& array['prompt_tokens', 'output_tokens'] then
            raise exception 'a logged request has "prompt_tokens" and "output_tokens"'
                using errcode = 'invalid_parameter_value',
                      detail = format('Row %s of the query does not.', requests);
        end if;
        plain := logged - 'requested';
        -- the requested model, wherever it is cheapest: quality is as it was asked for
        begin
            select min(c.cost_per_million) into fixed
            from @extschema@.sparse_route_candidates((plain - array['family', 'tag', 'name', 'quality_floor'])
                || jsonb_build_object('versions', jsonb_build_array(logged -> 'requested'))) c
            where c.refusal is null;
            select min(c.cost_per_million) into routed
            from @extschema@.sparse_route_candidates(plain) c
            where c.refusal is null;
        exception when undefined_object or object_not_in_prerequisite_state or invalid_name then
            fixed := null;      -- dropped since, or hidden from the caller
        end;
        if fixed is not null and routed is not null then
            compared := compared + 1;
            fixed_sum := fixed_sum + fixed / 1e6 * ((logged ->> 'prompt_tokens')::double precision + (logged ->> 'output_tokens')::double precision);
            routed_sum := routed_sum + routed / 1e6 * ((logged ->> 'prompt_tokens')::double precision + (logged ->> 'output_tokens')::double precision);
        end if;
    end loop;
    unroutable := requests - compared;
    requested_cost := round(fixed_sum::numeric, 6);
    routed_cost := round(routed_sum::numeric, 6);
    saved := round((fixed_sum - routed_sum)::numeric, 6);
    saved_fraction := round(((fixed_sum - routed_sum) / nullif(fixed_sum, 0))::numeric, 4);
end
$function$;
comment on function sparse_routing_savings(text) is
'What routing saves on a log: a query of one jsonb column, each a request with the version "requested". Run as the caller; names in it qualified.';
